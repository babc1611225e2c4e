"""Addresses of targets, connections to them, and why there is none, as Consul says it."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from typing import Protocol, cast

from quorate.base.errors import RequestError
from quorate.net.connector import PLAIN, Connector
from quorate.runtime.addresses import join_address, split_address
from quorate.runtime.probes.found import ProbeError

READ_BYTES = 64 * 1024


class _TargetStream(asyncio.StreamReaderProtocol):
    """A connection: what it reads is in `reader`."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader(READ_BYTES)
        self._dialed: asyncio.Transport | None = None
        super().__init__(self.reader)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        super().connection_made(transport)
        self._dialed = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def write(self, data: bytes) -> None:
        """Send; what the target does not take waits in memory."""
        if self._dialed is not None:
            self._dialed.write(data)

    def abort(self) -> None:
        """End it at once."""
        if self._dialed is not None:
            self._dialed.abort()


class Sender(Protocol):
    """Sends to a target."""

    def write(self, data: bytes) -> None:
        """Send; what the target does not take waits in memory."""
        ...


Streams = tuple[asyncio.StreamReader, Sender]


def address_of(text: str, protocol: str) -> tuple[str, int]:
    """Host and port of a target.

    Raises:
        ProbeError: It has none.
    """
    try:
        return split_address(text)
    except RequestError as error:
        raise ProbeError(f"dial {protocol}: address {text}: {error.text}") from error


def why_not(error: OSError, protocol: str, host: str, port: int) -> str:
    """Why there is no connection."""
    if isinstance(error, socket.gaierror):
        return f"dial {protocol}: lookup {host}: no such host"
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"
    where = f"dial {protocol} {join_address(host, port)}"
    if error.errno == errno.ECONNREFUSED or isinstance(error, ConnectionRefusedError):
        return f"{where}: connect: connection refused"
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{where}: {why}"


@cache
def _context(*, verifies: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def tls(*, verifies: bool, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
    """A context of TLS for a target; certificates are read in a thread, once."""
    if protocols:
        context = await asyncio.to_thread(_context.__wrapped__, verifies=verifies)
        context.set_alpn_protocols(protocols)
        return context
    return await asyncio.to_thread(_context, verifies=verifies)


@asynccontextmanager
async def connected(
    host: str, port: int, context: ssl.SSLContext | None = None, name: str = ""
) -> AsyncGenerator[Streams]:
    """A connection, which ends with the block at once, also if it is cancelled.

    Args:
        host: Of the target.
        port: Likewise.
        context: For TLS; None: none.
        name: The host that its certificate is for; "": `host`.

    Raises:
        ProbeError: There is none.
    """
    try:
        stream = await Connector(client=context).dial(
            _TargetStream, host, port, "" if context is None else name
        )
    except OSError as error:
        raise ProbeError(why_not(error, "tcp", host, port)) from error
    try:
        yield stream.reader, stream
    finally:
        stream.abort()


@asynccontextmanager
async def connected_to_file(path: str) -> AsyncGenerator[Streams]:
    """The same to a Unix socket.

    Raises:
        ProbeError: There is no connection.
    """
    try:
        stream = await PLAIN.dial_unix(_TargetStream, path)
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ProbeError(f"dial unix {path}: connect: {why}") from error
    try:
        yield stream.reader, stream
    finally:
        stream.abort()
