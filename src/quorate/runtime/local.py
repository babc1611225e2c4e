"""Local: what a gateway may ask of the node it lives on; fills `base.ports.Local`.

Thin on purpose: a command is encoded once, here, and is bytes from now on. No task and no future
per request: callbacks travel through the node as tickets and come back with the answer.
"""

from collections.abc import Callable, Sequence

from quorate.base.batches import Member
from quorate.base.command import Command, encode_command
from quorate.base.config import NodeSettings
from quorate.base.context import PLAIN, RequestContext
from quorate.base.errors import QuorateError, RequestError, UnavailableError
from quorate.base.metrics import Metric
from quorate.base.ports import Clock, CurrentView, Done, Status
from quorate.node.node import Node
from quorate.runtime.driver import Driver

HOPELESS_HOLD_S = 1.0
"""How long a request waits on a node that has no cluster yet, or no longer: no leader can be near.

Not zero: the node may be about to find its cluster.
"""

_HOPELESS = frozenset({"joining", "removed"})
_STOPPING = UnavailableError("stopping", "this node is stopping; try another one")


class LocalWatch:
    """Fills `base.ports.WatchHandle`."""

    __slots__ = ("_id", "_node")

    def __init__(self, node: Node, watch_id: int) -> None:
        self._node = node
        self._id = watch_id

    def cancel(self) -> None:
        """See `base.ports.WatchHandle.cancel`."""
        self._node.unwatch(self._id)


class LocalNode:
    """See `base.ports.Local`.

    Args:
        node: The pure node; asked directly, in the loop's thread.
        driver: Ends the turn in which something was asked.
        tables: The node's.
        settings: Limits and timeouts.
        clock: Monotonic seconds.
        metrics: Gathers the figures of all parts.

    Attributes:
        tables: See `base.ports.ReadIndex.tables`.
        is_stopping: New requests are refused; those under way go on.
    """

    def __init__(
        self,
        node: Node,
        driver: Driver,
        tables: CurrentView,
        settings: NodeSettings,
        clock: Clock,
        metrics: Callable[[], list[Metric]],
    ) -> None:
        self._node = node
        self._driver = driver
        self.tables = tables
        self._clock = clock
        self._metrics = metrics
        self._hold_s = settings.timing.hold_s
        self._command_bytes_max = settings.cluster.batch_bytes_max
        self.is_stopping = False

    def stop(self) -> None:
        """From now on new requests are refused; those under way go on."""
        self.is_stopping = True

    @property
    def now_s(self) -> float:
        """See `base.ports.Local.now_s`."""
        return self._clock()

    def report(self, error: BaseException, context: RequestContext = PLAIN) -> str:
        """See `base.ports.Local.report`."""
        return self._driver.report(error, context.trace_id)

    @property
    def removal(self) -> UnavailableError | None:
        """See `base.ports.Local.removal`."""
        return self._node.group.refusal

    @property
    def unindexed_changes(self) -> int:
        """See `base.ports.Local.unindexed_changes`."""
        return self._node.group.machine.unindexed_changes

    def submit(
        self, context: RequestContext, command: Command, done: Done, *, urgent: bool = False
    ) -> None:
        """See `base.ports.Submit.submit`."""
        data = encode_command(command)
        if len(data) > self._command_bytes_max:
            text = f"the command has {len(data)} bytes, at most {self._command_bytes_max} may be"
            done(RequestError("too_large", text))
            return
        if self.is_stopping or self._driver.is_over:
            done(_STOPPING)
            return
        now_s = self._clock()
        due_s = now_s + self._hold_s
        due_s = min(due_s, context.deadline_s)
        if self._node.group.leader is None:
            due_s = self._due_without_leader_s(due_s, now_s)
        try:
            self._node.submit(data, done, due_s, urgent)
        except UnavailableError as error:  # overloaded, or the disk is full: the caller's answer
            done(error)
            return
        self._driver.wake()

    def read(self, context: RequestContext, done: Callable[[int | QuorateError], None]) -> None:
        """See `base.ports.ReadIndex.read`."""
        if self.is_stopping or self._driver.is_over:
            done(_STOPPING)
            return
        now_s = self._clock()
        due_s = now_s + self._hold_s
        due_s = min(due_s, context.deadline_s)
        if self._node.group.leader is None:
            due_s = self._due_without_leader_s(due_s, now_s)
        self._node.read(done, due_s)
        self._driver.wake()

    def _due_without_leader_s(self, due_s: float, now_s: float) -> float:
        is_full = self._node.group.space.is_short  # it starts no election, and votes for little
        is_hopeless = is_full or self._node.status(now_s).role in _HOPELESS
        return min(due_s, now_s + HOPELESS_HOLD_S) if is_hopeless else due_s

    def watch(
        self,
        context: RequestContext,  # noqa: ARG002 - nothing is decided by it yet
        subjects: Sequence[bytes],
        fire: Callable[[], None],
    ) -> LocalWatch:
        """See `base.ports.Watch.watch`."""
        return LocalWatch(self._node, self._node.watch(subjects, fire))

    def status(self) -> Status:
        """See `base.ports.Admin.status`."""
        return self._node.status(self._clock())

    def change(
        self,
        context: RequestContext,
        verb: str,
        member: Member,
        done: Callable[[QuorateError | None], None],
    ) -> None:
        """See `base.ports.Admin.change`."""
        if self._driver.is_over:
            done(_STOPPING)
            return
        due_s = min(self._clock() + self._hold_s, context.deadline_s)
        self._node.change(verb, member, done, due_s)
        self._driver.wake()

    def metrics(self) -> list[Metric]:
        """See `base.ports.Admin.metrics`."""
        return self._metrics()
