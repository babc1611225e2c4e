"""A network cable for each node, which can be pulled: TCP proxies in front of the peer ports.

Nodes dial each other through them, so that every connection between two nodes passes one. A
pulled cable stops all bytes of its node, on connections it accepted and on those it dialed,
without closing them: as a dead switch would. Plugging it in closes what stood still, so that the
nodes connect anew.
"""

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

CHUNK_BYTES = 256 * 1024

Address = tuple[str, int]


class Socket(NamedTuple):
    """Where one node listens."""

    name: str
    front: Address  # where others dial it
    back: Address  # where it really is


class _Flow(NamedTuple):
    """One connection: whose it is, and both halves of it."""

    nodes: frozenset[str]
    ends: list[asyncio.StreamWriter]


class Cables:
    """The cables of all nodes.

    `dialer_of` names the node that a connection comes from, by its address; "" if it is no node's.
    """

    def __init__(self, sockets: Sequence[Socket], dialer_of: Callable[[Address], str]) -> None:
        self._sockets = sockets
        self._dialer_of = dialer_of
        self._plugged = {each.name: asyncio.Event() for each in sockets}
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows: list[_Flow] = []

    async def start(self) -> None:
        """Plug all in and begin to listen."""
        for each in self._sockets:
            self._plugged[each.name].set()
            self._servers.append(await self._listening(each))

    async def stop(self) -> None:
        """End all connections."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def pull(self, name: str) -> None:
        """Let no byte to or from a node through."""
        self._plugged[name].clear()

    def plug(self, name: str) -> None:
        """Let a node talk again, over new connections."""
        for end in [end for flow in self._flows if name in flow.nodes for end in flow.ends]:
            end.transport.abort()
        self._plugged[name].set()

    async def _listening(self, socket: Socket) -> asyncio.Server:
        async def on_dialed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connect(socket, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return await asyncio.start_server(on_dialed, *socket.front)

    async def _connect(
        self, socket: Socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        dialer = self._dialer_of(writer.get_extra_info("peername"))
        nodes = frozenset({socket.name, dialer} & self._plugged.keys())
        ends = [writer]
        try:
            await self._passable(nodes)
            far_reader, far_writer = await asyncio.open_connection(*socket.back)
            ends.append(far_writer)
            self._flows.append(flow := _Flow(nodes, ends))
            try:
                await asyncio.gather(
                    self._pump(reader, far_writer, nodes), self._pump(far_reader, writer, nodes)
                )
            finally:
                self._flows.remove(flow)
        except OSError:
            return  # as a dialer would see it without us; or one end broke, and the other learns it
        finally:
            for end in ends:
                end.transport.abort()

    async def _passable(self, nodes: frozenset[str]) -> None:
        for name in sorted(nodes):
            await self._plugged[name].wait()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, nodes: frozenset[str]
    ) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._passable(nodes)
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()


READS = 5
"""The list of connections is read in pieces; what comes and goes meanwhile may hide a line."""


def process_with_socket(address: Address, pids: dict[str, int]) -> str:
    """Which of some processes, by name, has this end of a TCP connection over IPv4; "" if none."""
    psutil: Any = importlib.import_module("psutil")  # no types of its own
    for _ in range(READS):
        for name, pid in pids.items():
            with contextlib.suppress(psutil.Error):  # it has ended
                found = psutil.Process(pid).net_connections("tcp4")
                if any(each.laddr == address for each in found):
                    return name
    return ""
