"""A node of a test cluster; each of its runs is a thread with an event loop of its own.

A thread of its own per node makes the caller's program free to block, and a node free to stand
still: a paused node is a loop that waits, just as a stopped process is.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import uvloop
from structlog.typing import FilteringBoundLogger

from quorate.base.config import NodeSettings
from quorate.base.effects import Halt
from quorate.base.errors import UnavailableError
from quorate.base.ports import Status
from quorate.gateways.http.server import ConsulServer, HttpConfig
from quorate.runtime.body import Body, BodySettings, start_body
from quorate.runtime.home import HomeSettings
from quorate.runtime.reserved import HOST, ReservedPort
from quorate.runtime.wal import WalSettings
from quorate.wire.journal import Layout

CALL_S = 10.0
"""A node that does not stand still answers a question long before this."""

SEGMENT_BYTES = 1024 * 1024
TABLES_STEP_BYTES = 4 * 1024 * 1024
FREE_BYTES_MIN = 16 * 1024 * 1024

STOP_S = 20.0
"""A clean stop takes less."""

T = TypeVar("T")


class NodeThread(threading.Thread):
    """A node from its start to its end.

    Args:
        settings: Of the node.
        http: Of its HTTP gateway.
        peer_port: Where other nodes reach it.
        http_port: Where clients reach it.
        cut_off: Names of the nodes it cannot hear, see `runtime.transport`.
        log: Where it tells what happens.

    Attributes:
        started: Done when it listens; holds the error if it cannot.
        failure: Why it ended by itself; "" otherwise.
    """

    def __init__(
        self,
        settings: BodySettings,
        http: HttpConfig,
        peer_port: ReservedPort,
        http_port: ReservedPort,
        cut_off: frozenset[str],
        log: FilteringBoundLogger,
    ) -> None:
        super().__init__(name=f"quorate-{settings.name}", daemon=True)
        self._settings = settings
        self._http = http
        self._peer_port = peer_port
        self._http_port = http_port
        self._cut_off = cut_off
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._body: Body | None = None
        self._ending: asyncio.Future[bool] | None = None
        self._is_clean_end: bool | None = None  # None: nobody has asked for its end
        self._moving = threading.Event()
        self._moving.set()
        self.started: Future[None] = Future()
        self.failure = ""

    # --- in the node's thread ------------------------------------------------------------------

    def run(self) -> None:
        """Called by `start`."""
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - kept for whoever asks: a thread has no caller
            self.failure = repr(error)
            if not self.started.done():
                self.started.set_exception(error)

    async def _serve(self) -> None:
        body = await start_body(
            self._settings, self._peer_port.listen(), self._log, cut_off=self._cut_off
        )
        server = ConsulServer(body.local, self._http)
        try:
            await server.start(HOST, self._http_port.number)
        except BaseException:
            await body.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._body = body
        ending = self._ending = self._loop.create_future()
        if self._is_clean_end is not None:  # asked for while it started
            ending.set_result(self._is_clean_end)
        self.started.set_result(None)
        await asyncio.wait([ending, body.ended], return_when=asyncio.FIRST_COMPLETED)
        is_clean = ending.done() and ending.result()
        await server.stop(is_clean=is_clean)
        await (body.stop() if is_clean else body.close())
        if body.ended.done():
            why = body.ended.result()
            self.failure = f"{why.code}: {why.reason}" if isinstance(why, Halt) else repr(why)

    # --- from other threads --------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """It stands still."""
        return not self._moving.is_set()

    def call(self, function: Callable[[Body], T]) -> T:
        """Have the node's thread call a function, and return what it returns.

        Raises:
            UnavailableError: `stopping`: the node stands still, or has ended.
        """
        body, loop, answer = self._body, self._loop, Future[T]()
        if body is None or loop is None or self.is_paused:
            raise UnavailableError("stopping", f"{self._settings.name} does not run")

        def work() -> None:
            try:
                answer.set_result(function(body))
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                answer.set_exception(error)

        try:
            loop.call_soon_threadsafe(work)
            return answer.result(CALL_S)
        except (RuntimeError, TimeoutError) as error:  # its loop is closed, or was just now
            raise UnavailableError("stopping", f"{self._settings.name} has ended") from error

    def cut_off(self, names: frozenset[str]) -> None:
        """Have it hear nothing from the nodes of these names, and everything from all others."""
        body, loop = self._body, self._loop
        if body is None or loop is None:
            return
        if not self.is_paused:
            with contextlib.suppress(UnavailableError):  # it has ended: it hears nobody
                self.call(lambda body: body.cut_off(names))
            return
        with contextlib.suppress(RuntimeError):  # likewise
            loop.call_soon_threadsafe(body.cut_off, names)  # before anything else, once it goes on

    def pause(self) -> None:
        """Have it stand still, as a process does after SIGSTOP; returns when it does."""
        if self._loop is None or self.is_paused:
            return
        standing = threading.Event()

        def stand_still() -> None:
            standing.set()
            self._moving.wait()

        self._moving.clear()
        try:
            self._loop.call_soon_threadsafe(stand_still)
        except RuntimeError:  # it has ended: it moves no more
            return
        standing.wait(CALL_S)

    def resume(self) -> None:
        """Have it go on."""
        self._moving.set()

    def end(self, *, is_clean: bool) -> None:
        """Have it end, if it starts, once it has; returns at once, `join` waits for it.

        Args:
            is_clean: It hands leadership over and answers those who wait; else it ends as if its
                process had been killed.
        """
        self._is_clean_end = is_clean
        loop, ending = self._loop, self._ending
        if loop is not None and ending is not None:

            def tell() -> None:
                if not ending.done():
                    ending.set_result(is_clean)

            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(tell)
        self.resume()


class ClusterNode:
    """One node of a cluster, whether it runs or not.

    Args:
        settings: Of the node.
        peer_port: Where the other nodes reach it.
        http_port: Where clients reach it.
        log: Where it tells what happens.

    Attributes:
        name: "n1", "n2", …
        endpoint: Where clients reach it, `host:port`; the same over restarts.
        address: Where the other nodes reach it, likewise.
    """

    def __init__(
        self,
        settings: BodySettings,
        peer_port: ReservedPort,
        http_port: ReservedPort,
        log: FilteringBoundLogger,
    ) -> None:
        self.name = settings.name
        self.address, self.endpoint = peer_port.address, http_port.address
        self._settings = settings
        self._ports = (peer_port, http_port)
        self._log = log
        self._cut_off: frozenset[str] = frozenset()
        self._thread: NodeThread | None = None

    def __repr__(self) -> str:
        state = "paused" if self.is_paused else "running" if self.is_running else "down"
        return f"<ClusterNode {self.name} {self.endpoint} {state}>"

    @property
    def is_running(self) -> bool:
        """It was started, and has not ended since. True also while it is paused."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_paused(self) -> bool:
        """It stands still."""
        return self._thread is not None and self._thread.is_alive() and self._thread.is_paused

    @property
    def failure(self) -> str:
        """Why it ended by itself; "" if it did not."""
        return "" if self._thread is None else self._thread.failure

    @property
    def status(self) -> Status:
        """What it knows of itself and the cluster.

        Raises:
            UnavailableError: `stopping`: it does not run, or stands still.
        """
        if self._thread is None:
            raise UnavailableError("stopping", f"{self.name} does not run")
        return self._thread.call(lambda body: body.local.status())

    def begin(self) -> "Future[None]":
        """Begin to start it, with what it has on its disk; the future is done when it listens."""
        if self._thread is None or not self._thread.is_alive():
            http = HttpConfig(datacenter=self._settings.node.datacenter)
            self._thread = NodeThread(self._settings, http, *self._ports, self._cut_off, self._log)
            self._thread.start()
        return self._thread.started

    def end(self, *, is_clean: bool) -> None:
        """Begin to end it, if it runs; `join` waits."""
        if self._thread is not None:
            self._thread.end(is_clean=is_clean)

    def join(self) -> None:
        """Wait until it has ended.

        Raises:
            UnavailableError: `stopping`: it takes more than `STOP_S`, and goes on.
        """
        if self._thread is None:
            return
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise UnavailableError("stopping", f"{self.name} has not ended within {STOP_S:g} s")

    def start(self) -> None:
        """See `Cluster.start`."""
        self.begin().result()

    def stop(self) -> None:
        """See `Cluster.stop`."""
        self.end(is_clean=True)
        self.join()

    def kill(self) -> None:
        """See `Cluster.kill`."""
        self.end(is_clean=False)
        self.join()

    def pause(self) -> None:
        """See `Cluster.pause`."""
        if self._thread is not None:
            self._thread.pause()

    def resume(self) -> None:
        """See `Cluster.resume`."""
        if self._thread is not None:
            self._thread.resume()

    def cut_off(self, names: frozenset[str]) -> None:
        """Have it hear nothing from the nodes of these names, until called without them."""
        self._cut_off = names
        if self._thread is not None:
            self._thread.cut_off(names)


def made_nodes(
    homes: Sequence[Path],
    ports: Sequence[ReservedPort],
    settings: NodeSettings,
    log: FilteringBoundLogger,
    *,
    is_durable: bool,
) -> tuple[ClusterNode, ...]:
    """The nodes of a cluster; they do not run yet.

    Args:
        homes: The directory of each; its last part is the node's name.
        ports: As many for peers, and then as many for clients.
        settings: The same for all.
        log: Where they tell what happens.
        is_durable: They wait for the disk.
    """
    size = len(homes)
    wal = WalSettings(
        layout=Layout(segment_bytes=SEGMENT_BYTES),
        sync="auto" if is_durable else "none",
        free_bytes_min=FREE_BYTES_MIN,
    )
    nodes: list[ClusterNode] = []
    for home, peer_port, http_port in zip(homes, ports[:size], ports[size:], strict=True):
        body = BodySettings(
            home,
            home.name,
            peer_port.address,
            http=http_port.address,
            join=tuple(port.address for port in ports[:size] if port is not peer_port),
            expect=size if size > 1 else 0,
            is_alone=size == 1,
            node=settings,
            home=HomeSettings(wal, TABLES_STEP_BYTES),
        )
        nodes.append(ClusterNode(body, peer_port, http_port, log.bind(node=home.name)))
    return tuple(nodes)
