"""Model: what the log means, written a second time and as simply as possible.

What is common to all commands is here: which bundles count, indexes, configurations. What each
command means is in the model of its domain (`base.domain.Simulation`), which shares no code with
what applies it.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, NoReturn, TypeVar

from quorate.base.batches import Bundle, Configuration, Member, decode_batch
from quorate.base.command import Command
from quorate.base.config import ClusterConfig
from quorate.base.domain import Domain, OperationError, SimulatedRead
from quorate.base.facts import Fact, Question
from quorate.base.ids import NodeId, Slot
from quorate.base.outcomes import Outcome
from quorate.base.txn import TxnOp, TxnOpFailure, TxnResult
from quorate.machine.commands import (
    RestoreBegin,
    RestoreCommit,
    RestoreRows,
    Sweep,
    TombstonesReap,
    Txn,
    TxnMixed,
)
from quorate.machine.domains import Domains
from quorate.machine.txn import operations_of
from quorate.sim.executions import executions_of
from quorate.sim.world import ViolationError

T = TypeVar("T")


class ReferenceModel:
    """The state after each slot, in order.

    Args:
        configuration: The first one.
        settings: Of the cluster.
        domains: Whose commands it applies.

    Attributes:
        own: State of domains that bring their own model, by name.
        copies: What domains saved after each slot.
        archives: The slot of the state that a restore brings, by its id; set by what begins a
            restore.
        restores: The slots in which a restore became the state.
        queries: Of all domains, by name.
        domains: Whose commands it applies.
        txn_result_bytes_max: See `base.config`.
    """

    def __init__(
        self, configuration: Configuration, settings: ClusterConfig, domains: Domains
    ) -> None:
        self._decode = domains.decode
        self.domains = domains
        self._handlers: dict[type[Any], list[Callable[[ReferenceModel, Any], Any]]] = {
            each: [handler] for each, handler in _APPLY.items()
        }
        self.own: dict[str, Any] = {}
        self.copies: dict[int, dict[str, Any]] = {}
        self.archives: dict[str, int] = {}
        self.restores: list[int] = []
        self._restoring = ("", 0)  # id, rows so far
        self.queries: dict[str, SimulatedRead] = {}
        self._saves: dict[str, Callable[[ReferenceModel], Any]] = {}
        self._restored: dict[str, Callable[[ReferenceModel, Any], None]] = {}
        self.transact: Callable[[ReferenceModel, Sequence[Any]], Any] = _no_operations
        self._ends: list[Callable[[ReferenceModel], None]] = []
        for domain in domains.all:
            self._add(domain)
        self.queries |= executions_of(domains)
        self.slot = Slot(0)
        self.index = 0
        self.log_time_ms = 0
        self.commands: dict[int, list[Command]] = {}
        self.outcomes: dict[int, list[Outcome | None]] = {}
        self.indexes: dict[int, int] = {0: 0}
        self.chain: list[tuple[int, Configuration]] = [(1, configuration)]
        self._history = list(self.chain)
        self._alpha = settings.alpha_slots
        self.txn_result_bytes_max = settings.txn_result_bytes_max
        self._counted: dict[NodeId, tuple[int, int]] = {}
        self._is_taken = False

    def _add(self, domain: Domain) -> None:
        simulation = domain.simulation
        for each, handler in simulation.model.items():
            self._handlers.setdefault(each, []).append(handler)
        if simulation.state is not None:
            self.own[domain.name] = simulation.state(self)
        if simulation.transact is not None:
            self.transact = simulation.transact
        if simulation.end_slot is not None:
            self._ends.append(simulation.end_slot)
        self.queries |= simulation.queries
        if simulation.save is not None:
            self._saves[domain.name] = simulation.save
        if simulation.restore is not None:
            self._restored[domain.name] = simulation.restore

    # --- the log ------------------------------------------------------------------------------

    def step(self, slot: Slot, data: bytes) -> None:
        """Apply the batch of the next slot."""
        if slot != self.slot + 1:
            raise ViolationError(f"the log has a hole before slot {slot}")
        self.slot = slot
        batch = decode_batch(data)
        self.log_time_ms = max(self.log_time_ms, batch.log_time_ms)
        self.commands[slot], self.outcomes[slot] = [], []
        before = self.index
        for bundle in batch.bundles:
            self._bundle(slot, bundle)
        if batch.configuration is not None:
            self._configuration(slot, batch.configuration)
        self._prune(slot)
        for end_slot in self._ends:
            end_slot(self)
        self.indexes[slot] = self.index
        self.copies[slot] = {name: save(self) for name, save in self._saves.items()}
        if self.index < before:
            raise ViolationError(f"the index fell in slot {slot}")

    def _bundle(self, slot: Slot, bundle: Bundle) -> None:
        commands = self._decode(bundle.body)
        self.commands[slot] += commands
        if not self._counts(bundle):
            self.outcomes[slot] += [None] * bundle.count
            return
        for command in commands:
            self._is_taken = False
            value = self.apply(command)
            self.outcomes[slot].append(Outcome(self.index, value))

    def _counts(self, bundle: Bundle) -> bool:
        origin = bundle.origin
        if origin not in self.members:
            return False
        incarnation, sequence = self._counted.get(origin, (0, 0))
        is_next = (bundle.incarnation, bundle.sequence) == (incarnation, sequence + 1)
        is_first = bundle.incarnation > incarnation and bundle.sequence == 1
        if is_next or is_first:
            self._counted[origin] = (bundle.incarnation, bundle.sequence)
        return is_next or is_first

    @property
    def members(self) -> dict[NodeId, Member]:
        """Members of every configuration in force or to come."""
        return {m.id: m for _, configuration in self.chain for m in configuration.members}

    @property
    def newest(self) -> tuple[int, Configuration]:
        """The last configuration chosen, and the slot from which it governs."""
        return self._history[-1]

    def governing(self, slot: int) -> Configuration | None:
        """The configuration that governs a slot; None if that is not known yet."""
        if slot > self.slot + self._alpha:
            return None
        return next(c for begin, c in reversed(self._history) if begin <= slot)

    def _configuration(self, slot: Slot, configuration: Configuration) -> None:
        newest = self.chain[-1][1]
        if (configuration.predecessor, configuration.number) == (newest.number, newest.number + 1):
            self.chain.append((slot + self._alpha, configuration))
            self._history.append(self.chain[-1])

    def _prune(self, slot: Slot) -> None:
        while len(self.chain) > 1 and self.chain[1][0] <= slot + 1:
            del self.chain[0]
        members = self.members
        self._counted = {o: c for o, c in self._counted.items() if o in members}

    # --- commands -----------------------------------------------------------------------------

    def apply(self, command: Command) -> Any:
        """Apply one command; returns its value."""
        (handler,) = self._handlers[type(command)]
        return handler(self, command)

    def tell(self, fact: Fact) -> None:
        """Let the domains react to a fact, in their order."""
        for react in self._handlers.get(type(fact), ()):
            react(self, fact)

    def ask(self, question: Question[T]) -> T:
        """The answer of the domain that has it."""
        (handler,) = self._handlers[type(question)]
        answer: T = handler(self, question)
        return answer

    def fail(self, text: str) -> NoReturn:
        """End the run: a command was applied that must not be."""
        raise ViolationError(text)

    def take(self) -> int:
        """The index of the running command."""
        if not self._is_taken:
            self._is_taken = True
            self.index += 1
        return self.index

    # --- restores -----------------------------------------------------------------------------

    def is_restored(self, after: int, upto: int) -> bool:
        """Did a restore become the state in a slot above `after`, up to `upto`?"""
        return any(after < slot <= upto for slot in self.restores)

    def begin_restore(self, restore_id: str) -> bool:
        """An older one that is not complete is dropped."""
        self._restoring = (restore_id, 0)
        return True

    def take_rows(self, restore_id: str, count: int) -> bool:
        """So many rows more."""
        current, rows = self._restoring
        if restore_id != current:
            return False
        self._restoring = (current, rows + count)
        return True

    def end_restore(self, command: RestoreCommit) -> bool:
        """The state becomes what it was when the snapshot was taken."""
        if (command.restore_id, command.rows) != self._restoring:
            return False
        self._restoring = ("", 0)
        self.index = max(self.index, command.index)
        self.take()
        copies = self.copies[self.archives[command.restore_id]]
        for name, restore in self._restored.items():
            restore(self, copies[name])
        self.restores.append(self.slot)
        return True

    def transact_mixed(self, ops: Sequence[Any]) -> TxnResult:
        """Operations of any type, all or nothing: tried on the state, which is put back."""
        before, index = deepcopy(self.own, {id(self): self}), self.index
        items: list[Any] = []
        faults: list[TxnOpFailure] = []
        most, size = self.txn_result_bytes_max, 0
        for number, op in enumerate(ops):
            try:
                result = self._operate(op)
            except OperationError as error:
                faults.append(TxnOpFailure(number, str(error)))
                if "(txn_result_bytes_max)" in str(error):
                    break
                continue
            items += result
            size += sum(item.size for item in result)
            if size > most:
                text = (
                    f"the results of a transaction must not exceed {most} bytes "
                    "(txn_result_bytes_max): read less in one transaction"
                )
                faults.append(TxnOpFailure(number, text))
                break
        if faults:
            self.own.clear()
            self.own.update(before)
            self.untake(index)
            return TxnResult(faults=tuple(faults))
        return TxnResult(items=tuple(items))

    def _operate(self, op: Any) -> Sequence[Any]:
        if not isinstance(op, TxnOp):
            (handler,) = self._handlers[type(op)]
            results: Sequence[Any] = handler(self, op)
            return results
        index, is_taken = self.index, self._is_taken
        done: TxnResult = self.transact(self, [op])
        if done.faults:
            self.index, self._is_taken = index, is_taken
            raise OperationError(done.faults[0].what)
        return done.items

    def untake(self, index: int) -> None:
        """The running command is undone: its index was never taken."""
        self.index = index
        self._is_taken = False


def _txn_mixed(model: ReferenceModel, command: TxnMixed) -> Any:
    return model.transact_mixed(operations_of(model.domains, command))


def _txn(model: ReferenceModel, command: Txn) -> Any:
    return model.transact(model, command.ops)


def _reap(model: ReferenceModel, command: TombstonesReap) -> None:
    return None


def _no_operations(_: ReferenceModel, ops: Sequence[Any]) -> Any:
    raise ViolationError(f"no domain has these operations: {ops}")


class Swept:
    """Equal to any number: how many rows a sweep removed is not in the model."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    __hash__ = None  # type: ignore[assignment]


def _sweep(model: ReferenceModel, command: Sweep) -> Swept:
    return Swept()


def _restore_begin(model: ReferenceModel, command: RestoreBegin) -> bool:
    return model.begin_restore(command.restore_id)


def _restore_rows(model: ReferenceModel, command: RestoreRows) -> bool:
    return model.take_rows(command.restore_id, len(command.rows))


def _restore_commit(model: ReferenceModel, command: RestoreCommit) -> bool:
    return model.end_restore(command)


_APPLY: dict[type[Any], Callable[[ReferenceModel, Any], Any]] = {
    Txn: _txn,
    TxnMixed: _txn_mixed,
    RestoreBegin: _restore_begin,
    RestoreRows: _restore_rows,
    RestoreCommit: _restore_commit,
    TombstonesReap: _reap,
    Sweep: _sweep,
}
