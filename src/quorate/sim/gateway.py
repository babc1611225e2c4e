"""Gateway: clients call hosts through it, without a protocol, on the same `serving` as HTTP.

An operation becomes a context with an evaluation or a command, and the history checker sees its
result before the client does.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from quorate.base.command import Command
from quorate.base.context import Consistency, Principal, RequestContext
from quorate.base.domain import SimulatedRead
from quorate.base.errors import QuorateError
from quorate.base.outcomes import Outcome
from quorate.base.ports import Rng, View
from quorate.base.results import Answer, LongAnswer, Renewal
from quorate.kv.model import Row
from quorate.kv.queries import LongList, batches, keys_index, kv_get, kv_list, long_list
from quorate.kv.tables import KvPair
from quorate.machine.domains import Domains
from quorate.machine.queries import Reader
from quorate.machine.snapshot import content
from quorate.serving import reads, renewals
from quorate.serving.evaluations import Evaluated, Evaluations
from quorate.serving.held import HeldState, when_held
from quorate.serving.ports import Closable
from quorate.serving.serving import Serving
from quorate.sessions.queries import session_renewal
from quorate.sessions.tables import SessionRow
from quorate.sim.archives import commands_of
from quorate.sim.backend import Server, SimBackend, Ticket
from quorate.sim.executions import executions_of
from quorate.sim.history import HistoryChecker, described
from quorate.sim.operations import ARCHIVE, Operation, OperationKind
from quorate.sim.readfaults import NO_FAULTS, FailingReads, HoldableTables, ReadFaults
from quorate.sim.world import World

Done = Callable[[Operation], None]

GRACE_S = 5.0
"""How long after its own wait a blocking read waits for its last read index."""

SLOW = 0.1
"""The share of responses for which the client is not ready at once."""

GONE = 0.05
"""The share of blocking reads whose client disconnects before they are answered."""

REFUSED_WAITS = 0.02
"""The share of waits that are refused, as if too much was held for the client already."""


class SimGateway:
    """All operations under way.

    Attributes:
        domains: Whose commands they are.
        acts: What clients may do besides what `sim.workload` has, from the domains.
        queries: What they may read besides.
        is_jumping: Watchers may be woken without a change: a snapshot was installed.
        failing: The reads that fail.
        waiting: The host of each operation that is counted as waiting, by its number.
    """

    def __init__(
        self,
        world: World,
        checker: HistoryChecker,
        domains: Domains,
        faults: ReadFaults = NO_FAULTS,
    ) -> None:
        self.acts = acts_of(domains)
        self.domains = domains
        self.queries = queries_of(domains)
        self.domains = domains
        self._world = world
        self._checker = checker
        self._open: dict[int, tuple[Operation, Done]] = {}
        self._rng = world.rng("desk")
        self._served: dict[str, tuple[int, Serving]] = {}
        self.is_jumping = False
        self.failing = FailingReads(faults, world.rng("read faults"), self._open_of)
        self.waiting: dict[int, str] = {}

    @property
    def open(self) -> list[Operation]:
        """Operations not yet answered."""
        return [operation for operation, _ in self._open.values()]

    def _open_of(self, client: str) -> Operation | None:
        return next((each for each in self.open if each.client == client), None)

    def reader(self, view: View) -> Reader:
        """Reads of one state."""
        return Reader(view)

    def serve(self, host: Server, hold_s: float) -> None:
        """A host started."""
        tables = self.failing.tables(host.tables)
        backend = SimBackend(self._world, host, hold_s, self.operation_of, self._rng, tables)
        serving = Serving(backend, backend.call_later, backend, Evaluations(), self._rng)
        self._served[host.name] = (host.epoch, serving)

    def operation_of(self, context: RequestContext) -> Operation:
        """The operation of a context."""
        return self._checker.operations[int(context.trace_id)]

    def is_open(self, operation: Operation) -> bool:
        """It is not answered yet."""
        return operation.number in self._open

    # --- requests -----------------------------------------------------------------------------

    def ask(self, host: Server, operation: Operation, timeout_s: float, done: Done) -> None:
        """Send an operation to a host; `done` is called once, whatever becomes of it."""
        number = self._checker.begin(operation)
        self._open[operation.number] = (operation, done)
        epoch, serving = self._served.get(host.name, (0, None))
        if not host.is_running or serving is None or epoch != host.epoch:
            self.refuse(operation, "the host is down")
            return
        operation.wait_s = timeout_s
        if operation.kind is not OperationKind.STALE:
            more_s = timeout_s / 8 + GRACE_S if operation.kind is OperationKind.WATCH else 0.0
            operation.deadline_s = host.now_s + timeout_s + more_s
        self._checker.note(host.name, host.now_s)
        caller = SimCaller(self, self._world, host, operation, context_of(operation, number))
        try:
            self._carry_out(serving, caller, operation)
        except QuorateError as error:  # refused before it was proposed
            caller.fail(error)

    def _carry_out(self, serving: Serving, caller: "SimCaller", operation: Operation) -> None:
        command = operation.command
        if command is not None:
            is_urgent = type(command).__name__.startswith("Session")
            then = partial(self._applied, operation)
            conclude = partial(caller.conclude, then=then)
            serving.submit(caller.context, command, conclude, urgent=is_urgent)
        elif operation.kind is OperationKind.RENEW:
            look, done = partial(self._look, operation), partial(self._renewed, serving, operation)
            renewals.renew(serving, caller, look, done)
        elif operation.query == ARCHIVE:
            step = partial(self._archive, operation)
            reads.confirmed(serving, caller, partial(when_held, serving, caller, step))
        else:
            is_watch = operation.kind is OperationKind.WATCH
            query = reads.Query(
                partial(self._evaluated, operation),
                operation.index if is_watch else 0,
                operation.wait_s,
                is_compared=is_watch and bool(operation.query),
                is_list=operation.is_list,
            )
            reads.read(serving, caller, query)
        if operation.kind is OperationKind.WATCH and self._rng.random() < GONE:
            leaves_s = self._rng.random() * operation.wait_s
            self._world.after(leaves_s, caller.leave)

    def restore(self, restore_id: str, slot: int, data: bytes, rows_max: int) -> list[Command]:
        """What to propose so that an archive, of the state after `slot`, becomes the state."""
        self._checker.begin_restore(restore_id, slot)
        return list(commands_of(self.domains, restore_id, data, rows_max))

    # --- effects of the node --------------------------------------------------------------------

    def applied(
        self, tickets: Sequence[Ticket], outcomes: Sequence[Outcome], slot: int, position: int
    ) -> None:
        """Writes took effect."""
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            operation = ticket.operation
            if operation is None:
                continue
            place = self._checker.place(operation, slot, position)
            position = place + 1
            if self.is_open(operation):
                operation.slot, operation.position = slot, place
                ticket.done(outcome)

    def refused(self, tickets: Sequence[Ticket], error: QuorateError) -> None:
        """Operations end with an error."""
        for ticket in tickets:
            ticket.done(error)

    def ready(self, tickets: Sequence[Ticket], log_time_ms: int) -> None:
        """Reads may be answered now."""
        for ticket in tickets:
            ticket.done(log_time_ms)

    def wake(self, host: Server, tickets: Sequence[Ticket]) -> None:
        """Watched subjects changed."""
        node = host.node
        for ticket in tickets:
            operation = ticket.operation
            if operation is not None and node is not None:
                applied = node.group.machine.applied
                is_over = node.group.refusal is not None  # it was removed: every wait there ends
                self._checker.woken(operation, applied, is_jump=self.is_jumping or is_over)
                operation.stops_watching()
                ticket.done()

    def lost(self, name: str) -> None:
        """A host stopped: its clients do not know their outcomes."""
        self.waiting = {number: host for number, host in self.waiting.items() if host != name}
        for operation in self.open:
            if operation.host == name:
                self.refuse(operation, "the host died", is_definite=not operation.may_have_written)

    def look(self, host: Server) -> None:
        """Check that no operation at this host should have been woken, or waits for too long."""
        node = host.node
        if node is None:
            return
        self._checker.note(host.name, host.now_s)
        own = [operation for operation in self.open if operation.host == host.name]
        for operation in own:
            if operation.kind is OperationKind.READ and host.now_s > operation.deadline_s:
                self._checker.is_late(operation)
        waiting = [operation for operation in own if operation.watch_id]
        if len(node.group.watches) != len(waiting):
            self._checker.fail(f"{len(node.group.watches)} watch {host.name}, {len(waiting)} wait")
        self._check_leftovers(host, own)
        if not node.group.watches.is_waking:  # else they are being woken, turn by turn
            for operation in waiting:
                self._checker.waits(operation, node.group.machine.applied)

    def _check_leftovers(self, host: Server, own: Sequence[Operation]) -> None:
        """Check that nothing is kept for closed operations, and that failures were reported."""
        for operation in own:
            if operation.planted:
                self._checker.fail(f"{described(operation)} failed, and its client got no error")
        for number, name in self.waiting.items():
            if name == host.name and number not in self._open:
                self._checker.fail(f"operation {number} is over, and {name} counts that it waits")
        _, serving = self._served.get(host.name, (0, None))  # none: clients of the other cluster
        tables = None if serving is None else serving.backend.tables
        if isinstance(tables, HoldableTables) and tables.held > len(own):
            self._checker.fail(f"{tables.held} states are held at {host.name}, {len(own)} are open")

    # --- for serving ------------------------------------------------------------------------------

    def _evaluated(self, operation: Operation, reader: Reader) -> Answer[Any] | LongAnswer:
        answer: Answer[Any] | LongAnswer = self.failing.evaluated(
            operation, self._found(operation, reader)
        )
        return answer

    def _found(self, operation: Operation, reader: Reader) -> Answer[Any] | LongAnswer:
        if operation.query:
            return self.queries[operation.query].answer(reader, operation.key)
        if operation.is_long:
            return long_list(reader, operation.key)
        find = kv_list if operation.is_list else kv_get
        return find(reader, operation.key)

    def _archive(self, operation: Operation, held: HeldState) -> None:
        data, slot = b"".join(content(self.domains, held.view)), Reader(held.view).applied
        held.close()
        if self.is_open(operation):
            self._checker.read(operation, self._world.now, slot, data)
            self.close(operation)

    def _look(
        self, operation: Operation, reader: Reader, log_time_ms: int
    ) -> Renewal[SessionRow] | None:
        operation.log_time_ms = log_time_ms
        self.failing.evaluated(operation, None)
        return session_renewal(reader, log_time_ms, operation.session)

    def _renewed(
        self,
        serving: Serving,
        operation: Operation,
        found: Renewal[Any] | None,
        outcome: Outcome | None,
    ) -> None:
        if outcome is not None:
            self._applied(operation, outcome)
            return
        row = None if found is None else found.value
        slot, now_s = serving.reader().applied, self._world.now
        self._checker.renewed(operation, now_s, slot, row)
        self.close(operation)

    def _applied(self, operation: Operation, outcome: Outcome) -> None:
        slot, place = operation.slot, int(operation.position)
        self._checker.answer(operation, self._world.now, slot, place, outcome)
        self.close(operation)

    def answered(
        self,
        host: Server,
        operation: Operation,
        found: Evaluated,
        reader: Reader,
        provenance: reads.Provenance,
    ) -> None:
        """A read is answered."""
        answer = found.answer
        if isinstance(answer, LongList):
            pieces = batches(reader, answer)
            value: Any = [entry for piece in pieces for entry in piece]
            header = keys_index(reader)
        else:
            value, header = answer.value, answer.header
        if not operation.query:
            entries = value if operation.is_list else [value]
            value = tuple(_seen(entry) for entry in entries if entry is not None)
        operation.reported_index = provenance.index(reader, header)
        clock_s = host.now_s if provenance.is_stale else None
        self._checker.read(operation, self._world.now, reader.applied, value, clock_s)
        self.close(operation)

    # --- ends ---------------------------------------------------------------------------------

    def refuse(self, operation: Operation, text: str, *, is_definite: bool = True) -> None:
        """A client gets an error."""
        self._checker.refuse(operation, self._world.now, text, is_definite=is_definite)
        self.close(operation)

    def close(self, operation: Operation) -> None:
        """An operation has its result."""
        _, done = self._open.pop(operation.number)
        self._world.trace.add(b"%d %d" % (operation.number, operation.slot))
        self._world.after(0.0, done, operation)

    def draws(self, share: float) -> bool:
        """A random draw: true for this share."""
        return self._rng.random() < share


class SimCaller:
    """Fills `serving.reads.ReadCaller`.

    Attributes:
        context: See there.
    """

    def __init__(
        self,
        gateway: SimGateway,
        world: World,
        host: Server,
        operation: Operation,
        context: RequestContext,
    ) -> None:
        self._gateway = gateway
        self._world = world
        self._host = host
        self._epoch = host.epoch
        self._operation = operation
        self.context = context
        self._on_lost: Callable[[], None] | None = None
        self._owned: Closable | None = None

    @property
    def is_lost(self) -> bool:
        """See `serving.ports.Caller.is_lost`."""
        return not self._gateway.is_open(self._operation)

    def leave(self) -> None:
        """It disconnects before its answer."""
        if not self.is_lost and self._host.epoch == self._epoch:
            on_lost, self._on_lost = self._on_lost, None
            self._gateway.refuse(self._operation, "the client left")
            if on_lost is not None:
                on_lost()

    def fail(self, error: BaseException) -> None:
        """See `serving.ports.Caller.fail`; anything but a refusal ends the run.

        Raises:
            BaseException: That one.
        """
        if not isinstance(error, QuorateError) or error.code == "corrupt":
            raise error
        if not self.is_lost:
            operation = self._operation
            is_definite = error.definite or not operation.may_have_written
            self._gateway.refuse(operation, error.text, is_definite=is_definite)

    def run(self, step: Callable[[], None]) -> None:
        """See `serving.ports.Caller.run`."""
        try:
            step()
        except QuorateError as error:
            self.fail(error)

    def when_wanted(self, step: Callable[[], None]) -> None:
        """See `serving.ports.Caller.when_wanted`: now and then the client is slow."""
        if self._gateway.draws(SLOW):
            self._world.after(0.05, self._go_on, step)
        elif not self.is_lost:
            self.run(step)

    def _go_on(self, step: Callable[[], None]) -> None:
        if self.is_lost or self._host.epoch != self._epoch:
            return
        if self._host.is_running:
            self.run(step)
        else:
            self._world.after(0.1, self._go_on, step)

    def conclude(self, outcome: Outcome | QuorateError, then: Callable[[Outcome], None]) -> None:
        """See `serving.ports.Caller.conclude`."""
        if isinstance(outcome, QuorateError):
            self.fail(outcome)
        elif not self.is_lost:
            then(outcome)

    def begin_wait(self, on_lost: Callable[[], None]) -> bool:
        """See `serving.ports.Caller.begin_wait`: now and then the wait is refused."""
        if self._gateway.draws(REFUSED_WAITS):
            self._gateway.refuse(self._operation, "too much waits")
            return False
        self._on_lost = on_lost
        self._gateway.waiting[self._operation.number] = self._host.name
        return True

    def end_wait(self) -> None:
        """See `serving.ports.Caller.end_wait`."""
        self._on_lost = None
        self._gateway.waiting.pop(self._operation.number, None)

    def own(self, held: Closable) -> None:
        """See `serving.ports.Caller.own`."""
        self._owned = held

    def release(self) -> None:
        """See `serving.ports.Caller.release`."""
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.close()

    def question(self) -> bytes:
        """See `serving.reads.ReadCaller.question`."""
        return repr(self._operation.subject).encode()

    def digest(self, found: Evaluated) -> bytes:
        """See `serving.reads.ReadCaller.digest`."""
        return repr(found.value).encode()

    def answer(self, found: Evaluated, reader: Reader, provenance: reads.Provenance) -> None:
        """See `serving.reads.ReadCaller.answer`."""
        if not self.is_lost:
            self._gateway.answered(self._host, self._operation, found, reader, provenance)


def context_of(operation: Operation, number: int) -> RequestContext:
    """The request context of an operation."""
    is_stale = operation.kind is OperationKind.STALE or operation.is_stale
    return RequestContext(
        Principal(operation.client),
        Consistency.STALE if is_stale else Consistency.DEFAULT,
        operation.age_s_max,
        operation.deadline_s,
        str(number),
    )


def _seen(entry: KvPair) -> tuple[bytes, Row]:
    row = entry.row
    return entry.key, Row(
        row.create_index, row.modify_index, row.lock_index, row.flags, row.session, row.value
    )


def acts_of(domains: Domains) -> dict[str, Callable[[Rng, str], Command]]:
    """What clients may do besides what `sim.workload` has, from the domains, by name."""
    return {name: act for domain in domains.all for name, act in domain.simulation.acts.items()}


def queries_of(domains: Domains) -> dict[str, SimulatedRead]:
    """What clients may read besides keys, from the domains, by name."""
    own = {name: one for domain in domains.all for name, one in domain.simulation.queries.items()}
    return own | executions_of(domains)
