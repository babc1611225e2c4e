"""Snapshots that are damaged, cut short, or somebody's invention: refused, never half believed."""

import gzip
import hashlib
import io
import struct
import tarfile
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.base.errors import RequestError, StorageError
from quorate.base.ids import Slot
from quorate.chunks import chunk_of
from quorate.domains import DOMAINS
from quorate.gateways.http.archive import META, STATE, SUMS, ArchiveError, pack, unpack
from quorate.httpserver.spool import Space
from quorate.kv.commands import KvAcquire, KvSet
from quorate.machine.commands import RestoreRows
from quorate.machine.restore import is_sound
from quorate.machine.snapshot import MAGIC, content, restore_commands
from quorate.runtime import snapshots as files
from quorate.runtime.snapshots import SnapshotWriter, read_snapshot
from quorate.wire.checksum import crc32c
from tests.unit.machine.lab import Lab

BYTES_MAX = 1 << 20
MEMORY_MAX = 24 << 20
BLOCK = 512

places = st.floats(0, 1, exclude_max=True)  # where in something, whatever its length
bits = st.integers(0, 7)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=7),
    max_leaves=30,
)  # fmt: skip


def flipped(data: bytes, place: float, bit: int) -> bytes:
    changed = bytearray(data)
    changed[int(place * len(data))] ^= 1 << bit
    return bytes(changed)


def framed(crc: Callable[[bytes], int], *parts: bytes) -> bytes:
    return b"".join(
        len(part).to_bytes(4, "big") + crc(part).to_bytes(4, "big") + part for part in parts
    )


# --- of the tables, on disk -------------------------------------------------------------------

ROWS = [tuple((b"\1\1%d" % n, b"v" * n) for n in range(40)), ((b"\1\2", b""),)]


def read(data: bytes) -> list[tuple[tuple[bytes, bytes], ...]] | None:
    """What such a file holds; None if it is refused, and rightly called corrupt."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            return list(read_snapshot(Path(file.name)))
        except StorageError as error:
            fault = error
    assert (fault.code, file.name in fault.text) == ("corrupt", True)
    return None


@cache
def file_of_tables() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        writer = SnapshotWriter(Path(folder), Slot(7))
        for rows in ROWS:
            writer.put(chunk_of(rows, crc32c), len(rows))
        return writer.finish().read_bytes()


def test_a_whole_file_is_read() -> None:
    assert read(file_of_tables()) == ROWS


@given(data=st.binary(max_size=300), has_magic=st.booleans())
def test_any_bytes_are_no_file_of_tables(data: bytes, has_magic: bool) -> None:
    assert read(files.MAGIC * has_magic + data) is None


@given(place=places)
def test_a_file_of_tables_that_is_cut_short_is_refused(place: float) -> None:
    data = file_of_tables()
    assert read(data[: int(place * len(data))]) is None


@given(place=places, bit=bits)
def test_a_file_of_tables_with_a_flipped_bit_is_refused(place: float, bit: int) -> None:
    assert read(flipped(file_of_tables(), place, bit)) is None


@given(parts=st.lists(values.map(msgspec.msgpack.encode) | st.just(b""), max_size=5))
def test_frames_that_hold_something_else_are_refused(parts: list[bytes]) -> None:
    header = msgspec.msgpack.encode([7])
    found = read(files.MAGIC + framed(crc32c, header, *parts))
    assert found is None or all(type(key) is bytes for rows in found for key, _ in rows)


# --- for users: the state ---------------------------------------------------------------------


@cache
def state() -> bytes:
    lab = Lab()
    s = lab.session("s", ttl_ms=10_000)
    lab.do(KvSet(b"a", b"1", 7), KvAcquire(b"locked", b"2", 0, s))
    return b"".join(content(DOMAINS, lab.tables))


def is_restored(data: bytes) -> bool:
    """Whether a state is believed; then a cluster can take it and live on."""
    try:
        commands = list(restore_commands(DOMAINS, data, "r"))
    except RequestError as error:
        if error.code != "bad_request":
            raise
        return False
    rows = [row for each in commands if isinstance(each, RestoreRows) for row in each.rows]
    assert all(is_sound(DOMAINS, *row) for row in rows)
    lab = Lab()
    assert all(lab.do(command) is True for command in commands)
    held = lab.session("later", node="Ann") if lab.read.node("Ann").value else ""
    lab.do(KvSet(b"later", b"1"), *(KvAcquire(key[1:], b"", 0, held) for key, _ in rows))
    return True


def test_a_whole_state_is_restored() -> None:
    assert is_restored(state())


@given(data=st.binary(max_size=300), has_magic=st.booleans())
def test_any_bytes_are_no_state(data: bytes, has_magic: bool) -> None:
    assert not is_restored(MAGIC * has_magic + data)


@given(place=places)
def test_a_state_that_is_cut_short_is_refused(place: float) -> None:
    assert not is_restored(state()[: int(place * len(state()))])


@given(place=places, bit=bits)
def test_a_state_with_a_flipped_bit_is_refused(place: float, bit: int) -> None:
    assert not is_restored(flipped(state(), place, bit))


HEADER = msgspec.msgpack.encode([5, 0, "c", 0, 0, 2])


@given(parts=st.lists(values.map(msgspec.msgpack.encode) | st.binary(max_size=30), max_size=5))
@example(parts=[b"\x93\x01\x02\xa1\xff"])  # a name that is no UTF-8
def test_an_invented_state_is_refused_or_usable(parts: list[bytes]) -> None:
    is_restored(MAGIC + framed(zlib.crc32, *parts))
    is_restored(MAGIC + framed(zlib.crc32, HEADER, *parts))


numbers = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([2**63, 2**64 - 1, 0, 1])


@given(index=numbers, row=st.tuples(numbers, numbers, numbers, numbers))
@example(index=2**64 - 1, row=(1, 1, 1, 0))
@example(index=5, row=(1, 1, 2**64 - 1, 0))
def test_invented_numbers_are_refused_or_usable(index: int, row: tuple[int, int, int, int]) -> None:
    key, value = b"\1k", msgspec.msgpack.encode([*row, "", b"v"])
    info = [index, 0, "c"]
    node = next(
        row for each in restore_commands(DOMAINS, state(), "r") if isinstance(each, RestoreRows)
        for row in each.rows if b"Ann" in row[1]
    )  # fmt: skip
    rows: list[Any] = [(key, value), node]
    size = sum(len(part) for row in rows for part in row)
    encode = msgspec.msgpack.encode
    is_restored(
        MAGIC + framed(zlib.crc32, encode(info), encode(rows), b"", encode([*info, 2, size]))
    )


# --- for users: the archive around it ---------------------------------------------------------


def unpacked(data: bytes) -> bytes | None:
    """The state in an archive; None if it is refused. Memory stays bounded by what is allowed."""
    tracemalloc.start()
    try:
        pieces: list[bytes] = []
        unpack(io.BytesIO(data), BYTES_MAX, pieces.append)
        return b"".join(pieces)
    except ArchiveError:
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY_MAX


@cache
def plain_tar() -> bytes:
    with closing(pack([state()], {"Index": 7}, Space("", 0))) as file:
        return gzip.decompress(file.rewind().read())


def tar_of(entries: list[tuple[str, bytes, dict[str, str]]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data, pax in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.pax_headers = pax
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def with_header(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    """A tar whose first header is changed, its sum too."""
    head = bytearray(data[:BLOCK])
    for place, change in changes:
        head[place : place + len(change)] = change
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[BLOCK:]


def size_of_256(size: int) -> bytes:
    return struct.pack(">Iq", 0x80000000 if size >= 0 else 0xFFFFFFFF, size)


META_DATA = b"{}"
SPARSE = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,1", "GNU.sparse.numblocks": "1"}
ODD = {
    "no bytes at all": b"",
    "a hole of a terabyte": tar_of([(STATE, b"x", SPARSE), (META, b"{}", {}), (SUMS, b"", {})]),
    "a map that is none": tar_of([(STATE, b"x", {"GNU.sparse.map": "x", "GNU.sparse.size": "9"})]),
    "a negative size": with_header(plain_tar(), (124, size_of_256(-BLOCK))),
    "an endless size": with_header(plain_tar(), (124, size_of_256(1 << 60))),
    "a size in words": with_header(plain_tar(), (124, b"notanumber\0\0")),
    "an endless name": with_header(plain_tar(), (124, size_of_256(1 << 60)), (156, b"L")),
    "endless words": with_header(plain_tar(), (124, size_of_256(1 << 60)), (156, b"x")),
    "names of names": with_header(plain_tar(), (124, b"%011o\0" % 0), (156, b"L"))[:BLOCK] * 1900,
    "a link to itself": with_header(plain_tar(), (156, b"2"), (157, META.encode())),
    "a directory": with_header(plain_tar(), (156, b"5")),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_an_odd_tar_is_refused(data: bytes) -> None:
    assert unpacked(gzip.compress(data)) is None


@given(data=st.binary(max_size=2000), is_packed=st.booleans())
def test_any_bytes_are_no_archive(data: bytes, is_packed: bool) -> None:
    assert unpacked(gzip.compress(data) if is_packed else data) is None


@given(place=places)
def test_an_archive_that_is_cut_short_is_refused(place: float) -> None:
    data = gzip.compress(plain_tar())
    assert unpacked(data[: int(place * len(data))]) is None


@given(place=places, bit=bits)
def test_a_bit_flipped_inside_an_archive_never_gives_another_state(place: float, bit: int) -> None:
    assert unpacked(gzip.compress(flipped(plain_tar(), place, bit))) in (None, state())


@given(
    place=st.integers(0, 2),
    changes=st.lists(st.tuples(st.integers(0, BLOCK - 1), st.binary(max_size=12)), max_size=3),
)
def test_an_invented_header_never_gives_another_state(
    place: int, changes: list[tuple[int, bytes]]
) -> None:
    data = plain_tar()
    start = (0, data.index(STATE.encode()), data.rindex(SUMS.encode()))[place]
    data = data[:start] + with_header(data[start:], *changes)[: len(data) - start]
    assert unpacked(gzip.compress(data)) in (None, state())


def test_an_archive_made_by_others_is_read() -> None:
    sums = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in ((META, META_DATA), (STATE, state()))
    )
    words = {"comment": "äöü"}
    data = tar_of([(META, META_DATA, words), (STATE, state(), words), (SUMS, sums.encode(), words)])
    assert unpacked(gzip.compress(data)) == state()
