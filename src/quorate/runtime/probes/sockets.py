"""TCP and UDP: somebody listens there."""

import asyncio
import socket

from quorate.monitoring.checks import PASSING
from quorate.monitoring.definitions import CheckDefinition
from quorate.runtime.probes.found import ProbeError, ProbeFinding
from quorate.runtime.probes.targets import address_of, connected, tls, why_not

_DATAGRAM_BYTES = 64 * 1024


async def probe_tcp(definition: CheckDefinition) -> ProbeFinding:
    """Connect."""
    host, port = address_of(definition.tcp, "tcp")
    context = None
    if definition.tcp_use_tls:
        context = await tls(verifies=not definition.tls_skip_verify)
    async with connected(host, port, context, definition.tls_server_name):
        return ProbeFinding(PASSING, f"TCP connect {definition.tcp}: Success")


async def probe_udp(definition: CheckDefinition) -> ProbeFinding:
    """Send an empty datagram, and wait for any; that none comes says nothing about the status."""
    host, port = address_of(definition.udp, "udp")
    loop = asyncio.get_running_loop()
    try:
        places = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = places[0]
        with socket.socket(family, kind, protocol) as target:
            target.setblocking(False)
            target.connect(address)
            target.send(b"")
            await loop.sock_recv(target, _DATAGRAM_BYTES)
    except OSError as error:
        raise ProbeError(why_not(error, "udp", host, port)) from error
    return ProbeFinding(PASSING, f"UDP connect {definition.udp}: Success")
