"""Judge: does what clients were told fit the log? The first tier, at every step.

Every outcome carries its slot and its place in the batch, every read the slot it saw. So the
order is given; what remains is that the model gives the same results in that order, and that
the order respects real time: what ended before another began stands before it.

The index would not do for an order: a failed `cas` has none.
"""

from typing import Any

from quorate.base.outcomes import Outcome
from quorate.kv.commands import KvDeleteTree
from quorate.kv.model import Row, keys_of
from quorate.machine.commands import RestoreCommit, Txn
from quorate.sessions.model import is_alive_at
from quorate.sim.model import Model
from quorate.sim.operations import ARCHIVE, End, Kind, Operation
from quorate.sim.world import ViolationError

Seen = tuple[tuple[bytes, Row], ...]


class Judge:
    """The history of all clients, judged as it grows."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.operations: list[Operation] = []
        self.counts = {"done": 0, "refused": 0, "unknown": 0, "reads": 0, "watches": 0}
        self.counts |= {"archives": 0, "restores": 0}
        self._events = 0
        self._highest: tuple[int, float] = (0, 0.0)
        self._refused: set[bytes] = set()
        self._places: dict[tuple[int, float], int] = {}

    def begin(self, operation: Operation) -> None:
        """A client asks."""
        self._events += 1
        operation.began = self._events
        operation.bound = self._highest
        self.operations.append(operation)

    def begin_restore(self, restore_id: str, slot: int) -> None:
        """A client is about to restore an archive of the state after `slot`."""
        self._model().archives[restore_id] = slot

    def refuse(self, operation: Operation, now_s: float, error: str, *, is_definite: bool) -> None:
        """A client gets an error."""
        self._close(operation, now_s, End.REFUSED if is_definite else End.UNKNOWN)
        operation.error = error
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
        self._close(operation, now_s, End.DONE)
        operation.slot, operation.position, operation.value = slot, position, outcome
        self.counts["done"] += 1
        if slot > model.slot:
            raise ViolationError(
                f"{told(operation)} was acknowledged before slot {slot} was durable"
            )
        if isinstance(operation.command, RestoreCommit) and outcome.value is True:
            self.counts["restores"] += 1
        commands, outcomes = model.commands[slot], model.outcomes[slot]
        if position >= len(commands) or commands[position] != operation.command:
            raise ViolationError(f"{told(operation)} is not what stands at {slot}.{position}")
        expected = outcomes[position]
        if expected is None or not _same(expected, outcome):
            raise ViolationError(f"{told(operation)}: the model says {expected}")
        if self._places.setdefault(operation.place, operation.number) != operation.number:
            raise ViolationError(f"{told(operation)} shares its place with another operation")
        if operation.place <= operation.bound:
            raise ViolationError(
                f"{told(operation)} stands before {operation.bound}, known before it"
            )
        self._highest = max(self._highest, operation.place)

    def place(self, operation: Operation, slot: int, first: int) -> int:
        """The place of this command in its batch, at or behind `first`.

        Commands that a node proposes on its own stand between those of clients, unannounced.
        """
        commands = self._model().commands.get(slot, [])
        for place in range(first, len(commands)):
            if commands[place] == operation.command:
                return place
        raise ViolationError(f"{told(operation)} is not in slot {slot} from {first} on")

    def read(self, operation: Operation, now_s: float, slot: int, seen: Any) -> None:
        """A read is answered from the tables as of `slot`."""
        if self.model is None and operation.kind is Kind.STALE and not seen:
            self._close(operation, now_s, End.DONE)
            operation.value = seen
            return
        model = self._model()
        self._close(operation, now_s, End.DONE)
        operation.slot, operation.position, operation.value = slot, float("inf"), seen
        self.counts["watches" if operation.kind is Kind.WATCH else "reads"] += 1
        if operation.session:
            if bool(seen) != is_alive_at(model, operation.session, slot):
                raise ViolationError(f"{told(operation)}: the model says {not seen}")
        elif operation.query == ARCHIVE:
            self.counts["archives"] += 1  # what it holds is judged when it has been restored
        elif seen != (expected := expected_read(model, operation, slot)):
            raise ViolationError(f"{told(operation)}: the model says {expected}, not {seen}")
        if operation.kind is Kind.STALE:
            return
        if operation.place < operation.bound:
            raise ViolationError(
                f"{told(operation)} is stale: {operation.bound} was known before it began"
            )
        self._highest = max(self._highest, (slot, float("-inf")))

    def woken(self, operation: Operation, slot: int, *, is_jump: bool) -> None:
        """A watcher was woken when its node had applied `slot`."""
        model = self._model()
        is_due = keys_of(model).changed_between(operation.key, operation.since, slot)
        is_due = is_due or _is_in_removed_tree(model, operation, slot)
        is_due = is_due or model.is_restored(operation.since, slot)
        if not is_due and not is_jump:
            raise ViolationError(f"{told(operation)} was woken at slot {slot} for nothing")

    def waits(self, operation: Operation, slot: int) -> None:
        """A watcher still waits although its node has applied `slot`."""
        model = self._model()
        is_changed = keys_of(model).changed_between(operation.key, operation.since, slot)
        if is_changed or model.is_restored(operation.since, slot):
            raise ViolationError(f"{told(operation)} since {operation.since} sleeps at slot {slot}")

    def finish(self) -> None:
        """The run is over: nothing refused may have happened after all."""
        for value in sorted(self._refused):
            self._check_refused(value)

    def _check_refused(self, value: bytes) -> None:
        if self.model is not None and value in keys_of(self.model).effects_of:
            raise ViolationError(f"the write of {value!r} was refused and took effect all the same")

    def _model(self) -> Model:
        if self.model is None:
            raise ViolationError("an answer before there was a cluster")
        return self.model

    def _close(self, operation: Operation, now_s: float, end: End) -> None:
        if operation.end is not End.OPEN:
            raise ViolationError(f"{told(operation)} was answered twice")
        self._events += 1
        operation.ended, operation.ended_s, operation.end = self._events, now_s, end


def expected_read(model: Model, operation: Operation, slot: int) -> Any:
    """What a read of the tables as of `slot` must see."""
    if operation.query:
        return model.queries[operation.query].expect(model, slot, operation.key)
    if operation.is_list:
        return tuple(keys_of(model).listed(operation.key, slot))
    row = keys_of(model).at(operation.key, slot)
    return () if row is None else ((operation.key, row),)


def written(operation: Operation) -> bytes:
    """The unique value that a write would leave, if it leaves one."""
    value: Any = getattr(operation.command, "value", b"")
    name = type(operation.command).__name__
    return value if name in {"KvSet", "KvCas"} else b""


def told(operation: Operation) -> str:
    """An operation in words."""
    what = operation.command if operation.command is not None else operation.key
    return (
        f"{operation.kind.value} {operation.number} of {operation.client} at {operation.host} "
        f"({what!r}) at {operation.slot}.{operation.position} -> {operation.value}"
    )


def _same(expected: Outcome, outcome: Outcome) -> bool:
    return expected.index == outcome.index and expected.value == outcome.value


def _is_in_removed_tree(model: Model, operation: Operation, slot: int) -> bool:
    """Whether a tree was removed that the key would have been in: then its watchers may wake."""
    for number in range(operation.since + 1, slot + 1):
        for command in model.commands.get(number, ()):
            if isinstance(command, KvDeleteTree) and operation.key.startswith(command.prefix):
                return True
            if isinstance(command, Txn) and any(
                op.verb == "delete-tree" and operation.key.startswith(op.key) for op in command.ops
            ):
                return True
    return False
