"""A node of a test cluster; each of its runs is a thread with an event loop of its own.

With a thread per node, the caller's program may block, and a node can be paused: its event loop is
blocked, as that of a stopped process is.
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
from quorate.runtime.reserved import HOST, ReservedPort
from quorate.runtime.server import NodeServer, ServerSettings, start_server
from quorate.runtime.storage import StorageSettings
from quorate.runtime.wal import WalSettings
from quorate.wire.journal import Layout

CALL_S = 10.0
"""A node that is not paused answers a call long before this."""

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
        peer_port: For other nodes.
        http_port: For clients.
        cut_off: Names of the nodes from which it receives nothing, see `runtime.transport`.
        log: Its logger.

    Attributes:
        started: Done when it listens; has the error if it cannot.
        failure: Why it ended without a request to end; "" otherwise.
    """

    def __init__(
        self,
        settings: ServerSettings,
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
        self._node: NodeServer | None = None
        self._ending: asyncio.Future[bool] | None = None
        self._is_clean_end: bool | None = None  # None: nobody has asked for its end
        self._resumed = threading.Event()
        self._resumed.set()
        self._cut_when_resumed: frozenset[str] | None = None
        self.started: Future[None] = Future()
        self.failure = ""

    # --- in the node's thread ------------------------------------------------------------------

    def run(self) -> None:
        """Called by `start`."""
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - kept in `failure`: a thread has no caller
            self.failure = repr(error)
            if not self.started.done():
                self.started.set_exception(error)

    async def _serve(self) -> None:
        node = await start_server(
            self._settings, self._peer_port.listen(), self._log, cut_off=self._cut_off
        )
        server = ConsulServer(node.local, self._http)
        try:
            await server.start(HOST, self._http_port.number)
        except BaseException:
            await node.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._node = node
        ending = self._ending = self._loop.create_future()
        if self._is_clean_end is not None:  # asked for while it started
            ending.set_result(self._is_clean_end)
        self.started.set_result(None)
        await asyncio.wait([ending, node.ended], return_when=asyncio.FIRST_COMPLETED)
        is_clean = ending.done() and ending.result()
        await server.stop(is_clean=is_clean)
        await (node.stop() if is_clean else node.close())
        if node.ended.done():
            why = node.ended.result()
            self.failure = f"{why.code}: {why.reason}" if isinstance(why, Halt) else repr(why)

    # --- from other threads --------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """Whether it is paused."""
        return not self._resumed.is_set()

    def call(self, function: Callable[[NodeServer], T]) -> T:
        """Call a function in the node's thread, and return its result.

        Raises:
            UnavailableError: `stopping`: the node is paused, or has ended.
        """
        node, loop, answer = self._node, self._loop, Future[T]()
        if node is None or loop is None or self.is_paused:
            raise UnavailableError("stopping", f"{self._settings.name} does not run")

        def work() -> None:
            try:
                answer.set_result(function(node))
            except Exception as error:  # noqa: BLE001 - raised again in the calling thread
                answer.set_exception(error)

        try:
            loop.call_soon_threadsafe(work)
            return answer.result(CALL_S)
        except (RuntimeError, TimeoutError) as error:  # its loop is closed, or was just now
            raise UnavailableError("stopping", f"{self._settings.name} has ended") from error

    def cut_off(self, names: frozenset[str]) -> None:
        """Have it receive nothing from the nodes with these names, and all from the others."""
        if self._node is None or self._loop is None:
            return
        if not self.is_paused:
            with contextlib.suppress(UnavailableError):  # it has ended: it receives nothing
                self.call(lambda node: node.cut_off(names))
            return
        self._cut_when_resumed = names

    def pause(self) -> None:
        """Suspend it, as SIGSTOP does with a process; returns when it is suspended."""
        if self._loop is None or self.is_paused:
            return
        paused = threading.Event()

        def pause() -> None:
            paused.set()
            self._resumed.wait()
            node, names = self._node, self._cut_when_resumed
            self._cut_when_resumed = None
            if node is not None and names is not None:  # here: the loop may read before it calls
                node.cut_off(names)

        self._resumed.clear()
        try:
            self._loop.call_soon_threadsafe(pause)
        except RuntimeError:  # it has ended
            return
        paused.wait(CALL_S)

    def resume(self) -> None:
        """Resume it."""
        self._resumed.set()

    def end(self, *, is_clean: bool) -> None:
        """Request its end, also while it starts; returns at once, `join` waits for it.

        Args:
            is_clean: It transfers leadership and answers pending requests; else it ends as if its
                process had been killed.
        """
        self._is_clean_end = is_clean
        loop, ending = self._loop, self._ending
        if loop is not None and ending is not None:

            def finish() -> None:
                if not ending.done():
                    ending.set_result(is_clean)

            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(finish)
        self.resume()


class ClusterNode:
    """One node of a cluster, whether it runs or not.

    Args:
        settings: Of the node.
        peer_port: For the other nodes.
        http_port: For clients.
        log: Its logger.

    Attributes:
        name: "n1", "n2", …
        endpoint: Its HTTP address, `host:port`; the same after a restart.
        address: Its address for the other nodes, likewise.
    """

    def __init__(
        self,
        settings: ServerSettings,
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
        """Whether it was started, and has not ended since. True while it is paused, too."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_paused(self) -> bool:
        """Whether it is paused."""
        return self._thread is not None and self._thread.is_alive() and self._thread.is_paused

    @property
    def failure(self) -> str:
        """Why it ended without a request to end; "" if it did not."""
        return "" if self._thread is None else self._thread.failure

    @property
    def status(self) -> Status:
        """Its view of itself and the cluster.

        Raises:
            UnavailableError: `stopping`: it does not run, or is paused.
        """
        if self._thread is None:
            raise UnavailableError("stopping", f"{self.name} does not run")
        return self._thread.call(lambda node: node.local.status())

    def begin(self) -> "Future[None]":
        """Begin to start it, with the data on its disk; the future is done when it listens."""
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
            UnavailableError: `stopping`: it still runs after `STOP_S`.
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
        """Have it receive nothing from the nodes with these names, until called without them."""
        self._cut_off = names
        if self._thread is not None:
            self._thread.cut_off(names)


def made_nodes(
    directories: Sequence[Path],
    ports: Sequence[ReservedPort],
    settings: NodeSettings,
    log: FilteringBoundLogger,
    *,
    is_durable: bool,
) -> tuple[ClusterNode, ...]:
    """The nodes of a cluster; they do not run yet.

    Args:
        directories: The directory of each; its last part is the node's name.
        ports: As many for peers, and then as many for clients.
        settings: The settings of all.
        log: Their logger.
        is_durable: They wait for the disk.
    """
    size = len(directories)
    wal = WalSettings(
        layout=Layout(segment_bytes=SEGMENT_BYTES),
        sync="auto" if is_durable else "none",
        free_bytes_min=FREE_BYTES_MIN,
    )
    nodes: list[ClusterNode] = []
    for directory, peer_port, http_port in zip(
        directories, ports[:size], ports[size:], strict=True
    ):
        server_settings = ServerSettings(
            directory,
            directory.name,
            peer_port.address,
            http=http_port.address,
            join=tuple(port.address for port in ports[:size] if port is not peer_port),
            expect=size if size > 1 else 0,
            is_alone=size == 1,
            node=settings,
            storage=StorageSettings(wal, TABLES_STEP_BYTES),
        )
        nodes.append(
            ClusterNode(server_settings, peer_port, http_port, log.bind(node=directory.name))
        )
    return tuple(nodes)
