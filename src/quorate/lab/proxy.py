"""Network partitions between nodes: TCP proxies in front of their peer ports, which can block.

Nodes connect to each other through them, so every connection between two nodes passes one. To cut a
node off holds back all its bytes, on connections that it accepted and that it opened, without
closing them, as a failed switch would. Reconnecting it closes the blocked connections, so that the
nodes open new ones.
"""

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

CHUNK_BYTES = 256 * 1024

Address = tuple[str, int]


class ProxiedNode(NamedTuple):
    """Where one node listens."""

    name: str
    front: Address  # where the others connect to it
    back: Address  # where it really listens


class _Relayed(NamedTuple):
    """One connection: the nodes that it joins, and both ends of it."""

    nodes: frozenset[str]
    ends: list[asyncio.StreamWriter]


class Partitions:
    """The proxies of all nodes.

    `opener_of` names the node that opened a connection, by its address; "" if none did.
    """

    def __init__(self, nodes: Sequence[ProxiedNode], opener_of: Callable[[Address], str]) -> None:
        self._nodes = nodes
        self._opener_of = opener_of
        self._connected = {node.name: asyncio.Event() for node in nodes}
        self._servers: list[asyncio.Server] = []
        self._relayed: dict[asyncio.Task[Any] | None, _Relayed] = {}

    async def start(self) -> None:
        """Begin to listen, with all nodes connected."""
        for node in self._nodes:
            self._connected[node.name].set()
            relay = partial(self._relay, node)
            self._servers.append(await asyncio.start_server(relay, *node.front))

    async def stop(self) -> None:
        """End all connections."""
        for server in self._servers:
            server.close()
        tasks = [task for task in self._relayed if task is not None and task.cancel()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut_off(self, name: str) -> None:
        """Let no byte to or from a node through."""
        self._connected[name].clear()

    def reconnect(self, name: str) -> None:
        """Let a node communicate again, over new connections."""
        for nodes, ends in self._relayed.values():
            if name in nodes and len(ends) > 1:
                for end in ends:
                    end.transport.abort()
        self._connected[name].set()

    async def _relay(
        self, node: ProxiedNode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        opener = self._opener_of(writer.get_extra_info("peername"))
        nodes = frozenset({node.name, opener} & self._connected.keys())
        ends = [writer]
        task = asyncio.current_task()
        self._relayed[task] = _Relayed(nodes, ends)
        try:
            await self._passable(nodes)
            back_reader, back_writer = await asyncio.open_connection(*node.back)
            ends.append(back_writer)
            await asyncio.gather(
                self._pump(reader, back_writer, nodes), self._pump(back_reader, writer, nodes)
            )
        except OSError:
            return  # the opener sees what it would see without the proxy
        finally:
            del self._relayed[task]
            for end in ends:
                end.transport.abort()

    async def _passable(self, nodes: frozenset[str]) -> None:
        for name in sorted(nodes):
            await self._connected[name].wait()

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
"""The list of connections is read in pieces; concurrent changes may hide a line of it."""


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
