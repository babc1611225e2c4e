"""Connector: makes connections of sockets and addresses. The one place where TLS plugs in.

The HTTP server, the links between nodes and the client all get their transports here, so that one
setting protects each of them and a protocol need not know whether it is protected.
"""

import asyncio
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import TypeVar

HANDSHAKE_S = 10.0
"""A handshake of TLS that takes longer is given up."""

P = TypeVar("P", bound=asyncio.Protocol)


class Connector:
    """Accepts and dials, in the loop that runs.

    Args:
        server: TLS for what is accepted; None: it is not protected.
        client: TLS for what is dialed; None: likewise.
    """

    def __init__(self, server: SSLContext | None = None, client: SSLContext | None = None) -> None:
        self._server = server
        self._client = client

    async def accept(self, new_protocol: Callable[[], P], connected: socket.socket) -> P:
        """Serve one connection that was accepted.

        Args:
            new_protocol: Makes what serves it.
            connected: A non-blocking socket; closed with the connection.

        Raises:
            OSError: The connection has ended, or the handshake failed.
        """
        loop = asyncio.get_running_loop()
        handshake_s = HANDSHAKE_S if self._server is not None else None
        _, protocol = await loop.connect_accepted_socket(
            new_protocol, connected, ssl=self._server, ssl_handshake_timeout=handshake_s
        )
        return protocol

    async def serve(
        self, new_protocol: Callable[[], asyncio.Protocol], listener: socket.socket
    ) -> asyncio.Server:
        """Accept connections on a listening socket, which is closed with the server."""
        loop = asyncio.get_running_loop()
        handshake_s = HANDSHAKE_S if self._server is not None else None
        return await loop.create_server(
            new_protocol, sock=listener, ssl=self._server, ssl_handshake_timeout=handshake_s
        )

    async def dial(self, new_protocol: Callable[[], P], host: str, port: int, name: str = "") -> P:
        """Connect to an address.

        Args:
            new_protocol: Makes what uses the connection.
            host: A name or an address; what its certificate must be for.
            port: Of TCP.
            name: What its certificate must be for instead; "": the host.

        Raises:
            OSError: Nobody is there, or the handshake failed.
        """
        loop = asyncio.get_running_loop()
        handshake_s = HANDSHAKE_S if self._client is not None else None
        _, protocol = await loop.create_connection(
            new_protocol,
            host,
            port,
            ssl=self._client,
            ssl_handshake_timeout=handshake_s,
            server_hostname=name or None,
        )
        return protocol

    async def dial_unix(self, new_protocol: Callable[[], P], path: str) -> P:
        """Connect to a Unix socket, which is never protected: it does not leave the machine.

        Raises:
            OSError: Nobody is there.
        """
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_unix_connection(new_protocol, path)
        return protocol


PLAIN = Connector()
"""Without TLS."""
