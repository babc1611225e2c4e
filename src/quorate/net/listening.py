"""Listening: sockets that are bound, and listen if they are for connections."""

import asyncio
import socket
from typing import Any

BACKLOG = 1024
"""So many connections wait to be accepted; the system may hold fewer."""


async def listeners(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of a host, and do not block.

    Args:
        host: A name or an address.
        port: 0: any that is free; then `host` should have one address.

    Raises:
        OSError: One cannot be used.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            made.append(listener(family, address))
    except BaseException:
        for each in made:
            each.close()
        raise
    return made


def first_listener(host: str, port: int) -> socket.socket:
    """A socket that listens on the first address of a host. Blocks while a name is looked up.

    Raises:
        OSError: It cannot be used.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return listener(family, address, takes_both=True)


def listener(family: int, address: Any, *, takes_both: bool = False) -> socket.socket:
    """A TCP socket that listens on one address, and does not block.

    Args:
        family: `AF_INET` or `AF_INET6`.
        address: As `getaddrinfo` gives it.
        takes_both: "::" takes IPv4, too; else the same port of IPv4 may have a socket of its own.

    Raises:
        OSError: The address cannot be used.
    """
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not takes_both:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def datagram_socket(family: int, address: Any) -> socket.socket:
    """A UDP socket that is bound to one address, and does not block.

    Args:
        family: `AF_INET` or `AF_INET6`; "::" does not take IPv4.
        address: As for `listener`.

    Raises:
        OSError: The address cannot be used.
    """
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made
