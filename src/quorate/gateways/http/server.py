"""Consul's HTTP API as an application of the HTTP server."""

from collections.abc import Iterable, Sequence
from functools import partial

from quorate.base.context import OWN
from quorate.base.errors import QuorateError
from quorate.base.ports import Local
from quorate.gateways.http import limits
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.context import Context
from quorate.gateways.http.process import Process
from quorate.gateways.http.refusals import error_of
from quorate.gateways.http.route import Route
from quorate.gateways.http.routes import ROUTES, Router, is_plain_key
from quorate.gateways.http.sharing import Shared
from quorate.httpserver.application import BodyPlan, Middleware, RequestHead
from quorate.httpserver.ordering import Order, order_of_method
from quorate.httpserver.refusals import Refusal
from quorate.httpserver.request import Request
from quorate.httpserver.server import HttpServer, Warn
from quorate.localstate.agent import LocalAgent
from quorate.net.connector import PLAIN, Connector

__all__ = ["ConsulApi", "ConsulServer", "HttpConfig"]

UNORDERED = b"x-quorate-unordered"
"""Header of a request that needs no order with others of its connection, whatever its value."""

_WRITES = (b"PUT", b"DELETE")


class ConsulApi:
    """Consul's API; fills `httpserver.application.Application`.

    Args:
        context: Passed to handlers.
        routes: The routes, that of keys among them.
    """

    def __init__(self, context: Context, routes: Sequence[Route] = ROUTES) -> None:
        self._context = context
        self._router = Router(context, routes)
        self.handle = self._router.handle

    @property
    def remembered_body_bytes_max(self) -> int:
        """The smallest of all limits of bodies."""
        config = self._context.config
        return min(
            config.value_bytes_max,
            config.txn_bytes_max,
            config.body_bytes_max,
            config.snapshot_bytes_max,
        )

    def reconfigure(self, config: HttpConfig) -> None:
        """Apply another configuration."""
        self._context.reconfigure(config)
        self._router.reconfigure()

    def open_body(self, head: RequestHead) -> BodyPlan:
        """Limit a body by its path; that of a long snapshot is written to disk.

        Raises:
            HttpError: Too many snapshots are being uploaded.
            StorageError: There is no space for it, or no file descriptor.
        """
        method, target, length = head.method, head.target, head.body_bytes
        bytes_max = limits.body_bytes_max(self._context.config, method, target)
        if length <= bytes_max and limits.is_spooled(method, target, length):
            return BodyPlan(bytes_max, self._context.shared.snapshots.begin_upload(length))
        return BodyPlan(bytes_max)

    def order_of(self, request: Request) -> Order:
        """See `Application`: a node logs the writes of keys in the order in which it got them."""
        method = request.method
        if method in _WRITES and is_plain_key(request.target):
            return Order.SEQUENCED
        return order_of_method(method)

    def is_unordered(self, request: Request) -> bool:
        """See `Application`."""
        return request.header(UNORDERED) is not None

    def refuse(self, request: Request, error: BaseException) -> None:
        """See `Application`."""
        self._context.fail(request, error)

    def refuse_long(self, request: Request, length: int) -> None:
        """See `Application`."""
        self._context.fail(request, limits.refusal(self._context.config, request.target, length))

    def refusal(self, reason: Refusal) -> bytes:
        """See `Application`."""
        return self._context.responses.whole_error(error_of(reason))

    def on_fault(self, error: BaseException) -> None:
        """Pass it to the node in a turn of its own: damaged tables or invariants end the node."""
        self._context.local.read(OWN, partial(_raise, error))

    def tick(self) -> None:
        """See `Application`."""
        self._context.responses.tick()


class ConsulServer(HttpServer):
    """One listening address of a node's Consul API.

    Args:
        local: The node that carries out requests.
        config: The settings.
        shared: Shared with the other listeners of the node; None: it is the only one.
        warn: Logs what was refused, as the method of a logger does.
        process: The process of the node, for the endpoints that need it.
        agent: The services and checks of this agent; None: kept in memory, for this listener alone.
        middleware: Is called before the API; see `httpserver.application`.
        connector: Makes connections from accepted sockets.
    """

    def __init__(
        self,
        local: Local,
        config: HttpConfig,
        shared: Shared | None = None,
        warn: Warn | None = None,
        process: Process | None = None,
        agent: LocalAgent | None = None,
        middleware: Iterable[Middleware] = (),
        connector: Connector = PLAIN,
    ) -> None:
        context = Context(local, config, shared=shared, process=process, agent=agent)
        self._api = ConsulApi(context)
        super().__init__(
            self._api,
            config,
            middleware=middleware,
            budget=context.shared.budget,
            slices=context.shared.slices,
            warn=warn,
            connector=connector,
        )

    def reconfigure(self, config: HttpConfig) -> None:
        """Apply another configuration, and keep all connections."""
        self._api.reconfigure(config)
        self.set_limits(config)


def _raise(error: BaseException, _: int | QuorateError) -> None:
    raise error
