"""Wires between nodes, each direction of which can be cut: TCP proxies in front of peer ports.

A cut direction stands still without an end, as a network does that drops everything. Healing ends
the connections that were stalled, so that the nodes connect anew. Which node dials is in the Hello
that each node begins with.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from quorate.base.errors import PeerError
from quorate.lab.launch import NodeProcess
from quorate.runtime.reserved import HOST
from quorate.wire.hello import HelloReader

FRONT = "127.0.0.2"
"""Where the nodes find each other; they listen on 127.0.0.1."""

CHUNK_BYTES = 256 * 1024

Direction = tuple[str, str]
"""Who sends, and who receives."""


class _Flow(NamedTuple):
    """A connection: its dialer, who was dialed, and the writers to both."""

    dialer: str
    dialed: str
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter

    @property
    def directions(self) -> frozenset[Direction]:
        return frozenset({(self.dialer, self.dialed), (self.dialed, self.dialer)})


class Wires:
    """The wires between all nodes.

    Args:
        nodes: Who advertise FRONT and listen on HOST.
    """

    def __init__(self, nodes: Sequence[NodeProcess]) -> None:
        self._nodes = nodes
        self._cut: set[Direction] = set()
        self._healed = asyncio.Event()  # set and replaced at each healing
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows: list[_Flow] = []

    async def start(self) -> None:
        """Begin to listen."""
        for node in self._nodes:
            self._servers.append(await self._listening(node))

    async def stop(self) -> None:
        """End all connections."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, senders: Iterable[NodeProcess], receivers: Iterable[NodeProcess]) -> None:
        """Let no byte through from any of the senders to any of the receivers."""
        listeners = [node.name for node in receivers]
        self._cut |= {(sender.name, name) for sender in senders for name in listeners}

    def part(self, some: Sequence[NodeProcess], others: Sequence[NodeProcess]) -> None:
        """Let no byte through between some and others, either way."""
        self.cut(some, others)
        self.cut(others, some)

    def heal(self) -> None:
        """Let everything through again."""
        for flow in self._flows:
            if flow.directions & self._cut:
                flow.near.transport.abort()
                flow.far.transport.abort()
        self._cut.clear()
        self._healed.set()
        self._healed = asyncio.Event()

    # --- connections --------------------------------------------------------------------------

    async def _listening(self, node: NodeProcess) -> asyncio.Server:
        async def on_dialed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connect(node, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return await asyncio.start_server(on_dialed, FRONT, node.ports.server)

    async def _connect(
        self, node: NodeProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            dialer, begun = await _introduced(reader)
            await self._passable({(dialer, node.name), (node.name, dialer)})
            far_reader, far_writer = await asyncio.open_connection(HOST, node.ports.server)
            far_writer.write(begun)
            flow = _Flow(dialer, node.name, writer, far_writer)
            await self._joined(flow, reader, far_reader)
        except OSError:
            return  # as a dialer would see it without us
        finally:
            writer.transport.abort()

    async def _joined(
        self, flow: _Flow, near: asyncio.StreamReader, far: asyncio.StreamReader
    ) -> None:
        self._flows.append(flow)
        try:
            await asyncio.gather(
                self._pump(near, flow.far, (flow.dialer, flow.dialed)),
                self._pump(far, flow.near, (flow.dialed, flow.dialer)),
            )
        finally:
            self._flows.remove(flow)
            flow.near.transport.abort()
            flow.far.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._passable({direction})
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()

    async def _passable(self, directions: set[Direction]) -> None:
        while directions & self._cut:
            await self._healed.wait()


async def _introduced(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """The name of a node that dialed, and all it has said; no name if it is none."""
    hello = HelloReader()
    begun = b""
    while data := await reader.read(CHUNK_BYTES):
        begun += data
        try:
            found = hello.feed(data)
        except PeerError:
            break
        if found is not None:
            return found[0].member.name, begun
    return "", begun
