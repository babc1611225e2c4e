"""Accepting: from a listening socket to connections, never more than there may be.

The server of asyncio accepts all that is queued, and closes connections without an answer when the
process has no file descriptor left. This one accepts a limited number per iteration of the loop and
refuses connections beyond the limit. When descriptors run out it closes one that it keeps in
reserve, accepts and refuses the client that waits, and opens the reserve again. So a client is
given the reason, and a full queue does not keep the loop busy.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from quorate.net.connector import Connector

ACCEPTED_PER_PASS = 32
RETRY_S = 0.1
"""How long accepting pauses after a failure that refusing a client does not resolve."""

_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE})
_PASSING = frozenset({errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.EPERM})
"""The client has closed its connection, or is filtered: go on with the next one."""


class Admission(Protocol):
    """Limits the number of connections.

    Attributes:
        coming: Connections that are being made; they count, too.
    """

    coming: set[Any]

    @property
    def is_crowded(self) -> bool:
        """There are as many as there may be."""
        ...

    def note_turned_away(self) -> None:
        """A connection was refused because there were too many."""
        ...

    def note_accept_failed(self) -> None:
        """The system could not accept one."""
        ...


class ConnectionAcceptor:
    """Accepts on one socket.

    Args:
        listener: A listening, non-blocking socket; closed with this.
        admission: Limits the number of connections.
        refusal: Makes the answer to a connection beyond the limit.
        new_protocol: Makes the object that serves a connection.
        connector: Makes connections from accepted sockets.
    """

    def __init__(
        self,
        listener: socket.socket,
        admission: Admission,
        refusal: Callable[[], bytes],
        new_protocol: Callable[[], asyncio.Protocol],
        connector: Connector,
    ) -> None:
        self.listener = listener
        self._admission = admission
        self._refusal = refusal
        self._new_protocol = new_protocol
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._reserved = -1
        self._pause: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._reserve()
        self._loop.add_reader(listener, self._accept_some)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.listener.getsockname()[1])

    def close(self) -> None:
        """Accept no more."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self.listener)
        if self._pause is not None:
            self._pause.cancel()
        self.listener.close()
        for task in list(self._tasks):
            task.cancel()
        self._release_reserve()

    def _accept_some(self) -> None:
        for _ in range(ACCEPTED_PER_PASS):
            try:
                connected, _ = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _PASSING:
                    continue
                self._failed(error)
                return
            if self._admission.is_crowded:
                self._admission.note_turned_away()
                _refuse(connected, self._refusal())
            else:
                self._serve(connected)

    def _serve(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        with contextlib.suppress(OSError):  # not TCP, or closed already
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = self._new_protocol()
        self._admission.coming.add(protocol)
        task: asyncio.Task[object] = self._loop.create_task(
            self._connector.accept(lambda: protocol, connected)
        )
        self._tasks.add(task)
        task.add_done_callback(partial(self._served, protocol))

    def _served(self, protocol: asyncio.Protocol, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self._admission.coming.discard(protocol)
        if not task.cancelled():
            task.exception()  # retrieved; the client had closed the connection

    # --- no descriptors left ---------------------------------------------------------------------

    def _failed(self, error: OSError) -> None:
        """The system cannot accept: refuse one client with the reserved descriptor, or pause."""
        self._admission.note_accept_failed()
        is_refused = False
        if error.errno in _SHORTAGE and self._reserved >= 0:
            self._release_reserve()
            with contextlib.suppress(OSError):  # the descriptor was taken, or the client has closed
                connected, _ = self.listener.accept()
                _refuse(connected, self._refusal())
                is_refused = True
        self._reserve()
        if not is_refused:
            self._loop.remove_reader(self.listener)
            self._pause = self._loop.call_later(RETRY_S, self._resume)

    def _resume(self) -> None:
        self._reserve()
        self._loop.add_reader(self.listener, self._accept_some)

    def _reserve(self) -> None:
        if self._reserved < 0:
            with contextlib.suppress(OSError):  # none left: the next failure pauses
                self._reserved = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _release_reserve(self) -> None:
        if self._reserved >= 0:
            os.close(self._reserved)
            self._reserved = -1


def _refuse(connected: socket.socket, answer: bytes) -> None:
    """Send the refusal, as far as the socket takes it, and close."""
    with connected, contextlib.suppress(OSError):
        connected.setblocking(False)
        connected.send(answer)
        connected.shutdown(socket.SHUT_WR)
