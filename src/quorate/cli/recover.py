"""Recovery of a cluster whose majority is gone for good: a new founding out of what survived.

Offline, and on copies: the directories of the survivors are not changed. What their tables and
logs hold together is replayed by the same code as in a node, up to the last slot that any of
them knows without a gap; of a slot that nobody knows to be chosen, the vote of the highest ballot
counts, as a new leader's would. The result is a new data directory of a cluster of one, with
another cluster id: nodes of the old one and of the new one refuse each other.

What only the lost nodes had is lost. Writes whose outcome was never known may turn up.
"""

import fcntl
import logging
import random
import shutil
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from quorate.base.batches import Batch, Bundle, Configuration, Member, encode_batch
from quorate.base.command import Command, encode_command, join_commands
from quorate.base.config import NodeSettings
from quorate.base.effects import Persist
from quorate.base.errors import ConflictError, RequestError, StorageError
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.ports import Tables
from quorate.base.records import Chosen, Founded, Promised, Record, Vote
from quorate.domains import DOMAINS
from quorate.kv.tables import KV
from quorate.machine.commands import RestoreBegin, RestoreCommit, RestoreRows
from quorate.machine.snapshot import saved_rows
from quorate.machine.state import STATE_KEY, State, decode_state
from quorate.node.node import Node
from quorate.runtime.home import Home, HomeSettings

CHUNK_BYTES = 256 * 1024  # of rows in one batch: far below the limit of a batch

Row = tuple[bytes, bytes]


class Recovered(msgspec.Struct, frozen=True):
    """What was made.

    Attributes:
        member: The only node of the new cluster.
        cluster_id: Of the new cluster.
        slot: The last slot of the old cluster that is in it.
        index: The index it goes on from.
        keys: How many keys it has.
        guessed: Slots at the end of which no survivor knew whether they were chosen.
    """

    member: Member
    cluster_id: str
    slot: Slot
    index: int
    keys: int
    guessed: int


class _Survivor(NamedTuple):
    """What one directory holds."""

    home: Home
    founded: Founded
    records: list[Record]
    applied: Slot


def recover(survivors: Sequence[Path], into: Path) -> Recovered:
    """Found a new cluster out of what survived of an old one.

    Args:
        survivors: Data directories of nodes that do not run; as many as there are, the more the
            better.
        into: The new data directory: missing or empty. Copies lie beside it meanwhile.

    Raises:
        StorageError: A directory is used by a process, is none, or is damaged; `into` is not
            empty.
        ConflictError: `precondition`: they are not all of one cluster.
        RequestError: `bad_request`: none of them belongs to a cluster.
    """
    if into.exists() and any(into.iterdir()):
        raise StorageError("foreign", f"{into} is not empty: name a directory that does not exist")
    work = into.with_name(f"{into.name}.work")
    if work.exists():
        raise StorageError("foreign", f"{work} is left over from another recovery: remove it")
    try:
        found = [
            _opened(_copied(path, work / str(number))) for number, path in enumerate(survivors)
        ]
        return _founded(found, into)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copied(path: Path, target: Path) -> Path:
    """Copy a directory while no process can use it."""
    if not (path / "node.json").exists():
        raise StorageError("foreign", f"{path} is no data directory of Quorate")
    with _locked(path):
        try:
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("lock", "*.new"))
        except OSError as error:
            raise StorageError("disk_full", f"copying {path} to {target}: {error}") from error
    return target


@contextmanager
def _locked(path: Path) -> Generator[None, None, None]:
    """Keep a directory from being used, without a trace in it."""
    try:
        lock = (path / "lock").open("rb")
    except FileNotFoundError:  # a copy somebody made
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = lock.read().decode(errors="replace").strip() or "unknown"
            raise StorageError(
                "locked", f"{path} is used by process {pid}: stop every node of the old cluster"
            ) from None
        yield


def _opened(path: Path) -> _Survivor:
    home = Home(path, HomeSettings(), _log())
    records = list(home.wal.records())
    founded = [each for each in records if isinstance(each, Founded) and each.complete]
    if not founded:
        home.close(is_clean=False)
        raise RequestError("bad_request", f"{path}: this node never belonged to a cluster")
    data = home.tables.get(STATE_KEY)
    applied = decode_state(data).applied if data is not None else Slot(0)
    return _Survivor(home, founded[-1], records, applied)


def _log() -> FilteringBoundLogger:
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
    )
    return log


# --- what survived ----------------------------------------------------------------------------


def _founded(survivors: Sequence[_Survivor], into: Path) -> Recovered:
    clusters = {each.founded.cluster_id for each in survivors}
    if len(clusters) > 1:
        raise ConflictError(
            "precondition", f"the directories belong to different clusters: {sorted(clusters)}"
        )
    best = max(survivors, key=lambda each: each.applied)
    node, guessed = _replayed(best, survivors)
    member = _member_of(node, best.home.directory.node_id)
    state, rows = state_of(best.home.tables)
    made = _written(into, member, state, rows)
    for each in survivors:
        each.home.close(is_clean=False)
    keys = sum(key[0] == KV for key, _ in rows)
    return Recovered(made.member, made.cluster_id, state.applied, state.index, keys, guessed)


def merged(survivors: Sequence[Sequence[Record]]) -> dict[Slot, bytes]:
    """What each slot holds for all they know: chosen, else the vote of the highest ballot."""
    best: dict[Slot, tuple[bool, Ballot, bytes]] = {}
    for records in survivors:
        for record in records:
            if isinstance(record, Chosen):
                best[record.slot] = (True, NO_BALLOT, record.batch)
            elif isinstance(record, Vote):
                old = best.get(record.slot)
                if old is None or (not old[0] and old[1] < record.ballot):
                    best[record.slot] = (False, record.ballot, record.batch)
    return {slot: batch for slot, (_, _, batch) in best.items()}


def _replayed(best: _Survivor, survivors: Sequence[_Survivor]) -> tuple[Node, int]:
    """A node that has applied everything; and how many slots nobody knew to be chosen."""
    batches = merged([each.records for each in survivors])
    known = max(_watermark(each, batches) for each in survivors)

    def tail() -> Iterator[Record]:
        yield from best.records
        slot = Slot(best.applied + 1)
        while slot in batches:
            yield Chosen(slot, batches[slot])
            slot = Slot(slot + 1)

    directory = best.home.directory
    node = Node(
        Member(directory.node_id, "", ""),
        directory.incarnation,
        NodeSettings(),
        best.home.tables,
        tail(),
        random.Random(),  # noqa: S311 - this node never speaks
        0.0,
        wall_ms=lambda: 0,
    )
    return node, max(0, node.group.machine.applied - known)


def _watermark(survivor: _Survivor, batches: dict[Slot, bytes]) -> Slot:
    """The last slot that a survivor proves to be chosen."""
    proven = [survivor.applied]
    proven += [each.slot for each in survivor.records if isinstance(each, Chosen)]
    proven += [each.watermark for each in survivor.records if isinstance(each, Vote | Promised)]
    return max(
        (slot for slot in proven if slot in batches or slot <= survivor.applied), default=Slot(0)
    )


def _member_of(node: Node, own: NodeId) -> Member:
    """The survivor as its cluster knew it."""
    for _, configuration in reversed(node.group.machine.configurations):
        if (member := configuration.member(own)) is not None:
            return member
    return Member(own, "recovered", "")


def state_of(tables: Tables) -> tuple[State, list[Row]]:
    """The rows that a snapshot for users holds, with what is left of each lock-delay."""
    data = tables.get(STATE_KEY)
    state = State() if data is None else decode_state(data)
    rows = list(saved_rows(DOMAINS, tables, state))
    return state, rows


# --- what is made of it -----------------------------------------------------------------------


class _Made(NamedTuple):
    member: Member
    cluster_id: str


def _written(into: Path, old: Member, state: State, rows: Sequence[Row]) -> _Made:
    """Write the log of a cluster of one that restored these rows."""
    home = Home(into, HomeSettings(), _log())
    try:
        list(home.wal.records())
        member = Member(home.directory.node_id, old.name, old.address, old.http)
        cluster_id = str(uuid.uuid4())
        configuration = Configuration(1, 0, (member,))
        records: list[Record] = [Founded(cluster_id, configuration, complete=True)]
        for number, command in enumerate(restore_commands(rows, state.index), start=1):
            bundle = Bundle(
                member.id,
                home.directory.incarnation,
                number,
                1,
                join_commands([encode_command(command)]),
            )
            wall_ms = int(time.time() * 1000)
            batch = Batch(NO_BALLOT, state.stamp_ms, wall_ms, (bundle,))
            records.append(Chosen(Slot(number), encode_batch(batch)))
        home.wal.start(_at_once, _unheard, _unheard, _unheard)
        home.log_started()
        for record in records:
            home.wal.append([Persist(record)])
    finally:
        home.close(is_clean=True)
    if home.wal.mark != len(records):
        raise StorageError("disk_full", f"{into} could not be written; remove it and try again")
    return _Made(member, cluster_id)


def restore_commands(rows: Sequence[Row], index: int) -> Iterator[Command]:
    """The commands that put these rows in place of all others."""
    name = str(uuid.uuid4())
    yield RestoreBegin(name)
    chunk: list[Row] = []
    size = 0
    for row in rows:
        if chunk and size + len(row[0]) + len(row[1]) > CHUNK_BYTES:
            yield RestoreRows(name, tuple(chunk))
            chunk, size = [], 0
        chunk.append(row)
        size += len(row[0]) + len(row[1])
    if chunk:
        yield RestoreRows(name, tuple(chunk))
    yield RestoreCommit(name, len(rows), index)


def _at_once(callback: object, *arguments: object) -> None:
    if callable(callback):
        callback(*arguments)


def _unheard(_: object) -> None:
    """Nobody waits for this."""
