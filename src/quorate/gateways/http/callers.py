"""Callers: requests of this gateway as callers of `serving` (`serving.ports.Caller`)."""

from collections.abc import Callable

from quorate.base.context import RequestContext
from quorate.base.errors import QuorateError
from quorate.base.outcomes import Outcome
from quorate.gateways.http.context import Context
from quorate.httpserver.request import Request
from quorate.serving.ports import Closable

_WAITING_BYTES = 3072  # a watch, its timer and what they refer to
_COPIES = 3  # of a key, besides the target: decoded, as a watch key, in the table of watches


class HttpCaller:
    """The caller of an HTTP request.

    Args:
        gateway: The context of the gateway.
        request: The request.
        prefix: Is put before the text of a failed command.
    """

    __slots__ = ("_gateway", "_prefix", "_request")

    def __init__(self, gateway: Context, request: Request, prefix: str = "") -> None:
        self._gateway = gateway
        self._request = request
        self._prefix = prefix

    @property
    def context(self) -> RequestContext:
        """See `serving.ports.Caller.context`."""
        return self._request.context

    @property
    def is_lost(self) -> bool:
        """See `serving.ports.Caller.is_lost`."""
        return self._request.is_lost

    def fail(self, error: BaseException) -> None:
        """See `serving.ports.Caller.fail`."""
        self._gateway.fail(self._request, error)

    def run(self, step: Callable[[], None]) -> None:
        """See `serving.ports.Caller.run`."""
        self._gateway.guarded(self._request, step)

    def when_wanted(self, step: Callable[[], None]) -> None:
        """See `serving.ports.Caller.when_wanted`."""
        self._gateway.when_wanted(self._request, step)

    def conclude(self, outcome: Outcome | QuorateError, then: Callable[[Outcome], None]) -> None:
        """See `serving.ports.Caller.conclude`."""
        self._gateway.submitted(self._request, outcome, then, self._prefix)

    def begin_wait(self, on_lost: Callable[[], None]) -> bool:
        """See `serving.ports.Caller.begin_wait`."""
        request = self._request
        if not request.hold(_WAITING_BYTES + _COPIES * len(request.target)):
            self._gateway.refuse_spent(request)
            return False
        request.begin_wait(on_lost)
        return True

    def end_wait(self) -> None:
        """See `serving.ports.Caller.end_wait`."""
        self._request.end_wait()

    def own(self, held: Closable) -> None:
        """See `serving.ports.Caller.own`."""
        self._request.own(held)

    def release(self) -> None:
        """See `serving.ports.Caller.release`."""
        self._request.release()
