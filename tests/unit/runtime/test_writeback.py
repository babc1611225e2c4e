"""Write-back: which pieces, how often, and that it is only advice."""

from pathlib import Path
from threading import Event

import pytest

from quorate.runtime import writeback
from quorate.runtime.writeback import (
    PAUSE_S_MIN,
    PIECE_BYTES,
    ROUND_S,
    ROUND_S_MAX,
    WriteBack,
    WritePlan,
    round_through,
    system_write_out,
)
from tests.limits import HANG_S

GIB = 1024**3


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 64 * PIECE_BYTES, GIB, 10 * GIB, 500 * GIB])
def test_a_pass_covers_the_file_before_the_kernel_would_and_wakes_seldom(size: int) -> None:
    piece_bytes, pause_s = round_through(size)
    pieces = -(-size // piece_bytes)
    assert pieces * pause_s <= ROUND_S_MAX + PAUSE_S_MIN
    assert pause_s >= PAUSE_S_MIN


def test_a_small_file_is_written_in_small_pieces() -> None:
    assert round_through(16 * PIECE_BYTES) == WritePlan(PIECE_BYTES, ROUND_S / 16)


def test_every_byte_of_the_file_is_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writeback, "PIECE_BYTES", 1000)
    monkeypatch.setattr(writeback, "ROUND_S", 0.0)
    monkeypatch.setattr(writeback, "PAUSE_S_MIN", 1e-9)
    path = tmp_path / "file"
    path.write_bytes(bytes(3500))
    pieces: list[tuple[int, int]] = []
    WriteBack(path, int, lambda _, offset, size: pieces.append((offset, size))).go_through()
    assert pieces == [(0, 1000), (1000, 1000), (2000, 1000), (3000, 1000)]


def test_it_goes_through_a_file_that_changed_and_outlives_one_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writeback, "ROUND_S", 0.001)
    path = tmp_path / "file"
    versions = [0]
    asked, written = Event(), Event()

    def version() -> int:
        asked.set()
        return versions[0]

    def write_out(_: int, __: int, ___: int) -> None:
        written.set()

    write_back = WriteBack(path, version, write_out)
    write_back.start()
    try:
        versions[0] = 1  # of a file that is not there
        asked.clear()
        assert asked.wait(HANG_S)
        path.write_bytes(b"changed")
        while not written.wait(0.001):
            versions[0] += 1
    finally:
        write_back.close()


def test_a_file_that_does_not_change_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writeback, "ROUND_S", 0.0001)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    rounds: list[int] = []
    enough = Event()

    def version() -> int:
        rounds.append(1)
        if len(rounds) > 20:
            enough.set()
        return 7

    written: list[int] = []
    write_back = WriteBack(path, version, lambda _, offset, __: written.append(offset))
    write_back.start()
    assert enough.wait(HANG_S)
    write_back.close()
    assert not written


def test_the_call_of_the_system_writes_what_was_changed(tmp_path: Path) -> None:
    write_out = system_write_out()
    if write_out is None:
        pytest.skip("no sync_file_range here")
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * 1024 * 1024))
    WriteBack(path, int, write_out).go_through()
    assert path.read_bytes() == bytes(2 * 1024 * 1024)
