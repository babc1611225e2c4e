"""Snapshot files: whole or refused."""

import contextlib
import gzip
import io
import tarfile
import tracemalloc
import zlib
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.gateways.http.archive import (
    CHUNK_BYTES,
    SMALL_BYTES_MAX,
    ArchiveError,
    pack,
    scan,
    unpack,
)
from quorate.httpserver.spool import Space

STATE = b"state" * 1000
BYTES_MAX = 1 << 20
SPACE = Space("", 0)


def packed(state: bytes = STATE) -> bytes:
    with closing(pack([state[:10], state[10:]], {"Index": 7}, SPACE)) as file:
        return file.rewind().read()


def unpacked(data: bytes, bytes_max: int = BYTES_MAX) -> bytes:
    pieces: list[bytes] = []
    unpack(io.BytesIO(data), bytes_max, pieces.append)
    assert all(len(piece) <= CHUNK_BYTES for piece in pieces)
    return b"".join(pieces)


def tarred(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tar_head(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.USTAR_FORMAT)


def test_what_was_packed_is_unpacked() -> None:
    assert unpacked(packed()) == STATE


def test_any_tar_shows_what_is_inside() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed())) as tar:
        assert tar.getnames() == ["meta.json", "state.bin", "SHA256SUMS"]


def test_the_length_is_reported_before_the_first_byte() -> None:
    with closing(pack([STATE], {}, SPACE)) as file:
        assert file.size == len(file.rewind().read())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "failed to decompress snapshot: EOF: the file is empty"),
        (b"\x1f", "failed to decompress snapshot: unexpected EOF: the file is cut short"),
        (b"garbage", "failed to decompress snapshot: gzip: invalid header: it is no gzip file"),
        (b"PK\3\4" + bytes(99), "failed to decompress snapshot: gzip: invalid header"),
        (packed()[:3] + b"\xff" + packed()[4:], "failed to decompress snapshot: gzip: invalid"),
        (packed()[:10] + b"\xff" * 9, "failed to decompress snapshot: deflate: corrupt input"),
        (packed()[:-8] + bytes(8), "failed to decompress snapshot: gzip: invalid checksum"),
        (gzip.compress(b"no tar", mtime=0), "failed to read snapshot file: a header of the tar"),
        (
            gzip.compress(gzip.decompress(packed())[:700], mtime=0),
            "failed to read snapshot file: unexpected EOF",
        ),
        (packed() + b"x", "failed to decompress snapshot: gzip: invalid header: 1 bytes follow"),
        (
            gzip.compress(tar_head("state.bin", 8 * BYTES_MAX) + bytes(2 * BYTES_MAX), mtime=0),
            "failed to decompress snapshot: it becomes larger",
        ),
        (packed()[:-20], "failed to decompress snapshot: "),
        (tarred(state_bin=STATE), "failed to read snapshot file: it lacks meta.json, SHA256SUMS"),
        (
            tarred(meta_json=b"{}", state_bin=STATE, SHA256SUMS=b"00  state.bin\n"),
            "failed to read snapshot file: the digest of meta.json is wrong",
        ),
        (
            tarred(state_bin=STATE, other=b""),
            'failed to read snapshot file: unexpected file "other" in it',
        ),
        (
            gzip.compress(tar_head("d", 0, tarfile.XHDTYPE) * 9, mtime=0),
            "failed to read snapshot file: it holds too many files",
        ),
    ],
)
def test_what_is_no_whole_snapshot_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        unpacked(data)
    assert str(caught.value).startswith(why)


def test_a_snapshot_that_is_cut_short_anywhere_is_refused() -> None:
    whole = packed()
    for length in range(len(whole)):
        with pytest.raises(ArchiveError, match="EOF"):
            unpacked(whole[:length])


def test_a_tar_that_is_cut_short_anywhere_before_its_end_is_refused() -> None:
    """At every byte of the headers and of the blocks; zeros at its end are filling."""
    whole = gzip.decompress(packed(b"state"))
    end = len(whole.rstrip(b"\0"))
    for length in range(end):
        with pytest.raises(ArchiveError):
            unpacked(gzip.compress(whole[:length], 1, mtime=0))


@pytest.mark.parametrize("rest", [b"x", b"\0", bytes(512), packed(), b"\x1f\x8b", b"y" * 300_000])
def test_whatever_is_behind_a_snapshot_it_is_refused(rest: bytes) -> None:
    with pytest.raises(ArchiveError, match=f"{len(rest)} bytes follow the end"):
        unpacked(packed() + rest)


@pytest.mark.parametrize("rest", [b"x", bytes(600) + b"x", gzip.decompress(packed())])
def test_whatever_is_behind_the_tar_in_a_snapshot_it_is_refused(rest: bytes) -> None:
    data = gzip.compress(gzip.decompress(packed()) + rest, mtime=0)
    with pytest.raises(ArchiveError, match="something follows the end of the tar"):
        unpacked(data)


@given(place=st.integers(0, len(packed()) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_never_gives_another_state(place: int, bit: int) -> None:
    data = bytearray(packed())
    data[place] ^= 1 << bit
    with contextlib.suppress(ArchiveError):  # seen, and refused
        assert unpacked(bytes(data)) == STATE


# --- small files that unpack to huge ones -----------------------------------------------------

HUGE = 256 * 1024 * 1024
MEMORY_BYTES_MAX = 8 * 1024 * 1024


def bomb(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A quarter of a GiB of zeros as one member, in 256 KiB."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(tar_head(name, HUGE, kind))]
    parts += [packer.compress(bytes(1024 * 1024)) for _ in range(HUGE // (1024 * 1024))]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("state.bin", tarfile.REGTYPE),
        ("meta.json", tarfile.REGTYPE),
        ("SHA256SUMS", tarfile.REGTYPE),
        ("other", tarfile.REGTYPE),
        ("pax", tarfile.XHDTYPE),
        ("long", tarfile.GNUTYPE_LONGNAME),
    ],
)
@pytest.mark.parametrize("bytes_max", [BYTES_MAX, 2 * HUGE])
def test_a_bomb_takes_no_memory_whatever_it_says_it_is(
    name: str, kind: bytes, bytes_max: int
) -> None:
    data = io.BytesIO(bomb(name, kind))
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError):
            unpack(data, bytes_max, lambda _: None)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_a_bomb_is_given_up_at_its_limit() -> None:
    sizes: list[int] = []
    with pytest.raises(ArchiveError, match="it becomes larger than"):
        unpack(io.BytesIO(bomb("state.bin")), BYTES_MAX, lambda piece: sizes.append(len(piece)))
    assert sum(sizes) <= BYTES_MAX


def test_what_stands_twice_in_an_archive_is_refused() -> None:
    part = tar_head("meta.json", 0)
    data = io.BytesIO(gzip.compress(part + part + bytes(1024), mtime=0))
    with pytest.raises(ArchiveError, match="twice"):
        scan(data, BYTES_MAX, lambda _: None)


def test_a_list_of_sums_that_is_too_long_is_refused_before_it_is_read() -> None:
    data = io.BytesIO(gzip.compress(tar_head("SHA256SUMS", SMALL_BYTES_MAX + 1), mtime=0))
    with pytest.raises(ArchiveError, match="too long"):
        scan(data, BYTES_MAX, lambda _: None)
