"""Stable hashes: the same on every machine, in every process, for ever (never `hash()`)."""

import hashlib

BITS = 64
MASK = (1 << BITS) - 1


def hashed(data: bytes) -> int:
    """64 bits of a key or a name. About 1 us."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def mixed(left: int, right: int) -> int:
    """64 bits of two hashes: cheaper than hashing both texts together.

    Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014): the
        finaliser of SplitMix64.
    """
    value = (left ^ right) + 0x9E3779B97F4A7C15 & MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31
