"""Backend: what `serving` needs of a host: its node, its event loop and its clients.

Everything here belongs to one epoch of a host: what completes after it is dropped. While the host
is paused nothing here runs; timers fire when it resumes.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

from quorate.base.command import Command, encode_command
from quorate.base.context import RequestContext
from quorate.base.errors import UnavailableError
from quorate.base.ports import CurrentView, Done
from quorate.base.slices import LATER, Step
from quorate.node.node import Node
from quorate.sim.operations import Operation
from quorate.sim.world import World

PAUSED_S = 0.1
"""A paused host is checked again after this time."""

SLICE_S = 0.003


class Server(Protocol):
    """A host, as its clients see it.

    Attributes:
        epoch: The number of its start; 0: it is down.
    """

    name: str
    node: Node | None
    epoch: int

    @property
    def tables(self) -> CurrentView:
        """Its rows as of now."""
        ...

    @property
    def is_running(self) -> bool:
        """It runs and is not paused."""
        ...

    @property
    def now_s(self) -> float:
        """Monotonic seconds, as it reads them."""
        ...

    def do(self, action: Callable[[Node, float], Any]) -> None:
        """Pass a request to the node, as part of a turn."""
        ...


class Ticket:
    """What the node is given with a request, and returns with its result.

    Attributes:
        operation: Whose; None: of one that is over.
        done: Called with the result.
    """

    __slots__ = ("done", "operation")

    def __init__(self, operation: Operation | None, done: Callable[..., None]) -> None:
        self.operation = operation
        self.done = done


class Watching:
    """Fills `base.ports.WatchHandle`."""

    __slots__ = ("_node", "_operation", "_watch_id")

    def __init__(self, node: Node, operation: Operation, watch_id: int) -> None:
        self._node = node
        self._operation = operation
        self._watch_id = watch_id

    def cancel(self) -> None:
        """See `base.ports.WatchHandle.cancel`."""
        self._node.unwatch(self._watch_id)
        if self._operation.watch_id == self._watch_id:
            self._operation.stops_watching()


class SimTimer:
    """Fills `serving.ports.Timer`."""

    __slots__ = ("is_cancelled",)

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        """See `serving.ports.Timer.cancel`."""
        self.is_cancelled = True


class SimBackend:
    """Fills `serving.ports.Backend` and `serving.ports.Slices` for one epoch of a host.

    Args:
        world: Time.
        host: Whose.
        hold_s: How long its node holds requests while there is no leader.
        operation_of: Gives the operation of a context, by its trace.
        rng: For the times of slices.
        tables: Its rows as of now, as its clients read them.

    Attributes:
        tables: See `base.ports.ReadIndex.tables`.
    """

    def __init__(
        self,
        world: World,
        host: Server,
        hold_s: float,
        operation_of: Callable[[RequestContext], Operation],
        rng: Random,
        tables: CurrentView,
    ) -> None:
        self.tables = tables
        self._world = world
        self._host = host
        self._epoch = host.epoch
        self._hold_s = hold_s
        self._operation_of = operation_of
        self._rng = rng

    @property
    def now_s(self) -> float:
        """See `serving.ports.Backend.now_s`."""
        return self._host.now_s

    @property
    def removal(self) -> UnavailableError | None:
        """See `serving.ports.Backend.removal`."""
        return None if self._host.node is None else self._host.node.group.refusal

    @property
    def is_over(self) -> bool:
        """The epoch has ended."""
        return self._host.epoch != self._epoch

    def submit(
        self, context: RequestContext, command: Command, done: Done, *, urgent: bool = False
    ) -> None:
        """See `base.ports.Submit.submit`."""
        operation = self._operation_of(context)
        operation.writes(command)
        data, ticket, due_s = encode_command(command), Ticket(operation, done), self._due_s(context)
        try:
            self._host.do(lambda node, _: node.submit(data, ticket, due_s, urgent))
        except UnavailableError as error:  # refused before it was proposed
            done(error)

    def read(self, context: RequestContext, done: Callable[[Any], None]) -> None:
        """See `base.ports.ReadIndex.read`."""
        ticket, due_s = Ticket(self._operation_of(context), done), self._due_s(context)
        self._host.do(lambda node, _: node.read(ticket, due_s))

    def watch(
        self, context: RequestContext, subjects: Sequence[bytes], fire: Callable[[], None]
    ) -> Watching:
        """See `base.ports.Watch.watch`."""
        operation, node = self._operation_of(context), self._host.node
        if node is None:
            raise UnavailableError("stopping", "the host is down")
        watch_id = node.watch(subjects, Ticket(operation, fire))
        operation.watches(watch_id, node.group.machine.applied)
        return Watching(node, operation, watch_id)

    def _due_s(self, context: RequestContext) -> float:
        return min(self._host.now_s + self._hold_s, context.deadline_s)

    # --- the loop ------------------------------------------------------------------------------

    def call_later(self, delay_s: float, step: Callable[[], None]) -> SimTimer:
        """See `serving.ports.CallLater`."""
        alarm = SimTimer()
        self._world.after(max(0.0, delay_s), self._fire, alarm, step)
        return alarm

    def _fire(self, alarm: SimTimer, step: Callable[[], None]) -> None:
        if self.is_over or alarm.is_cancelled:
            return
        if self._host.is_running:
            step()
        else:
            self._world.after(PAUSED_S, self._fire, alarm, step)

    def add(self, step: Step) -> None:
        """See `serving.ports.Slices.add`."""
        self.call_later(self._rng.random() * SLICE_S, lambda: self._slice(step))

    def _slice(self, step: Step) -> None:
        if more := step():
            delay_s = SLICE_S if more == LATER else self._rng.random() * SLICE_S
            self.call_later(delay_s, lambda: self._slice(step))
