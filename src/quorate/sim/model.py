"""Model: what the log means, written a second time and as simply as possible.

What is common to all commands is here: which bundles count, indexes, configurations. What each
command means, its domain says in its own model (`base.domain.Simulation`), which shares no code
with what applies it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from quorate.base.batches import Bundle, Configuration, Member, decode_batch
from quorate.base.command import Command
from quorate.base.domain import Domain
from quorate.base.facts import Fact, Question
from quorate.base.ids import NodeId, Slot
from quorate.base.outcomes import Outcome
from quorate.machine.commands import Sweep, TombstonesReap, Txn
from quorate.machine.domains import Domains
from quorate.sim.world import ViolationError

T = TypeVar("T")


class Model:
    """The state after each slot, in order.

    Args:
        configuration: The founding one.
        alpha: Slots between a configuration's choice and its government.
        domains: Whose commands it applies.

    Attributes:
        own: State of domains that bring their own model, by name.
    """

    def __init__(self, configuration: Configuration, alpha: int, domains: Domains) -> None:
        self._decode = domains.decode
        self._handlers: dict[type[Any], list[Callable[[Model, Any], Any]]] = {
            each: [handler] for each, handler in _APPLY.items()
        }
        self.own: dict[str, Any] = {}
        self.transact: Callable[[Model, Sequence[Any]], Any] = _no_operations
        self._ends: list[Callable[[Model], None]] = []
        for domain in domains.all:
            self._add(domain)
        self.slot = Slot(0)
        self.index = 0
        self.stamp_ms = 0
        self.commands: dict[int, list[Command]] = {}
        self.outcomes: dict[int, list[Outcome | None]] = {}
        self.indexes: dict[int, int] = {0: 0}
        self.chain: list[tuple[int, Configuration]] = [(1, configuration)]
        self._history = list(self.chain)
        self._alpha = alpha
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

    # --- the log ------------------------------------------------------------------------------

    def step(self, slot: Slot, data: bytes) -> None:
        """Apply the batch of the next slot."""
        if slot != self.slot + 1:
            raise ViolationError(f"the log has a hole before slot {slot}")
        self.slot = slot
        batch = decode_batch(data)
        self.stamp_ms = max(self.stamp_ms, batch.stamp_ms)
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
        """Apply one command; what it gives back."""
        (handler,) = self._handlers[type(command)]
        return handler(self, command)

    def tell(self, fact: Fact) -> None:
        """Let the domains react to a fact, in their order."""
        for react in self._handlers.get(type(fact), ()):
            react(self, fact)

    def ask(self, question: Question[T]) -> T:
        """What the domain that knows says."""
        (handler,) = self._handlers[type(question)]
        answer: T = handler(self, question)
        return answer

    def fail(self, text: str) -> NoReturn:
        """What was applied must not be."""
        raise ViolationError(text)

    def take(self) -> int:
        """The index of the running command."""
        if not self._is_taken:
            self._is_taken = True
            self.index += 1
        return self.index

    def untake(self, index: int) -> None:
        """The running command is undone: its index was never taken."""
        self.index = index
        self._is_taken = False


def _txn(model: Model, command: Txn) -> Any:
    return model.transact(model, command.ops)


def _reap(model: Model, command: TombstonesReap) -> None:
    return None


def _no_operations(_: Model, ops: Sequence[Any]) -> Any:
    raise ViolationError(f"nobody offers operations: {ops}")


class Swept:
    """Equal to any number: how many rows a sweep removed is no affair of the model."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    __hash__ = None  # type: ignore[assignment]


def _sweep(model: Model, command: Sweep) -> Swept:
    return Swept()


_APPLY: dict[type[Any], Callable[[Model, Any], Any]] = {
    Txn: _txn,
    TombstonesReap: _reap,
    Sweep: _sweep,
}
