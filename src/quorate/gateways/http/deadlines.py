"""Deadlines: the header by which a client says how long it will wait.

A request that finds no leader is held, for the node's own hold time unless its client says that it
waits for less: `X-Quorate-Deadline: 2500ms`. What is not proposed by then is withdrawn and refused
as definite. So a client that gives up knows that its write did not happen, instead of leaving it
to be proposed when nobody waits any more.
"""

from collections.abc import Callable, Sequence

from quorate.base.batches import Member
from quorate.base.command import Command
from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.metrics import Metric
from quorate.base.ports import CurrentView, Done, Local, Status, WatchHandle
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import SECOND_NS, duration_ns
from quorate.gateways.http.request import Request

HEADER = b"x-quorate-deadline"
"""18 bytes long, as the other headers that keep a request from the quick path."""


def limited(context: Context, request: Request) -> Context:
    """The context for a request: one that keeps its client's deadline, if it gives one.

    Raises:
        HttpError: 400: the deadline is no positive duration.
    """
    value = request.header(HEADER)
    if value is None:
        return context
    try:
        deadline_s = duration_ns(value.decode("latin-1")) / SECOND_NS
    except TextError as error:
        raise HttpError(400, f"Invalid X-Quorate-Deadline: {error}") from None
    if deadline_s <= 0:
        raise HttpError(400, "Invalid X-Quorate-Deadline: it must be above zero")
    return context.limited(_Limited(context.local, deadline_s))


class _Limited:
    """A node that holds questions no longer than their client waits. Fills `base.ports.Local`."""

    def __init__(self, local: Local, deadline_s: float) -> None:
        self._local = local
        self._until_s = local.now_s + deadline_s

    @property
    def now_s(self) -> float:
        return self._local.now_s

    @property
    def tables(self) -> CurrentView:
        return self._local.tables

    @property
    def removal(self) -> UnavailableError | None:
        return self._local.removal

    def submit(
        self,
        command: Command,
        done: Done,
        *,
        urgent: bool = False,
        deadline_s: float | None = None,
    ) -> None:
        self._local.submit(command, done, urgent=urgent, deadline_s=self._left_s(deadline_s))

    def read(
        self, done: Callable[[int | QuorateError], None], *, deadline_s: float | None = None
    ) -> None:
        self._local.read(done, deadline_s=self._left_s(deadline_s))

    def watch(self, subjects: Sequence[bytes], fire: Callable[[], None]) -> WatchHandle:
        return self._local.watch(subjects, fire)

    def status(self) -> Status:
        return self._local.status()

    def change(
        self, verb: str, member: Member, done: Callable[[QuorateError | None], None]
    ) -> None:
        self._local.change(verb, member, done)

    def metrics(self) -> list[Metric]:
        return self._local.metrics()

    def report(self, error: BaseException) -> str:
        return self._local.report(error)

    def _left_s(self, deadline_s: float | None) -> float:
        left_s = max(self._until_s - self._local.now_s, 0.0)
        return left_s if deadline_s is None else min(left_s, deadline_s)
