"""History checker: are the results of all clients consistent with the log? Checked at every step.

Every outcome carries its slot and its place in the batch, every read the slot it saw. So the
order is given; what remains is that the model gives the same results in that order, and that
the order respects real time: what ended before another began is ordered before it.

The index would not do for an order: a failed `cas` has none. But clients wait by it: the index that
is reported never decreases, and a blocking read that reports "unchanged" has missed nothing.
"""

from bisect import bisect_left
from math import inf
from typing import Any

from quorate.base.outcomes import Outcome
from quorate.kv.commands import KvDeleteTree
from quorate.kv.model import Row, keys_of
from quorate.machine.commands import RestoreCommit, Txn
from quorate.sessions.model import is_alive_at
from quorate.sim.model import ReferenceModel
from quorate.sim.operations import ARCHIVE, Operation, OperationKind, OperationStatus, Subject
from quorate.sim.world import ViolationError

Seen = tuple[tuple[bytes, Row], ...]

LATE_CHECKS = 3
"""How often an operation may be found open after its deadline, at half-second intervals."""


class HistoryChecker:
    """The history of all clients, checked as it grows."""

    def __init__(self) -> None:
        self.model: ReferenceModel | None = None
        self.operations: list[Operation] = []
        self.counts = {"done": 0, "refused": 0, "unknown": 0, "reads": 0, "watches": 0}
        self.counts |= {"archives": 0, "restores": 0}
        self._events = 0
        self._highest: tuple[int, float] = (0, 0.0)
        self._refused: set[bytes] = set()
        self._places: dict[tuple[int, float], int] = {}
        self._reported: dict[Subject, int] = {}
        self._known: list[tuple[float, tuple[int, float]]] = [(0.0, (0, 0.0))]
        self._notes: dict[str, list[tuple[float, tuple[int, float]]]] = {}

    def begin(self, operation: Operation) -> int:
        """A client begins an operation; its place among all of them."""
        self._events += 1
        operation.began = self._events
        operation.bound = self._highest
        operation.index_bound = self._reported.get(operation.subject, 0)
        self.operations.append(operation)
        return len(self.operations) - 1

    def note(self, host: str, clock_s: float) -> None:
        """At this time of a host's clock, so much was known."""
        self._notes.setdefault(host, []).append((clock_s, self._highest))

    def fail(self, text: str) -> None:
        """End the run: another check failed."""
        raise ViolationError(text)

    def is_late(self, operation: Operation) -> None:
        """It is open after its deadline, at a host that runs: its refusal may be under way."""
        operation.checks_late += 1
        if operation.checks_late > LATE_CHECKS:
            raise ViolationError(f"{described(operation)} is open long after its deadline")

    def begin_restore(self, restore_id: str, slot: int) -> None:
        """A client is about to restore an archive of the state after `slot`."""
        self._model().archives[restore_id] = slot

    def refuse(self, operation: Operation, now_s: float, error: str, *, is_definite: bool) -> None:
        """A client gets an error."""
        self._close(
            operation, now_s, OperationStatus.REFUSED if is_definite else OperationStatus.UNKNOWN
        )
        operation.error = error
        if operation.planted and operation.planted != error:
            raise ViolationError(
                f"{described(operation)} met another error than it returned: {error}"
            )
        self.counts["refused" if is_definite else "unknown"] += 1
        value = written(operation)
        if is_definite and value:
            self._refused.add(value)
            self._check_refused(value)

    def answer(
        self, operation: Operation, now_s: float, slot: int, position: int, outcome: Outcome
    ) -> None:
        """A write took effect at this place, with this outcome."""
        model = self._model()
        self._close(operation, now_s, OperationStatus.DONE)
        operation.slot, operation.position, operation.value = slot, position, outcome
        self.counts["done"] += 1
        if slot > model.slot:
            raise ViolationError(
                f"{described(operation)} was acknowledged before slot {slot} was durable"
            )
        if isinstance(operation.command, RestoreCommit) and outcome.value is True:
            self.counts["restores"] += 1
        commands, outcomes = model.commands[slot], model.outcomes[slot]
        if position >= len(commands) or commands[position] != operation.command:
            raise ViolationError(f"{described(operation)} is not the command at {slot}.{position}")
        expected = outcomes[position]
        if expected is None or not _same(expected, outcome):
            raise ViolationError(f"{described(operation)}: the model says {expected}")
        if self._places.setdefault(operation.place, operation.number) != operation.number:
            raise ViolationError(f"{described(operation)} shares its place with another operation")
        if operation.place <= operation.bound:
            raise ViolationError(
                f"{described(operation)} is ordered before {operation.bound}, known before it"
            )
        self._learn(now_s, operation.place)

    def place(self, operation: Operation, slot: int, first: int) -> int:
        """The place of this command in its batch, at or behind `first`.

        Commands that a node proposes on its own are between those of clients.
        """
        commands = self._model().commands.get(slot, [])
        for place in range(first, len(commands)):
            if commands[place] == operation.command:
                return place
        raise ViolationError(f"{described(operation)} is not in slot {slot} from {first} on")

    def read(
        self,
        operation: Operation,
        now_s: float,
        slot: int,
        seen: Any,
        clock_s: float | None = None,
    ) -> None:
        """A read is answered from the tables as of `slot`.

        Args:
            operation: The read.
            now_s: True time.
            slot: See above.
            seen: What it saw.
            clock_s: Of a stale read: the time of the host's clock. None: it was confirmed.
        """
        if self.model is None and clock_s is not None and not seen:
            self._close(operation, now_s, OperationStatus.DONE)
            operation.value = seen
            return
        model = self._model()
        self._close(operation, now_s, OperationStatus.DONE)
        operation.slot, operation.position, operation.value = slot, float("inf"), seen
        self.counts["watches" if operation.kind is OperationKind.WATCH else "reads"] += 1
        if operation.session:
            if bool(seen) != is_alive_at(model, operation.session, slot):
                raise ViolationError(f"{described(operation)}: the model says {not seen}")
        elif operation.query == ARCHIVE:
            self.counts["archives"] += 1  # its content is checked when it has been restored
        elif seen != (expected := expected_read(model, operation, slot)):
            raise ViolationError(f"{described(operation)}: the model says {expected}, not {seen}")
        if operation.kind is OperationKind.WATCH:
            self._missed_nothing(model, operation, now_s, is_stale=clock_s is not None)
        if clock_s is not None:
            self._is_young(operation, clock_s)
            return
        if operation.place < operation.bound:
            raise ViolationError(
                f"{described(operation)} is stale: {operation.bound} was known before it began"
            )
        if operation.reported_index:
            self._goes_on(operation)
        self._learn(now_s, (slot, float("-inf")))

    def renewed(self, operation: Operation, now_s: float, slot: int, row: Any) -> None:
        """A renewal is answered without a write: the session is gone (None), or young enough."""
        seen = () if row is None else ((operation.session.encode(), row),)
        if row is not None and 2 * (operation.log_time_ms - row.renewed_ms) >= row.ttl_ms > 0:
            raise ViolationError(f"{described(operation)}: {row} is too old to be acknowledged")
        self.read(operation, now_s, slot, seen)

    def _missed_nothing(
        self, model: ReferenceModel, operation: Operation, now_s: float, *, is_stale: bool
    ) -> None:
        """A blocking read that reports no newer index has missed no change since its own."""
        if not operation.index or operation.reported_index > operation.index:
            return
        if _is_changed(model, operation, _asked_at(model, operation), operation.slot):
            raise ViolationError(f"{described(operation)} missed a change after {operation.index}")
        over_s = operation.began_s + operation.wait_s
        if not is_stale and not operation.is_list and now_s >= over_s:
            known = self._known[bisect_left(self._known, (over_s, (0, -inf))) - 1][1]
            if operation.place < known:
                raise ViolationError(
                    f"{described(operation)} reports no change, but {known} was known"
                )

    def _is_young(self, operation: Operation, clock_s: float) -> None:
        """A stale read with a bound on its age reflects all that was known before that."""
        notes = self._notes.get(operation.host, [])
        place = bisect_left(notes, (clock_s - operation.age_s_max, (0, -inf))) if notes else 0
        if place and operation.place < notes[place - 1][1]:
            raise ViolationError(f"{described(operation)} is older than {operation.age_s_max} s")

    def _goes_on(self, operation: Operation) -> None:
        """The reported index never decreases."""
        if operation.reported_index < operation.index_bound:
            raise ViolationError(
                f"{described(operation)} reports index {operation.reported_index}, others received "
                f"{operation.index_bound} before it began"
            )
        subject = operation.subject
        self._reported[subject] = max(self._reported.get(subject, 0), operation.reported_index)

    def _learn(self, now_s: float, place: tuple[int, float]) -> None:
        """A client knows of this place now."""
        if place > self._highest:
            self._highest = place
            self._known.append((now_s, place))

    def woken(self, operation: Operation, slot: int, *, is_jump: bool) -> None:
        """A watcher was woken when its node had applied `slot`."""
        if self.model is None:
            return  # a stale one, of a node that belongs to no cluster yet
        model = self._model()
        is_due = bool(operation.query) or _is_changed(model, operation, operation.since, slot)
        is_due = is_due or _is_in_removed_tree(model, operation, slot)
        is_due = is_due or model.is_restored(operation.since, slot)
        if not is_due and not is_jump:
            raise ViolationError(f"{described(operation)} was woken at slot {slot} for nothing")

    def waits(self, operation: Operation, slot: int) -> None:
        """A watcher still waits although its node has applied `slot`."""
        if self.model is None:
            return
        model = self._model()
        since = operation.since
        if not operation.is_long and operation.index:  # else it is searched for in slices
            since = min(since, _asked_at(model, operation))
        is_changed = _is_changed(model, operation, since, slot)
        if is_changed or model.is_restored(operation.since, slot):
            raise ViolationError(
                f"{described(operation)} since {operation.since} is not woken at slot {slot}"
            )

    def finish(self) -> None:
        """The run is over: nothing that was refused may have taken effect."""
        for value in sorted(self._refused):
            self._check_refused(value)

    def _check_refused(self, value: bytes) -> None:
        if self.model is not None and value in keys_of(self.model).effects_of:
            raise ViolationError(f"the write of {value!r} was refused and took effect")

    def _model(self) -> ReferenceModel:
        if self.model is None:
            raise ViolationError("a result before there was a cluster")
        return self.model

    def _close(self, operation: Operation, now_s: float, end: OperationStatus) -> None:
        if operation.end is not OperationStatus.OPEN:
            raise ViolationError(f"{described(operation)} was answered twice")
        if operation.planted and end is not OperationStatus.REFUSED:
            raise ViolationError(f"{described(operation)} failed, and returned no error")
        self._events += 1
        operation.ended, operation.ended_s, operation.end = self._events, now_s, end


def expected_read(model: ReferenceModel, operation: Operation, slot: int) -> Any:
    """What a read of the tables as of `slot` must see."""
    if operation.query:
        return model.queries[operation.query].expect(model, slot, operation.key)
    if operation.is_list:
        return tuple(keys_of(model).listed(operation.key, slot))
    row = keys_of(model).at(operation.key, slot)
    return () if row is None else ((operation.key, row),)


def _asked_at(model: ReferenceModel, operation: Operation) -> int:
    """The slot after which every change is newer than the index that a blocking read sent."""
    slots = (slot for slot, index in model.indexes.items() if index >= operation.index)
    return min(slots, default=model.slot)


def _is_changed(model: ReferenceModel, operation: Operation, after: int, upto: int) -> bool:
    """Whether what a blocking read waits for differs between `after` and `upto`."""
    if operation.query:
        query, key = model.queries[operation.query], operation.key
        if after >= upto:
            return False
        values = (query.expect(model, slot, key) for slot in (after, upto))
        before, now = values if query.awaited is None else map(query.awaited, values)
        return bool(before != now)
    keys = keys_of(model)
    if not operation.is_list:
        return keys.changed_between(operation.key, after, upto)
    return any(
        keys.changed_between(key, after, upto)
        for key in keys.versions
        if key.startswith(operation.key)
    )


def written(operation: Operation) -> bytes:
    """The unique value that a write would leave, if it leaves one."""
    value: Any = getattr(operation.command, "value", b"")
    name = type(operation.command).__name__
    return value if name in {"KvSet", "KvCas"} else b""


def described(operation: Operation) -> str:
    """An operation as text, for messages."""
    what = operation.command if operation.command is not None else operation.key
    return (
        f"{operation.kind.value} {operation.number} of {operation.client} at {operation.host} "
        f"({what!r}) at {operation.slot}.{operation.position} -> {operation.value}"
    )


def _same(expected: Outcome, outcome: Outcome) -> bool:
    return expected.index == outcome.index and expected.value == outcome.value


def _is_in_removed_tree(model: ReferenceModel, operation: Operation, slot: int) -> bool:
    """Whether a tree was removed that may have held the key: then its watchers may be woken."""
    for number in range(operation.since + 1, slot + 1):
        for command in model.commands.get(number, ()):
            if isinstance(command, KvDeleteTree) and _overlap(operation, command.prefix):
                return True
            if isinstance(command, Txn) and any(
                op.verb == "delete-tree" and _overlap(operation, op.key) for op in command.ops
            ):
                return True
    return False


def _overlap(operation: Operation, prefix: bytes) -> bool:
    is_around = operation.is_list and prefix.startswith(operation.key)
    return is_around or operation.key.startswith(prefix)
