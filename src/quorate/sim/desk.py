"""Desk: where clients meet hosts. What a gateway does, without HTTP.

A write goes into the node and comes back Applied or Refused. A linearizable read waits for its
read point. A blocking read evaluates, waits for its subjects, and evaluates again when woken; at
its time-out it takes a fresh read point before it says "unchanged". Every answer goes past the
judge before the client hears it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from quorate.base.command import Command, encode_command
from quorate.base.domain import Query
from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.outcomes import Outcome
from quorate.base.ports import Rng, View
from quorate.kv.model import Row
from quorate.kv.queries import kv_get, kv_list
from quorate.kv.tables import KvEntry
from quorate.machine.domains import Domains
from quorate.machine.queries import Reader
from quorate.machine.snapshot import content
from quorate.node.node import Node
from quorate.sessions.queries import session_get
from quorate.sim.archives import commands_of
from quorate.sim.judge import Judge
from quorate.sim.operations import ARCHIVE, End, Kind, Operation
from quorate.sim.world import World

Done = Callable[[Operation], None]


class Server(Protocol):
    """What the desk needs of a host."""

    name: str
    node: Node | None

    @property
    def tables(self) -> View:
        """Its rows as of now."""
        ...

    @property
    def is_running(self) -> bool:
        """It lives and does not stand still."""
        ...

    def do(self, deed: Callable[[Node, float], Any]) -> None:
        """Let a wish reach the node, as part of a turn."""
        ...


class Desk:
    """All operations under way.

    Attributes:
        domains: Whose commands they are.
        acts: What clients may do besides what `sim.workload` knows, as domains say.
        queries: What they may read besides.
    """

    def __init__(self, world: World, judge: Judge, domains: Domains) -> None:
        self.acts = acts_of(domains)
        self.queries = queries_of(domains)
        self.domains = domains
        self._world = world
        self._judge = judge
        self._open: dict[int, tuple[Operation, Done]] = {}
        self.is_jumping = False  # wakes may come without a change: a snapshot was installed

    @property
    def open(self) -> list[Operation]:
        """Operations not yet answered."""
        return [operation for operation, _ in self._open.values()]

    def reader(self, view: View) -> Reader:
        """Reads of one state."""
        return Reader(view)

    # --- wishes -------------------------------------------------------------------------------

    def ask(self, host: Server, operation: Operation, patience_s: float, done: Done) -> None:
        """Bring an operation to a host; `done` is called once, whatever becomes of it."""
        self._judge.begin(operation)
        self._open[operation.number] = (operation, done)
        operation.until_s = self._world.now + patience_s
        if not host.is_running:
            self._refuse(operation, "the host is down", is_definite=True)
        elif operation.kind is Kind.WRITE:
            self._write(host, operation, patience_s)
        elif operation.kind is Kind.STALE:
            self._evaluate(host, operation)
        else:
            host.do(lambda node, now_s: node.read(operation, now_s + patience_s))

    def _write(self, host: Server, operation: Operation, patience_s: float) -> None:
        command = operation.command
        if command is None:
            return
        data = encode_command(command)
        is_urgent = type(command).__name__.startswith("Session")

        def submit(node: Node, now_s: float) -> None:
            node.submit(data, operation, now_s + patience_s, is_urgent)

        try:
            host.do(submit)
        except UnavailableError as error:  # refused at the door: the client hears it
            self._refuse(operation, error.text, is_definite=True)

    def restore(self, restore_id: str, slot: int, data: bytes, rows_max: int) -> list[Command]:
        """What to propose so that an archive, of the state after `slot`, becomes the state."""
        self._judge.begin_restore(restore_id, slot)
        return list(commands_of(self.domains, restore_id, data, rows_max))

    # --- answers ------------------------------------------------------------------------------

    def applied(
        self, tickets: Sequence[Any], outcomes: Sequence[Outcome], slot: int, position: int
    ) -> None:
        """Writes took effect."""
        for operation, outcome in zip(tickets, outcomes, strict=True):
            place = self._judge.place(operation, slot, position)
            position = place + 1
            if operation.number in self._open:
                self._judge.answer(operation, self._world.now, slot, place, outcome)
                self._close(operation)

    def refused(self, tickets: Sequence[Any], error: QuorateError) -> None:
        """Operations end with an error."""
        for operation in tickets:
            if operation.number in self._open:
                is_definite = error.definite or operation.kind is not Kind.WRITE
                self._refuse(operation, error.text, is_definite=is_definite)

    def ready(self, host: Server, tickets: Sequence[Any], stamp_ms: int) -> None:
        """Reads may be answered now."""
        for operation in tickets:
            if operation.number not in self._open:
                continue
            if operation.kind is Kind.WATCH and operation.index >= 0:
                self._look_or_wait(host, operation)
            else:
                operation.index = stamp_ms
                self._evaluate(host, operation)

    def wake(self, host: Server, tickets: Sequence[Any]) -> None:
        """Watched subjects changed."""
        node = host.node
        for operation in tickets:
            if operation.number in self._open and node is not None:
                operation.watch_id = 0
                applied = node.group.machine.applied
                is_over = node.group.refusal is not None  # it was removed: every wait at it ends
                self._judge.woken(operation, applied, is_jump=self.is_jumping or is_over)
                self._evaluate(host, operation)

    def lost(self, name: str) -> None:
        """A host died: its clients do not know."""
        for operation, _ in list(self._open.values()):
            if operation.host == name:
                is_definite = operation.kind is not Kind.WRITE
                self._refuse(operation, "the host died", is_definite=is_definite)

    def look(self, host: Server) -> None:
        """Does anybody at this host sleep who should have been woken?"""
        node = host.node
        if node is not None and node.group.watches.is_waking:
            return  # they are being woken, turn by turn
        for operation in self.open if node is not None else []:
            if operation.host == host.name and operation.watch_id and node is not None:
                self._judge.waits(operation, node.group.machine.applied)

    # --- reads --------------------------------------------------------------------------------

    def _look_or_wait(self, host: Server, operation: Operation) -> None:
        node = host.node
        if node is None:
            return
        answer = kv_get(Reader(host.tables), operation.key)
        if answer.changed > operation.index:
            self._evaluate(host, operation)
            return
        operation.since = node.group.machine.applied
        operation.watch_id = node.watch(answer.subjects, operation)
        left_s = max(0.0, operation.until_s - self._world.now)
        self._world.after(left_s, self._time_out, host, operation)

    def _time_out(self, host: Server, operation: Operation) -> None:
        """Nothing changed: say so, but only under a fresh read point."""
        node = host.node
        if operation.end is End.OPEN and node is not None and not host.is_running:
            self._world.after(0.1, self._time_out, host, operation)
        elif operation.end is End.OPEN and operation.watch_id and node is not None:
            node.unwatch(operation.watch_id)
            operation.watch_id = 0
            operation.index = -1
            host.do(lambda node, now_s: node.read(operation, now_s + 5.0))

    def _evaluate(self, host: Server, operation: Operation) -> None:
        node = host.node
        if node is None:
            return
        reader = Reader(host.tables)
        seen: Any
        if operation.query == ARCHIVE:
            seen = b"".join(content(self.domains, host.tables))
        elif operation.query:
            seen = self.queries[operation.query].see(reader, operation.key)
        elif operation.session:
            answer = session_get(reader, operation.session).value
            seen = () if answer is None else ((operation.session.encode(), _session_row(answer)),)
        elif operation.is_list:
            seen = tuple(_seen(entry) for entry in kv_list(reader, operation.key).value)
        else:
            entry = kv_get(reader, operation.key).value
            seen = () if entry is None else (_seen(entry),)
        self._judge.read(operation, self._world.now, reader.applied, seen)
        self._close(operation)

    def _refuse(self, operation: Operation, text: str, *, is_definite: bool) -> None:
        self._judge.refuse(operation, self._world.now, text, is_definite=is_definite)
        self._close(operation)

    def _close(self, operation: Operation) -> None:
        _, done = self._open.pop(operation.number)
        self._world.trace.add(b"%d %d" % (operation.number, operation.slot))
        self._world.after(0.0, done, operation)


def _seen(entry: KvEntry) -> tuple[bytes, Row]:
    row = entry.row
    return entry.key, Row(
        row.create_index, row.modify_index, row.lock_index, row.flags, row.session, row.value
    )


def _session_row(row: Any) -> Row:
    return Row(row.renewed_ms, row.ttl_ms, 0, 0, row.id, b"")


def acts_of(domains: Domains) -> dict[str, Callable[[Rng, str], Command]]:
    """What domains say that clients may do besides what `sim.workload` knows, by name."""
    return {name: act for domain in domains.all for name, act in domain.simulation.acts.items()}


def queries_of(domains: Domains) -> dict[str, Query]:
    """What domains say that clients may read besides keys, by name."""
    return {name: one for domain in domains.all for name, one in domain.simulation.queries.items()}
