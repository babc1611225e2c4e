"""Nodes in one event loop, that of the test: bodies with real disks and sockets, no gateways.

    async with Cluster(3) as cluster:
        await cluster.leader.kill()
        await cluster.ready()

A test that blocks the loop stops the cluster's clocks. `quorate.testing` is what users get.
"""

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from structlog.typing import FilteringBoundLogger

from quorate.base.config import NodeSettings, local
from quorate.base.errors import NotFoundError, UnavailableError
from quorate.base.ports import Local, Status
from quorate.runtime.addresses import join_address
from quorate.runtime.faultlog import silent_log
from quorate.runtime.server import NodeServer, ServerSettings, start_server
from quorate.runtime.storage import StorageSettings
from quorate.runtime.wal import WalSettings
from quorate.wire.journal import Layout
from tests.limits import HANG_S

HOST = "127.0.0.1"
BACKLOG = 128
SEGMENT_BYTES = 1024 * 1024
TABLES_STEP_BYTES = 4 * 1024 * 1024
FREE_BYTES_MIN = 16 * 1024 * 1024
READY_S = HANG_S
"""A cluster of which a majority runs serves long before this."""

_POLL_S = 0.005


class ClusterNode:
    """One node of the cluster, whether it runs or not.

    Attributes:
        name: "n1", "n2", …
        address: Where its peers reach it; the same over restarts.
    """

    def __init__(self, name: str, settings: ServerSettings, log: FilteringBoundLogger) -> None:
        self.name = name
        self.address = settings.address
        self._settings = settings
        self._log = log
        self._body: NodeServer | None = None

    @property
    def is_running(self) -> bool:
        """It runs, and has not failed."""
        return self._body is not None and not self._body.ended.done()

    @property
    def local(self) -> Local:
        """What gateways ask of a node: submit, read, watch, status, change, metrics.

        Raises:
            UnavailableError: `stopping`: it does not run.
        """
        if self._body is None:
            raise UnavailableError("stopping", f"{self.name} does not run")
        return self._body.local

    @property
    def status(self) -> Status:
        """What it knows of itself and the cluster.

        Raises:
            UnavailableError: `stopping`: it does not run.
        """
        return self.local.status()

    async def start(self) -> None:
        """Start it, on its directory if it ran before.

        Raises:
            StorageError: Its directory cannot be used.
            OSError: Somebody took its port meanwhile.
        """
        if self._body is None:
            host, port = self.address.split(":")
            self._body = await start_server(self._settings, _listener(host, int(port)), self._log)

    async def stop(self) -> None:
        """End it cleanly: leadership is handed over first."""
        body, self._body = self._body, None
        if body is not None:
            await body.stop()

    async def kill(self) -> None:
        """End it as if its process were killed: no peer is notified, nothing is handed over."""
        body, self._body = self._body, None
        if body is not None:
            await body.close()


class Cluster:
    """Some nodes that found a cluster together; an async context manager.

    Args:
        size: How many; 3 bear the loss of one.
        directory: Where they keep everything; None: a folder that is removed in the end.
        settings: The same for all nodes.
        is_durable: False leaves out syncs: faster, and still safe against kills.
        log: Where the nodes tell what happens; None: nowhere.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        directory: Path | None = None,
        settings: NodeSettings | None = None,
        is_durable: bool = True,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self._size = size
        self._directory = directory
        self._settings = settings or local()
        self._is_durable = is_durable
        self._log = log or silent_log()
        self._temporary: Path | None = None
        self.nodes: list[ClusterNode] = []

    async def __aenter__(self) -> "Cluster":
        """Start every node and wait until the cluster serves."""
        if self._directory is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="quorate-cluster-"))
        self.nodes = self._made(self._directory or self._temporary or Path())
        try:
            await asyncio.gather(*(node.start() for node in self.nodes))
            await self.ready()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every node, and remove what they kept in a folder of ours."""
        await self.close()

    async def close(self) -> None:
        """End every node at once."""
        await asyncio.gather(*(node.kill() for node in self.nodes))
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def node(self, name: str) -> ClusterNode:
        """A node by its name.

        Raises:
            NotFoundError: There is none of that name.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise NotFoundError("not_found", f"no node is called {name!r}")

    @property
    def running(self) -> list[ClusterNode]:
        """The nodes that run."""
        return [node for node in self.nodes if node.is_running]

    @property
    def leader(self) -> ClusterNode | None:
        """The running node that leads, if one does."""
        return next((node for node in self.running if node.status.role == "leader"), None)

    async def ready(self, patience_s: float = READY_S) -> None:
        """Wait until every running node knows a leader that serves.

        Raises:
            UnavailableError: `no_quorum`: not within `patience_s`.
        """
        await self.until(lambda: all(node.status.is_serving for node in self.running), patience_s)

    async def until(self, holds: Callable[[], bool], patience_s: float = READY_S) -> None:
        """Wait until something holds of the cluster.

        Raises:
            UnavailableError: `no_quorum`: not within `patience_s`.
        """
        deadline_s = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline_s:
                roles = {node.name: node.status.role for node in self.running}
                raise UnavailableError("no_quorum", f"not within {patience_s:g} s: {roles}")
            await asyncio.sleep(_POLL_S)

    def _made(self, directory: Path) -> list[ClusterNode]:
        addresses = _free_addresses(self._size)
        wal = WalSettings(
            layout=Layout(segment_bytes=SEGMENT_BYTES),
            sync="auto" if self._is_durable else "none",
            free_bytes_min=FREE_BYTES_MIN,
        )
        storage = StorageSettings(wal, TABLES_STEP_BYTES)
        nodes: list[ClusterNode] = []
        for number, address in enumerate(addresses, 1):
            settings = ServerSettings(
                directory / f"n{number}",
                f"n{number}",
                address,
                join=tuple(other for other in addresses if other != address),
                expect=self._size if self._size > 1 else 0,
                is_alone=self._size == 1,
                node=self._settings,
                storage=storage,
            )
            nodes.append(ClusterNode(f"n{number}", settings, self._log.bind(node=f"n{number}")))
        return nodes


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _free_addresses(count: int) -> list[str]:
    """Ports that nobody uses at this moment; held together, so that they differ."""
    held = [_listener(HOST, 0) for _ in range(count)]
    addresses = [join_address(HOST, one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return addresses
