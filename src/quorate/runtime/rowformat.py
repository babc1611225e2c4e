"""Rows as LMDB stores them: each with a checksum, and long keys under a short one.

TAB-1: each row ends with the CRC32C of key and value, little-endian, so that the CRC over key,
    value and checksum is one constant. A row that does not match is named and never served.
"""

from collections.abc import Callable, Iterator
from typing import cast

import google_crc32c
import lmdb

from quorate.base.errors import StorageError, invariant
from quorate.base.schema import Meta
from quorate.domains import DOMAINS
from quorate.runtime.heldviews import Row
from quorate.runtime.longkeys import SHORT_MAX, scan, scan_back, split_long, stored_key
from quorate.runtime.mapfile import translated

Read = Callable[[bytes], bytes | None]

RESIDUE = 0x48674BC7
"""The CRC32C of any bytes followed by their CRC32C, little-endian."""

_TABLE_NAMES = {number: table.name for number, table in DOMAINS.tables.items()}
_META_NAMES = {int(meta): meta.name for meta in Meta}

# Called directly, twice per write: a wrapper would cost as much again. It has no types of its own.
crc32c = cast(
    Callable[[bytes], int],
    google_crc32c.value,  # pyright: ignore[reportUnknownMemberType]
)


def described(key: bytes) -> str:
    """Table and key of a row, for people."""
    if len(key) < 2:
        return f"key {key.hex()}"
    names = _TABLE_NAMES if key[0] else _META_NAMES
    name = names.get(key[1], str(key[1]))  # a table of a newer version has no name here
    return f"table {name}, key {key[2:].hex()}"


def checked(key: bytes, stored: bytes) -> bytes:
    """The value of a row as it is stored.

    Raises:
        StorageError: `corrupt`: it does not match its checksum.
    """
    if crc32c(key + stored) != RESIDUE:
        raise StorageError("corrupt", f"{described(key)}: the row does not match its checksum")
    return stored[:-4]


def scan_rows(
    transaction: "lmdb.Transaction[bytes]", first: bytes, last: bytes | None, *, is_reversed: bool
) -> Iterator[Row]:
    """Rows of a transaction with first <= key < last, in order or from the end."""
    try:
        with transaction.cursor() as cursor:
            yield from (scan_back if is_reversed else scan)(cursor, first, last, checked)
    except lmdb.Error as error:
        raise translated(error, f"from {described(first)}") from error


def read_row(read: Read, key: bytes) -> bytes | None:
    """The value under a key, or None.

    Raises:
        StorageError: `corrupt`: it does not match its checksum.
    """
    place = stored_key(key) if len(key) > SHORT_MAX else key
    try:
        stored = read(place)
    except lmdb.Error as error:
        raise translated(error, described(key)) from error
    if stored is None:
        return None
    if crc32c(place + stored) != RESIDUE:
        checked(place, stored)
    if place is key:
        return stored[:-4]
    found, value = split_long(stored[:-4])
    invariant(found == key, "two long keys with one hash of 128 bits")
    return value
