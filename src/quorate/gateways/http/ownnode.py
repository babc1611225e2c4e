"""Commands that name this node, which may be so young that the catalog does not know it yet.

A leader is known a moment before the node's own row is applied. Who asks in between waits for
the row instead of being told that the node does not exist.
"""

from collections.abc import Callable

from quorate.base import subjects
from quorate.base.command import Command
from quorate.base.errors import QuorateError
from quorate.base.outcomes import Outcome
from quorate.base.ports import WatchHandle
from quorate.catalog.apply import NO_NODE
from quorate.catalog.queries import node_get
from quorate.catalog.subjects import of_node
from quorate.gateways.http.context import Context, Timer
from quorate.httpserver.request import Request

PATIENCE_S = 2.0
"""How long a node may take to appear in its own catalog."""


def submit_for_own_node(
    context: Context,
    request: Request,
    command: Command,
    then: Callable[[Outcome], None],
    prefix: str = "",
) -> None:
    """See `Context.submit`; tried again when this node appears, if it was not there."""
    _OwnNode(context, request, command, then, prefix).attempt()


class _OwnNode:
    __slots__ = (
        "_command",
        "_context",
        "_deadline_s",
        "_name",
        "_prefix",
        "_request",
        "_then",
        "_timer",
        "_watch",
    )

    def __init__(
        self,
        context: Context,
        request: Request,
        command: Command,
        then: Callable[[Outcome], None],
        prefix: str,
    ) -> None:
        self._context = context
        self._request = request
        self._command = command
        self._then = then
        self._prefix = prefix
        self._name = context.local.status().node.name
        self._deadline_s = context.local.now_s + PATIENCE_S
        self._timer: Timer | None = None
        self._watch: WatchHandle | None = None

    def attempt(self) -> None:
        """Have the command applied."""
        self._context.local.submit(self._request.context, self._command, self._done)

    def _done(self, outcome: Outcome | QuorateError) -> None:
        context = self._context
        is_young = isinstance(outcome, Outcome) and outcome.value == NO_NODE
        left_s = self._deadline_s - context.local.now_s
        if is_young and left_s > 0:
            context.guarded(self._request, lambda: self._wait(left_s))
        else:
            context.submitted(self._request, outcome, self._then, self._prefix)

    def _wait(self, left_s: float) -> None:
        if self._request.is_lost:
            return
        if node_get(self._context.reader(), self._name).value is not None:
            self.attempt()
            return
        wait = (subjects.exactly(of_node(self._name)),)
        self._watch = self._context.local.watch(self._request.context, wait, self._again)
        self._timer = self._context.call_later(left_s, self._again)
        self._request.waits(self._forget)

    def _again(self) -> None:
        self._forget()
        self.attempt()

    def _forget(self) -> None:
        self._request.waits_no_more()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
