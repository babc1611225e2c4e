"""Snapshots for users, and their way back into a running cluster."""

from collections.abc import Callable
from functools import partial
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.base.command import Command
from quorate.base.errors import RequestError
from quorate.base.formats import ARCHIVE
from quorate.base.outcomes import Failure
from quorate.base.subjects import EVERYTHING, exactly
from quorate.catalog.commands import NodeRegister, ServiceRegister
from quorate.domains import DOMAINS
from quorate.kv.commands import KvAcquire, KvDelete, KvSet
from quorate.kv.subjects import of_key
from quorate.kv.tables import KV, KV_DELAY, KV_LOCKS, KV_TOMBSTONES
from quorate.machine.commands import RestoreBegin, RestoreCommit, RestoreRows, Sweep
from quorate.machine.snapshot import MAGIC, content, dump, inventory, restore_commands, verify
from quorate.machine.watches import Watches
from quorate.sessions.commands import SessionDestroy, SessionExpire
from tests.unit.machine.lab import ANN, Lab, fired


def furnished() -> Lab:
    lab = Lab()
    s = lab.session("s", ttl_ms=10_000, lock_delay_ms=9_000)
    gone = lab.session("gone", lock_delay_ms=9_000)
    lab.do(KvSet(b"a", b"1", 7), KvAcquire(b"locked", b"2", 0, s), KvSet(b"removed", b""))
    lab.do(KvAcquire(b"delayed", b"", 0, gone), SessionDestroy(gone), KvDelete(b"removed"))
    lab.do(NodeRegister("bob", "Bob", "", "dc1", {}, {}), ServiceRegister("bob", "w", "web", b"{}"))
    lab.do(*(KvSet(b"many/%05d" % n, b"v" * 1_000) for n in range(600)))
    return lab


def snapshot_of(lab: Lab) -> bytes:
    return b"".join(content(DOMAINS, lab.tables))


def restore(lab: Lab, data: bytes, restore_id: str = "r") -> bool:
    values = [lab.do(command) for command in restore_commands(DOMAINS, data, restore_id)]
    assert all(value is True for value in values[:-1])
    last: bool = values[-1]
    return last


def visible(lab: Lab) -> dict[str, object]:
    """What users see, less the times that count anew."""
    found: dict[str, object] = {}
    for name, rows in dump(DOMAINS, lab.tables).items():
        if name in {"KV", "KV_LOCKS", "NODES", "SERVICES", "CHECKS", "NODE_SERVICES"}:
            found[name] = rows
        elif name == "SESSIONS":
            found[name] = sorted(rows)
    return found


# --- there and back ---------------------------------------------------------------------------


def test_a_snapshot_tells_what_it_is() -> None:
    lab = furnished()
    info = verify(DOMAINS, snapshot_of(lab))
    assert info.index == lab.machine.index
    assert info.cluster_id == "cluster"
    assert info.rows > 600


def test_another_cluster_gets_the_whole_state() -> None:
    source, other = furnished(), Lab()
    other.do(KvSet(b"other", b""))
    assert restore(other, snapshot_of(source)) is True
    assert visible(other) == visible(source)


def test_an_older_state_comes_back_and_the_index_goes_on() -> None:
    lab = furnished()
    data, before = snapshot_of(lab), visible(lab)
    lab.do(KvSet(b"later", b""), KvDelete(b"a"))
    index = lab.machine.index
    assert restore(lab, data) is True
    assert lab.machine.index == index + 1
    assert visible(lab) == before
    lab.do(KvSet(b"after", b""))
    assert lab.machine.index == index + 2


def test_the_index_continues_above_the_snapshots_too() -> None:
    source, other = furnished(), Lab()
    restore(other, snapshot_of(source))
    assert other.machine.index == source.machine.index + 1


def test_everybody_wakes_and_every_older_index_is_answered() -> None:
    lab = furnished()
    data = snapshot_of(lab)
    lab.do(KvSet(b"a", b"newer"))
    watches = Watches()
    watches.add([exactly(of_key(b"whatever"))], "reader")
    restore(lab, data)
    assert EVERYTHING in lab.changed_subjects
    assert fired(watches, lab.changed_subjects) == ["reader"]
    for name in (b"a", b"never"):
        answer = lab.read.kv_get(name)
        assert answer.changed == answer.header == lab.machine.index
    at_once = lab.read.kv_at_once(b"a")
    assert at_once is not None
    assert at_once[1] == lab.machine.index
    assert lab.read.session_list().changed == lab.machine.index
    assert lab.read.services_of_name("web").changed == lab.machine.index


def test_members_dedup_and_logged_time_stay() -> None:
    source, lab = furnished(), Lab()
    source.log_time_ms = 10**9
    source.do(KvSet(b"x", b""))
    chain = lab.machine.configurations
    restore(lab, snapshot_of(source))
    assert lab.machine.log_time_ms == lab.log_time_ms
    assert lab.machine.configurations == chain
    assert lab.machine.cluster_id == "cluster"
    assert lab.machine.last_sequence(ANN)[1] == lab.machine.applied


def test_sessions_get_their_full_time_and_lock_delays_what_was_left() -> None:
    source, lab = furnished(), Lab()
    source.log_time_ms += 4_000
    source.do(KvSet(b"x", b""))
    lab.log_time_ms = 70_000
    restore(lab, snapshot_of(source))
    assert lab.machine.expirations(89_999) == [Sweep(1_000)]
    assert SessionExpire("s", 70_000) in lab.machine.expirations(90_000)
    other = lab.session("other")
    lab.log_time_ms = 74_999
    assert lab.do(KvAcquire(b"delayed", b"", 0, other)) is False
    lab.log_time_ms = 75_000
    assert lab.do(KvAcquire(b"delayed", b"", 0, other)) is True


def test_locks_and_their_sessions_still_know_each_other() -> None:
    source, lab = furnished(), Lab()
    restore(lab, snapshot_of(source))
    lab.do(SessionDestroy("s"))
    entry = lab.read.kv_get(b"locked").value
    assert entry is not None
    assert entry.row.session == ""


def test_what_was_current_is_swept_in_slices() -> None:
    lab = furnished()
    restore(lab, snapshot_of(lab))
    assert "other" in dump(DOMAINS, lab.tables)
    swept: list[int] = []
    while lab.machine.expirations(lab.log_time_ms) and len(swept) < 100:
        swept.append(lab.do(Sweep(100)))
        lab.log_time_ms += 100
    assert "other" not in dump(DOMAINS, lab.tables)
    assert swept[0] == 100
    assert lab.do(Sweep(100)) == 0


def test_a_slice_that_is_not_applied_is_proposed_again_only_after_a_while() -> None:
    lab = furnished()
    restore(lab, snapshot_of(lab))
    now_ms = lab.log_time_ms
    assert lab.machine.expirations(now_ms) == [Sweep(1_000)]
    assert lab.machine.expirations(now_ms + 1_999) == []
    assert lab.machine.expirations(now_ms + 2_000) == [Sweep(1_000)]
    lab.do(Sweep(10))
    assert lab.machine.expirations(now_ms + 2_100) == [Sweep(1_000)]


def test_generations_take_turns_for_ever() -> None:
    lab = Lab()
    lab.do(KvSet(b"k", b"v"))
    for number in range(300):
        assert restore(lab, snapshot_of(lab), f"r{number}") is True
        while lab.do(Sweep(1_000)):
            pass
    entry = lab.read.kv_get(b"k").value
    assert entry is not None
    assert entry.row.value == b"v"


# --- what goes wrong --------------------------------------------------------------------------


def test_rows_of_another_restore_are_ignored_and_an_older_one_is_dropped() -> None:
    lab = Lab()
    lab.do(RestoreBegin("first"))
    lab.do(RestoreBegin("second"))
    assert lab.do(RestoreRows("first", ())) is False
    assert lab.do(RestoreCommit("first", 0, 0)) is False
    assert lab.do(RestoreCommit("second", 0, 0)) is True
    assert lab.do(RestoreCommit("second", 0, 0)) is False
    assert lab.read.kv_list(b"").value == []


def test_an_incomplete_restore_does_not_become_current() -> None:
    lab = furnished()
    before, commands = visible(lab), list(restore_commands(DOMAINS, snapshot_of(lab), "r"))
    del commands[2]
    for command in commands[:-1]:
        lab.do(command)
    assert lab.do(commands[-1]) is False
    assert visible(lab) == before


@pytest.mark.parametrize(
    "row",
    [
        (bytes([KV]) + b"k", b"rubbish"),
        (bytes([KV_TOMBSTONES]) + b"k", b"12345678"),
        (bytes([KV_DELAY]) + b"k", b"1"),
        (bytes([KV_LOCKS]) + b"k", b"1"),
        (b"\xee", b""),
        (b"", b""),
    ],
)
def test_a_row_that_cannot_be_read_spoils_the_restore(row: tuple[bytes, bytes]) -> None:
    lab = Lab()
    lab.do(RestoreBegin("r"))
    assert isinstance(lab.do(RestoreRows("r", (row,))), Failure)
    assert lab.do(RestoreRows("r", ())) is False
    assert lab.do(RestoreCommit("r", 0, 0)) is False


def test_rubbish_is_refused_before_anything_is_proposed() -> None:
    for rubbish in (b"", b"rubbish", b"quorate-state-1\n"):
        with pytest.raises(RequestError):
            list(restore_commands(DOMAINS, rubbish, "r"))


def with_info(snapshot: bytes, change: Callable[[list[Any]], list[Any]]) -> bytes:
    """The same snapshot with other fields at its begin and its end."""
    frames, place = list[bytes](), len(MAGIC)
    while place < len(snapshot):
        length = int.from_bytes(snapshot[place : place + 4], "big")
        frames.append(snapshot[place + 8 : place + 8 + length])
        place += 8 + length
    for number in (0, -1):
        fields = change(msgspec.msgpack.decode(frames[number]))
        frames[number] = msgspec.msgpack.encode(fields)
    heads = [len(f).to_bytes(4, "big") + crc32(f).to_bytes(4, "big") for f in frames]
    return MAGIC + b"".join(head + f for head, f in zip(heads, frames, strict=True))


def all_commands(data: bytes) -> list[Command]:
    return list(restore_commands(DOMAINS, data, "r"))


READERS: tuple[Callable[[bytes], object], ...] = (
    partial(verify, DOMAINS),
    partial(inventory, DOMAINS),
    all_commands,
)


def test_a_snapshot_of_format_1_is_restored() -> None:
    lab, other = furnished(), Lab()
    older = with_info(snapshot_of(lab), lambda fields: fields[:5])
    assert len(older) < len(snapshot_of(lab))
    assert verify(DOMAINS, older).format == 1
    for command in restore_commands(DOMAINS, older, "r"):
        assert other.do(command) is not False
    assert verify(DOMAINS, snapshot_of(other)).rows == verify(DOMAINS, snapshot_of(lab)).rows


def test_a_snapshot_says_its_format_and_a_newer_one_is_refused_with_what_to_do() -> None:
    whole = snapshot_of(furnished())
    now = ARCHIVE.newest
    assert verify(DOMAINS, whole).format == now
    newer = with_info(whole, lambda fields: [*fields[:5], now + 1, "more"])
    refusals: list[str] = []
    for read in READERS:
        with pytest.raises(RequestError) as caught:
            read(newer)
        refusals.append(caught.value.text)
    text = (
        f"the snapshot was written by a newer version of Quorate (format {now + 1}, this one "
        f"knows {now}): restore it with that version, or a newer one"
    )
    assert refusals == [text] * 3
    assert verify(DOMAINS, with_info(whole, lambda fields: [*fields, "ignored"])) == verify(
        DOMAINS, whole
    )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_is_found(data: st.DataObject) -> None:
    lab = Lab()
    lab.do(KvSet(b"k", b"v" * 100))
    whole = snapshot_of(lab)
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:place]
    else:
        bit = 1 << data.draw(st.integers(0, 7))
        broken = whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]
    with pytest.raises(RequestError):
        verify(DOMAINS, broken)
    with pytest.raises(RequestError):
        verify(DOMAINS, whole + b"x" + broken)


def test_a_value_above_todays_limit_is_named_and_not_taken_for_damage() -> None:
    """The limit may be lowered while longer values are stored."""
    lab = Lab()
    lab.apply(KvSet(b"k", bytes(2000)))
    data = snapshot_of(lab)
    assert verify(DOMAINS, data, frame_bytes_max=4000).rows > 0
    with pytest.raises(RequestError, match="kv_max_value_size") as caught:
        verify(DOMAINS, data, frame_bytes_max=1000)
    assert caught.value.code == "too_large"
    with pytest.raises(RequestError, match="cut short"):
        verify(DOMAINS, data[:-1000], frame_bytes_max=1000)
