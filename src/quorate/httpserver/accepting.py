"""Accepting: from a listening socket to connections, never more than there may be.

The loop's own server accepts whatever has queued up, and hangs up without a word when the process
has no file descriptor left. This one accepts a few per pass of the loop, turns away at once what is
too much, and bridges a want of descriptors with one that it holds back: it is closed, the client
that waits is accepted and refused, and it is opened again. So a client learns why, and the queue
does not keep the loop busy.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from functools import partial

from quorate.httpserver.budget import Budget
from quorate.net.connector import Connector

ACCEPTED_PER_PASS = 32
RETRY_S = 0.1
"""After a failure that a refusal does not mend, accepting pauses for this long."""

_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE})
_PASSING = frozenset({errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.EPERM})
"""This one client is gone, or filtered: go on with the next."""


class ConnectionAcceptor:
    """Accepts on one socket.

    Args:
        listener: Listens, and does not block; given away.
        budget: Says how many connections there may be.
        refusal: Makes the answer to one too many.
        new_protocol: Makes the object that serves a connection.
        connector: Makes connections of what is accepted.
    """

    def __init__(
        self,
        listener: socket.socket,
        budget: Budget,
        refusal: Callable[[], bytes],
        new_protocol: Callable[[], asyncio.Protocol],
        connector: Connector,
    ) -> None:
        self.listener = listener
        self._budget = budget
        self._refusal = refusal
        self._new_protocol = new_protocol
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._held = -1
        self._pause: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._hold()
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
        self._let_go()

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
            if self._budget.is_crowded:
                self._budget.note_turned_away()
                _turn_away(connected, self._refusal())
            else:
                self._serve(connected)

    def _serve(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        with contextlib.suppress(OSError):  # no TCP, or gone already
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = self._new_protocol()
        self._budget.coming.add(protocol)
        task: asyncio.Task[object] = self._loop.create_task(
            self._connector.accept(lambda: protocol, connected)
        )
        self._tasks.add(task)
        task.add_done_callback(partial(self._served, protocol))

    def _served(self, protocol: asyncio.Protocol, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self._budget.coming.discard(protocol)
        if not task.cancelled():
            task.exception()  # the client was gone before it was served: nobody's loss

    # --- no descriptors ------------------------------------------------------------------------

    def _failed(self, error: OSError) -> None:
        """The system cannot accept: refuse one client with the descriptor held back, or pause."""
        self._budget.note_accept_failed()
        is_refused = False
        if error.errno in _SHORTAGE and self._held >= 0:
            self._let_go()
            with contextlib.suppress(OSError):  # another took the descriptor, or the client left
                connected, _ = self.listener.accept()
                _turn_away(connected, self._refusal())
                is_refused = True
        self._hold()
        if not is_refused:
            self._loop.remove_reader(self.listener)
            self._pause = self._loop.call_later(RETRY_S, self._resume)

    def _resume(self) -> None:
        self._hold()
        self._loop.add_reader(self.listener, self._accept_some)

    def _hold(self) -> None:
        if self._held < 0:
            with contextlib.suppress(OSError):  # none left: the next failure pauses
                self._held = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _let_go(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


def _turn_away(connected: socket.socket, answer: bytes) -> None:
    """Say why, as far as the client hears it, and hang up."""
    with connected, contextlib.suppress(OSError):
        connected.setblocking(False)
        connected.send(answer)
        connected.shutdown(socket.SHUT_WR)
