"""One client's connection: bytes become requests, and answers are sent in the order of requests.

Speaks HTTP/1.1 only. A handler gets a request and calls `answer` now or later; which pipelined
requests are handled at the same time is decided by `scheduling`. The memory held for the client is
counted (`budget`). There is no task, no future and no timer per request: the server's sweep, once a
second, ends connections that take too long. How bytes become requests: `receiving`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import cast

from quorate.httpserver.budget import FREE_BYTES, REQUEST_BYTES, ConnectionMemory
from quorate.httpserver.listener import Listener
from quorate.httpserver.receiving import Receiver
from quorate.httpserver.refusals import CONTINUE, CROWDED, SLOW, SPENT
from quorate.httpserver.request import PIECE_BYTES, Piece, Request, pieces
from quorate.httpserver.scheduling import RequestScheduler
from quorate.httpserver.writing import ResponseWriter

_DROPPED_BYTES_MAX = 64 * 1024 * 1024
_RESUME_SHARE = 2  # reading goes on when this fraction of the pipeline's limit is left
UNSENT_BYTES_MAX = 16 * 1024
"""With more unsent bytes the client counts as not reading, and the bytes as held for it."""


class Connection(asyncio.Protocol):
    """See above.

    Attributes:
        due: The server's tick at which the connection has timed out; 0: never.
        has_eof: The client has ended its side of the connection.
        host: The address of the client; "" if it has none.
        ignores_input: Nothing more is parsed; the connection closes after its answers.
    """

    __slots__ = (
        "_continue_owed",
        "_dropped_bytes",
        "_holding",
        "_is_full",
        "_is_paused",
        "_pending",
        "_reader",
        "_ready",
        "_receiver",
        "_scheduler",
        "_server",
        "_transport",
        "_unsent_bytes",
        "_writer",
        "due",
        "has_eof",
        "host",
        "ignores_input",
    )

    def __init__(self, server: Listener) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._receiver = Receiver(self, server)
        self._reader = self._receiver.reader
        self._pending: deque[Request] = deque()
        self._ready: list[Request] = []
        self._scheduler = RequestScheduler(server, self._pending)
        self._writer = ResponseWriter(server.slices, self._write, self._on_written)
        self._holding: ConnectionMemory | None = None  # None: not admitted, or lost
        self._unsent_bytes = 0  # held by the transport since the client stopped reading
        self._dropped_bytes = 0
        self.ignores_input = False
        self._is_full = False  # the client does not read what is written
        self._is_paused = self.has_eof = False
        self._continue_owed = False
        self.host = ""
        self.due = 0

    # --- the transport's calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        peer: object = transport.get_extra_info("peername")
        host = str(cast(tuple[object, ...], peer)[0]) if isinstance(peer, tuple) else ""
        self._transport = transport
        self.host = host
        account = self._server.admit(self, host)
        if account is None:
            self.ignores_input = True
            transport.write(self._server.application.refusal(CROWDED))
            transport.close()
            return
        self._holding = ConnectionMemory(account)
        transport.set_write_buffer_limits(UNSENT_BYTES_MAX)
        self.due = self._server.tick + self._server.config.idle_timeout_s

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        reader, holding, server = self._reader, self._holding, self._server
        if self.ignores_input or holding is None:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > _DROPPED_BYTES_MAX:
                self.abort()
            return
        found = None if reader.is_receiving else server.header_cache.read(data)
        if found is not None:
            request = Request(self, *found, server.is_stopping, REQUEST_BYTES + len(data))
            self._accept(request)
            is_within = holding.held_bytes <= holding.allowed_bytes
            if is_within and len(self._pending) == 1 and not self._is_full:
                server.handle(request)  # no request is before it
                return
            self._ready.append(request)
        else:
            self._receiver.feed(data)
            if len(self._ready) == 1 and not reader.is_receiving and not self.ignores_input:
                request = self._ready[0]  # it arrived alone and in one piece
                server.header_cache.learn(data, request.headers, request.body)
        reading_bytes = reader.held_bytes if reader.is_receiving else 0
        if reader.has_begun_header():
            self.due = server.tick + server.config.header_timeout_s
        if holding.held_bytes + reading_bytes > holding.allowed_bytes:
            self._refuse_what_does_not_fit(holding)
        ready = self._ready
        if ready:
            self._ready = []
            self._scheduler.add(ready)
            self._scheduler.go_on()
        if len(self._pending) > server.config.pipeline_max or reader.is_behind:
            self._pause()

    def eof_received(self) -> bool:
        """Called by the loop: the client sends nothing more, but may still read its answers.

        If one of its requests waits for a change, the connection ends: that the client has closed
        it could not be noticed otherwise.
        """
        is_waiting = any(request.on_lost is not None for request in self._pending)
        if not self._pending or is_waiting or self.ignores_input:
            return False
        self.has_eof = True
        self.drain()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - any end is an end
        """Called by the loop."""
        self._transport = None
        holding, self._holding = self._holding, None
        if holding is not None:
            holding.end()
            self._server.forget(self, holding.account)
        pending, self._pending = self._pending, deque()
        self._scheduler.forget()
        self._writer.end()
        self._reader.end()
        del self._receiver  # it refers to this: a reference cycle
        for request in pending:
            request.lose()

    def pause_writing(self) -> None:
        """Called by the transport: the client does not read."""
        self._is_full = self._scheduler.is_full = True
        if self._transport is not None and self._holding is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
            self._holding.hold(self._unsent_bytes)
        if not self.ignores_input:
            self.due = self._server.tick + self._server.config.send_timeout_s
        self._pause()

    def resume_writing(self) -> None:
        """Called by the transport: the client reads again."""
        self._is_full = self._scheduler.is_full = False
        if self._holding is not None:
            self._holding.held_bytes -= self._unsent_bytes
            self._unsent_bytes = 0
        if not self.ignores_input:
            config = self._server.config
            wait_s = config.body_timeout_s if self._reader.is_receiving else config.idle_timeout_s
            self.due = 0 if self._pending else self._server.tick + wait_s
        self._writer.go_on()
        self._scheduler.go_on()
        self.resume_reading()

    # --- the receiver's calls ------------------------------------------------------------------

    def on_request(self, request: Request) -> None:
        """See `receiving.Receiving.on_request`."""
        self._accept(request)
        self._ready.append(request)

    def on_refused(self, request: Request) -> None:
        """See `receiving.Receiving.on_refused`."""
        self._pending.append(request)

    def on_upgrade(self) -> None:
        """See `receiving.Receiving.on_upgrade`."""
        self.stop_reading()
        if self._pending:
            self._pending[-1].is_last = True

    def wait_for(self, duration_s: int) -> None:
        """See `receiving.Receiving.wait_for`."""
        self.due = self._server.tick + duration_s

    def owe_continue(self) -> None:
        """See `receiving.Receiving.owe_continue`."""
        self._continue_owed = bool(self._pending)
        if not self._pending and self._transport is not None:
            self._transport.write(CONTINUE)

    def on_sink_changed(self) -> None:
        """See `receiving.Receiving.on_sink_changed`."""
        if self._holding is not None:
            self._holding.recount(self._reader.held_bytes)
        self.resume_reading()

    def stop_reading(self) -> None:
        """See `receiving.Receiving.stop_reading`."""
        self.ignores_input = True
        self._reader.stop()

    # --- what is held --------------------------------------------------------------------------

    @property
    def is_spent(self) -> bool:
        """See `request.Answerable.is_spent`."""
        return self._holding is not None and self._holding.account.is_spent

    def hold(self, request: Request, size: int) -> bool:
        """See `request.Answerable.hold`."""
        holding = self._holding
        if holding is None:
            return True
        holding.held_bytes += size
        if not holding.fits(self._reader.held_bytes):
            holding.held_bytes -= size
            return False
        request.size += size
        return True

    def _refuse_what_does_not_fit(self, holding: ConnectionMemory) -> None:
        """If too much is held for this client, refuse and release its newest requests.

        If earlier requests still wait for their answers, nothing more is parsed, or refusals would
        accumulate behind them. Bytes are still read: else the end of the connection would not be
        noticed.
        """
        ready, reader = self._ready, self._reader
        count = len(ready)
        while ready and not holding.fits(reader.held_bytes):
            request = ready.pop()
            self._server.note_spent()
            holding.held_bytes += request.drop_content(0)
            request.release()
            request.answer(self._server.application.refusal(SPENT))
        if reader.is_receiving and not holding.fits(reader.held_bytes):
            self._server.note_spent()
            self._receiver.refuse(SPENT)
        elif len(ready) < count and self._pending:
            self._pending[-1].is_last = True
            self.stop_reading()

    # --- requests ------------------------------------------------------------------------------

    def _accept(self, request: Request) -> None:
        self._pending.append(request)
        if self._holding is not None:
            self._holding.held_bytes += request.size
        self._continue_owed = False
        self.due = 0
        if request.is_last:
            self.stop_reading()

    # --- answers -------------------------------------------------------------------------------

    def wants(self, request: Request) -> bool:
        """See `request.Answerable.wants`."""
        return bool(self._pending) and self._pending[0] is request and not self._is_full

    def postpone(self, request: Request, step: Callable[[], None]) -> None:
        """See `request.Answerable.postpone`."""
        self._scheduler.postpone(request, step)

    def on_wait(self) -> None:
        """See `request.Answerable.on_wait`."""
        if self.has_eof:  # the complete end of the client could not be noticed
            self.abort()
        elif self._server.is_stopping:
            self.drain()

    def finish(self, request: Request, data: bytes, chunks: Iterator[Piece] | None) -> None:
        """Take the answer to a request; it is sent when those before it have been sent."""
        pending, transport, holding = self._pending, self._transport, self._holding
        if request.data is not None or not pending or transport is None or holding is None:
            _drop(request)
            return
        if request.traffic is not None:
            request.traffic.count(data, request.began_s)
        request.data = data
        request.on_lost = None
        is_plain = not (request.is_last or request.needs_keep_alive or request.method == b"HEAD")
        if is_plain and len(pending) == 1 and chunks is None and len(data) <= PIECE_BYTES:
            transport.write(data)
            pending.clear()
            holding.held_bytes -= request.size
            if request.owned is not None:
                request.release()
            self._rest()
            if self._is_paused:
                self.resume_reading()
            return
        request.chunks = chunks
        is_next = pending[0] is request
        if not is_next or len(data) > PIECE_BYTES:
            holding.hold(request.drop_content(len(data)))
        if is_next:
            self._flush()
            if self._scheduler:
                self._scheduler.go_on()
            if self._is_paused:
                self.resume_reading()

    def _flush(self) -> None:
        transport, pending, holding = self._transport, self._pending, self._holding
        if transport is None or holding is None:
            return
        while pending:
            request = pending[0]
            data = request.data
            if data is None:
                return
            if data:
                if request.is_last or request.needs_keep_alive or request.method == b"HEAD":
                    data = request.fitted(data)
                if len(data) > PIECE_BYTES:
                    request.chunks = chain(pieces(data), request.chunks or ())
                else:
                    transport.write(data)
                request.data = b""
            if request.chunks is not None:
                self._writer.begin(request.chunks)
                return
            pending.popleft()
            holding.held_bytes -= request.size
            if request.owned is not None:
                request.release()
            if request.is_last:
                self._end()
                holding.recount()
                return
        self._rest()

    def wait_for_memory(self) -> None:
        """See `request.Answerable.wait_for_memory`."""
        self._server.wait_for_memory(self)

    def go_on(self) -> None:
        """See `listener.Served.go_on`."""
        self._writer.go_on()

    def _write(self, piece: Piece) -> bool:
        """Write a piece of the first answer; returns whether the client reads on."""
        if self._transport is not None:
            self._transport.write(piece)
        return self._transport is not None and not self._is_full

    def _on_written(self, is_whole: bool) -> None:
        """The rest of the first answer has been written, or cannot be made."""
        if is_whole:
            self._pending[0].chunks = None
            self._flush()
            self._scheduler.go_on()
            self.resume_reading()
        else:
            self.abort()

    def _rest(self) -> None:
        """All requests are answered; more may arrive."""
        server, holding = self._server, self._holding
        if self._continue_owed and self._transport is not None:
            self._continue_owed = False
            self._transport.write(CONTINUE)
        if holding is not None and holding.allowed_bytes > FREE_BYTES:
            holding.recount(self._reader.held_bytes)
        if not self._reader.is_receiving:
            self.due = server.tick + server.config.idle_timeout_s
            if server.is_stopping:
                self.close()

    def _end(self) -> None:
        """The last answer is written: close once the client could read it."""
        self.stop_reading()
        dropped, self._pending = self._pending, deque()
        self._scheduler.forget()
        for request in dropped:  # those that have begun end their waits
            request.lose()
        transport = self._transport
        if transport is not None and transport.can_write_eof() and not self.has_eof:
            self.resume_reading()
            transport.write_eof()
            self.due = self._server.tick + self._server.config.linger_s
        elif transport is not None:
            transport.close()

    # --- called by the server --------------------------------------------------------------------

    def drain(self) -> None:
        """End it after the answers before the first that waits for a change.

        It ends at once if there are none: what is behind that one cannot be sent before it.
        """
        last: Request | None = None
        for request in self._pending:
            if request.on_lost is not None:
                break
            last = request
        if last is None:
            self.close()
        else:
            self.stop_reading()
            last.is_last = True

    def expire(self) -> None:
        """The connection has timed out."""
        self.due = 0
        if self._transport is None:
            return
        if self._reader.is_receiving and not self._pending and not self.ignores_input:
            self._transport.write(self._server.application.refusal(SLOW))
        self.stop_reading()
        (self._transport.abort if self._is_full else self._transport.close)()

    def close(self) -> None:
        """End it; what was written is still sent."""
        self.stop_reading()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self.stop_reading()
        if self._transport is not None:
            self._transport.abort()

    # --- flow ----------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `receiving.Receiving.resume_reading`."""
        limit = self._server.config.pipeline_max // _RESUME_SHARE
        is_held_up = self._is_full or self._reader.is_behind
        if self._is_paused and not is_held_up and len(self._pending) <= limit:
            self._is_paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()


def _drop(request: Request) -> None:
    """Drop an answer; unless it is the second one, what the request owns is used no more."""
    if request.data is None:
        request.release()
