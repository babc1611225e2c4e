"""CRC32C: finds accidents, not attackers.

The library takes `bytes` only (no memoryview), so callers slice first. Measured on the
2-core test machine: 0.1 µs for a header, 0.25 µs for 4 KiB, 0.1 ms for 1 MiB.
"""

from collections.abc import Callable
from typing import cast

import google_crc32c

CRC_OF_NOTHING = 0

# The library has no types of its own.
_value = cast(
    Callable[[bytes], int],
    google_crc32c.value,  # pyright: ignore[reportUnknownMemberType]
)
_extend = cast(
    Callable[[int, bytes], int],
    google_crc32c.extend,  # pyright: ignore[reportUnknownMemberType]
)


def crc32c(data: bytes) -> int:
    """The CRC32C (Castagnoli) of `data`, 32 bits."""
    return _value(data)


def crc32c_extended(crc: int, data: bytes) -> int:
    """The CRC32C of the bytes that have the CRC `crc`, followed by `data`."""
    return _extend(crc, data)
