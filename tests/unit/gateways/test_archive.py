"""Snapshot files: whole or refused."""

import contextlib
import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.gateways.http.archive import ArchiveError, pack, size_of, unpack

STATE = b"state" * 1000
BYTES_MAX = 1 << 20


def packed(state: bytes = STATE) -> bytes:
    with pack([state[:10], state[10:]], {"Index": 7}) as file:
        return file.read()


def tarred(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_what_was_packed_is_unpacked() -> None:
    assert unpack(packed(), BYTES_MAX) == STATE


def test_any_tar_shows_what_is_inside() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed())) as tar:
        assert tar.getnames() == ["meta.json", "state.bin", "SHA256SUMS"]


def test_the_length_is_told_before_the_first_byte() -> None:
    with pack([STATE], {}) as file:
        assert size_of(file) == len(file.read())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "failed to decompress snapshot: EOF"),
        (b"garbage", "failed to decompress snapshot: "),
        (gzip.compress(b"no tar", mtime=0), "failed to read snapshot file: "),
        (
            gzip.compress(b"x" * (BYTES_MAX + 1), mtime=0),
            "failed to decompress snapshot: it becomes larger",
        ),
        (packed()[:-20], "failed to decompress snapshot: "),
        (tarred(state_bin=STATE), "failed to read snapshot file: it lacks meta.json, SHA256SUMS"),
        (
            tarred(meta_json=b"{}", state_bin=STATE, SHA256SUMS=b"00  state.bin\n"),
            "failed to read snapshot file: the digest of meta.json is wrong",
        ),
        (tarred(**{f"f{n}": b"" for n in range(9)}), "failed to read snapshot file: it holds too"),
    ],
)
def test_what_is_no_whole_snapshot_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        unpack(data, BYTES_MAX)
    assert str(caught.value).startswith(why)


@given(place=st.integers(0, len(packed()) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_never_gives_another_state(place: int, bit: int) -> None:
    data = bytearray(packed())
    data[place] ^= 1 << bit
    with contextlib.suppress(ArchiveError):  # seen, and refused
        assert unpack(bytes(data), BYTES_MAX) == STATE
