"""A new cluster out of what survived of an old one: replayed, then written as its first commands.

Pure: survivors' logs and tables go in, the records of a new log come out. What counts among the
survivors is `paxos.survivors`' choice; it is applied by the same code as in a node. The new log
begins a cluster of one under another id and restores every row, so nodes of the old cluster and
of the new one refuse each other.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from quorate.base.batches import Batch, Bundle, Configuration, Member, encode_batch
from quorate.base.command import Command, encode_command, join_commands
from quorate.base.config import ClusterConfig, NodeSettings
from quorate.base.ids import NO_BALLOT, NodeId, Slot
from quorate.base.ports import Rng, Tables
from quorate.base.records import Bootstrapped, Chosen, Record
from quorate.domains import DOMAINS
from quorate.kv.tables import KV
from quorate.machine.commands import RestoreBegin, RestoreCommit, RestoreRows
from quorate.machine.domains import Domains
from quorate.machine.snapshot import saved_rows
from quorate.machine.state import STATE_KEY, State, decode_state
from quorate.node.node import Node
from quorate.paxos.survivors import Surviving, Survivor

CHUNK_BYTES = 256 * 1024  # of rows in one batch: far below the limit of a batch

Row = tuple[bytes, bytes]


class Replayed(NamedTuple):
    """The state of the old cluster, as far as it survived."""

    member: Member  # whose tables it was replayed on, as its cluster knew it
    state: State  # as of the last slot
    rows: list[Row]  # see `rows_of`

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return sum(key[0] == KV for key, _ in self.rows)


def state_of(tables: Tables) -> State:
    """How far tables are, and what is not in their rows."""
    data = tables.get(STATE_KEY)
    return State() if data is None else decode_state(data)


def replayed(
    own: NodeId,
    incarnation: int,
    base: Survivor,
    tables: Tables,
    found: Surviving,
    rng: Rng,
    *,
    cluster: ClusterConfig,
    domains: Domains = DOMAINS,
) -> Replayed:
    """Apply what survived.

    Args:
        own: The id of the survivor whose tables are the newest.
        incarnation: Later than any in which it ran.
        base: That survivor.
        tables: Its tables; they are changed.
        found: What counts.
        rng: Not used: the node that applies does not speak.
        cluster: Of the old cluster: what a batch does depends on it.
        domains: Of the old cluster.
    """
    records = [*base.records, *found.tail]
    node = Node(
        Member(own, "", ""),
        incarnation,
        NodeSettings(cluster=cluster),
        tables,
        records,
        rng,
        0.0,
        wall_ms=lambda: 0,
        domains=domains,
    )
    known = (each.member(own) for _, each in reversed(node.group.machine.configurations))
    member = next(filter(None, known), Member(own, "recovered", ""))
    return Replayed(member, state_of(tables), list(rows_of(tables, domains)))


def rows_of(tables: Tables, domains: Domains = DOMAINS) -> Iterator[Row]:
    """The rows that a snapshot for users holds, with what is left of each lock-delay."""
    return saved_rows(domains, tables, state_of(tables))


def new_log(
    member: Member, incarnation: int, cluster_id: str, old: Replayed, name: str, wall_ms: int
) -> Iterator[Record]:
    """The log of a cluster of one that restored these rows.

    Args:
        member: The only node of the new cluster.
        incarnation: Of that node.
        cluster_id: Of the new cluster.
        old: What it begins with.
        name: Of the restore: no other has it.
        wall_ms: The time of day, for people.
    """
    yield Bootstrapped(cluster_id, Configuration(1, 0, (member,)), complete=True)
    commands = restore_commands(old.rows, old.state.index, name)
    for number, command in enumerate(commands, start=1):
        joined = join_commands([encode_command(command)])
        bundle = Bundle(member.id, incarnation, number, 1, joined)
        batch = Batch(NO_BALLOT, old.state.log_time_ms, wall_ms, (bundle,))
        yield Chosen(Slot(number), encode_batch(batch))


def restore_commands(rows: Sequence[Row], index: int, name: str) -> Iterator[Command]:
    """The commands that put these rows in place of all others."""
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
