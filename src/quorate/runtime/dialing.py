"""Dialing: keeps a connection to one address as long as one is required.

After a connection broke it dials again at once; at an address without an answer the pauses grow,
and after a refusal they are long: the cause needs an operator.
"""

import asyncio
import os
import socket
from typing import Protocol

from quorate.base.ids import NodeId
from quorate.base.ports import Rng
from quorate.net.connector import Connector
from quorate.runtime.addresses import split_address
from quorate.runtime.link import Link

RETRY_FIRST_S = 0.05
RETRY_MAX_S = 1.0
REFUSED_S = 5.0
"""The pause after this node refused the peer, or the other end did not speak the protocol."""

SECOND_S = 0.2
"""After a link broke, the node with the higher id waits so long for the other one to dial."""

LASTING_S = 2.0
"""A link that lasted less was perhaps refused by the other end: the next pause is longer."""


class DialerOwner(Protocol):
    """The interface of `Transport` to its dialers."""

    def wants(self, address: str, leads_to: NodeId | None) -> bool:
        """Whether a link to this address is missing."""
        ...

    def is_second(self, peer: NodeId | None) -> bool:
        """Whether the other end is to dial first."""
        ...

    def new_link(self, address: str) -> Link:
        """A link for a connection about to be made."""
        ...


class Dialer:
    """Dials one address.

    Args:
        owner: Says whether a link is required.
        address: `host:port`.
        rng: Randomises pauses.
        connector: Makes the connections.

    Attributes:
        wake: To be set when a link broke or requirements changed.
        outcome: The result of the last attempt, for people; "" if none was made.
    """

    def __init__(self, owner: DialerOwner, address: str, rng: Rng, connector: Connector) -> None:
        self._owner = owner
        self._address = address
        self._rng = rng
        self._connector = connector
        self._leads_to: NodeId | None = None
        self._pause_s = 0.0
        self.wake = asyncio.Event()
        self.outcome = ""

    async def run(self) -> None:
        """Dial, for ever."""
        while True:
            if not self._owner.wants(self._address, self._leads_to):
                self.wake.clear()
                await self.wake.wait()
                if self._owner.is_second(self._leads_to):
                    await asyncio.sleep(SECOND_S)
                continue
            await asyncio.sleep(self._pause_s * (0.5 + self._rng.random() / 2))
            if not self._owner.wants(self._address, self._leads_to):
                continue  # the other end was faster
            link = await self._connected()
            if link is not None and link.is_refused:
                self._pause_s = REFUSED_S
            else:
                self._pause_s = min(max(self._pause_s * 2, RETRY_FIRST_S), RETRY_MAX_S)
            if link is not None and link.peer is not None:
                self._leads_to = link.peer.member.id
                await self._watch(link)

    async def _connected(self) -> Link | None:
        """Dial once, and wait until the handshake is over, well or not."""
        host, port = split_address(self._address)
        try:
            async with asyncio.timeout(2 * RETRY_MAX_S):
                link = await self._connector.dial(
                    lambda: self._owner.new_link(self._address), host, port
                )
        except TimeoutError:
            self.outcome = f"no answer within {2 * RETRY_MAX_S:g} s"
            return None
        except OSError as error:  # not reachable: tried again
            self.outcome = _reason(error)
            return None
        await link.judged.wait()
        if link.peer is not None:
            self.outcome = ""
        else:
            self.outcome = link.fault or "the connection was closed during the handshake"
        return link

    async def _watch(self, link: Link) -> None:
        """If the link lasts, the next one may be tried at once; if it is refused, later."""
        if link.is_refused:
            return
        done, _ = await asyncio.wait([link.closed], timeout=LASTING_S)
        if link.is_refused:
            self._pause_s = REFUSED_S
        elif not done:
            self._pause_s = 0.0


def _reason(error: OSError) -> str:
    """Why no connection came to be, without the address, which stands beside it."""
    if isinstance(error, socket.gaierror):
        return "no such host"
    if error.errno is None:  # several addresses of one name, each with its own
        return "connection refused"
    return os.strerror(error.errno).lower()
