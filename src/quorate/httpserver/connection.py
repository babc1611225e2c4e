"""One client's connection: from bytes to requests, and answers back in the same order.

Knows HTTP/1.1 only. Requests that arrive behind one another are worked on at once: a handler
gets a request, and calls `answer` now or later; answers leave in the order of requests. What is
held for the client is counted (`budget`). No task, no future and no timer per request: the server's
sweep, once a second, ends what takes too long. How bytes become requests: `receiving`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import cast

from quorate.httpserver.budget import FREE_BYTES, REQUEST_BYTES, ConnectionMemory
from quorate.httpserver.drawing import Drawer
from quorate.httpserver.listener import Listener
from quorate.httpserver.receiving import Receiver
from quorate.httpserver.refusals import CONTINUE, CROWDED, SLOW, SPENT
from quorate.httpserver.request import PIECE_BYTES, Piece, Request, pieces
from quorate.httpserver.working import Worker

_DROPPED_BYTES_MAX = 64 * 1024 * 1024
_RESUME_SHARE = 2  # reading goes on when this fraction of the pipeline's limit is left
UNSENT_BYTES_MAX = 16 * 1024
"""With more unsent a client is taken for one that does not read; it is counted from there on."""


class Connection(asyncio.Protocol):
    """See above.

    Attributes:
        due: The server's tick at which it has taken too long; 0: never.
        has_eof: The client sends no more.
        is_deaf: Nothing more is understood: it closes after its answers.
    """

    __slots__ = (
        "_continue_owed",
        "_drawer",
        "_dropped_bytes",
        "_holding",
        "_is_full",
        "_is_paused",
        "_pending",
        "_reader",
        "_ready",
        "_receiver",
        "_server",
        "_transport",
        "_unsent_bytes",
        "_worker",
        "due",
        "has_eof",
        "is_deaf",
    )

    def __init__(self, server: Listener) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._receiver = Receiver(self, server)
        self._reader = self._receiver.reader
        self._pending: deque[Request] = deque()
        self._ready: list[Request] = []
        self._worker = Worker(server, self._pending)
        self._drawer = Drawer(server.slices, self._write, self._drawn)
        self._holding: ConnectionMemory | None = None  # None: not admitted, or gone
        self._unsent_bytes = 0  # what the transport held when the client took nothing more
        self._dropped_bytes = 0
        self.is_deaf = False
        self._is_full = False  # the client does not take what we write
        self._is_paused = self.has_eof = False
        self._continue_owed = False
        self.due = 0

    # --- the transport's calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none, but behaves like one
        peer: object = transport.get_extra_info("peername")
        host = str(cast(tuple[object, ...], peer)[0]) if isinstance(peer, tuple) else ""
        self._transport = transport
        account = self._server.admit(self, host)
        if account is None:
            self.is_deaf = True
            transport.write(self._server.application.refusal(CROWDED))
            transport.close()
            return
        self._holding = ConnectionMemory(account)
        transport.set_write_buffer_limits(UNSENT_BYTES_MAX)
        self.due = self._server.tick + self._server.config.idle_timeout_s

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        reader, holding, server = self._reader, self._holding, self._server
        if self.is_deaf or holding is None:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > _DROPPED_BYTES_MAX:
                self.abort()
            return
        found = None if reader.is_receiving else server.heads.read(data)
        if found is not None:
            request = Request(self, *found, server.is_stopping, REQUEST_BYTES + len(data))
            self._accept(request)
            is_within = holding.held_bytes <= holding.allowed_bytes
            if is_within and len(self._pending) == 1 and not self._is_full:
                server.handle(request)  # nothing is before it
                return
            self._ready.append(request)
        else:
            self._receiver.feed(data)
            if len(self._ready) == 1 and not reader.is_receiving and not self.is_deaf:
                request = self._ready[0]  # it came alone and in one piece
                server.heads.learn(data, request.headers, request.body)
        reading_bytes = reader.held_bytes if reader.is_receiving else 0
        if reader.has_begun_header():
            self.due = server.tick + server.config.header_timeout_s
        if holding.held_bytes + reading_bytes > holding.allowed_bytes:
            self._refuse_what_does_not_fit(holding)
        ready = self._ready
        if ready:
            self._ready = []
            self._worker.add(ready)
            self._worker.go_on()
        if len(self._pending) > server.config.pipeline_max or reader.is_behind:
            self._pause()

    def eof_received(self) -> bool:
        """Called by the loop: the client sends no more; it may still want its answers.

        Whoever waits for a change is taken for gone: nobody would notice that client's end.
        """
        is_waiting = any(request.on_lost is not None for request in self._pending)
        if not self._pending or is_waiting or self.is_deaf:
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
        self._worker.forget()
        self._drawer.end()
        self._reader.end()
        del (
            self._receiver
        )  # it and the parts above refer to this: a collector would have to free it
        for request in pending:
            request.lose()

    def pause_writing(self) -> None:
        """Called by the transport: the client takes nothing."""
        self._is_full = self._worker.is_full = True
        if self._transport is not None and self._holding is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
            self._holding.hold(self._unsent_bytes)
        if not self.is_deaf:
            self.due = self._server.tick + self._server.config.send_timeout_s
        self._pause()

    def resume_writing(self) -> None:
        """Called by the transport: it takes some again."""
        self._is_full = self._worker.is_full = False
        if self._holding is not None:
            self._holding.held_bytes -= self._unsent_bytes
            self._unsent_bytes = 0
        if not self.is_deaf:
            config = self._server.config
            wait_s = config.body_timeout_s if self._reader.is_receiving else config.idle_timeout_s
            self.due = 0 if self._pending else self._server.tick + wait_s
        self._drawer.go_on()
        self._worker.go_on()
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
        self.is_deaf = True
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
        """If too much is held for this client, refuse the newest requests, and let them go.

        If earlier ones wait for their answers, nothing more is understood, or refusals would pile
        up behind them. Reading goes on, though: else nobody would notice that the client is gone.
        """
        ready, reader = self._ready, self._reader
        count = len(ready)
        while ready and not holding.fits(reader.held_bytes):
            request = ready.pop()
            self._server.note_spent()
            holding.held_bytes += request.shed(0)
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
        self._worker.postpone(request, step)

    def finish(self, request: Request, data: bytes, chunks: Iterator[Piece] | None) -> None:
        """Take the answer to a request; it leaves when those before it have left."""
        pending, transport, holding = self._pending, self._transport, self._holding
        if request.data is not None or not pending or transport is None or holding is None:
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
            holding.hold(request.shed(len(data)))
        if is_next:
            self._flush()
            if self._worker:
                self._worker.go_on()
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
                self._drawer.draw(request.chunks)
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
        self._drawer.go_on()

    def _write(self, piece: Piece) -> bool:
        """Write some of the first answer; whether the client takes more."""
        if self._transport is not None:
            self._transport.write(piece)
        return self._transport is not None and not self._is_full

    def _drawn(self, is_whole: bool) -> None:
        """The rest of the first answer has left, or broke off."""
        if is_whole:
            self._pending[0].chunks = None
            self._flush()
            self._worker.go_on()
            self.resume_reading()
        else:
            self.abort()

    def _rest(self) -> None:
        """Everything is answered; more may come."""
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
        """The last answer has left: close once the client could read it."""
        self.stop_reading()
        self._pending.clear()
        self._worker.forget()
        transport = self._transport
        if transport is not None and transport.can_write_eof() and not self.has_eof:
            self.resume_reading()
            transport.write_eof()
            self.due = self._server.tick + self._server.config.linger_s
        elif transport is not None:
            transport.close()

    # --- from the server -----------------------------------------------------------------------

    def drain(self) -> None:
        """End it with the answers that will come by themselves; at once if there are none."""
        if any(request.on_lost is None for request in self._pending):
            self.stop_reading()
            self._pending[-1].is_last = True
        else:
            self.close()

    def expire(self) -> None:
        """It took too long."""
        self.due = 0
        if self._transport is None:
            return
        if self._reader.is_receiving and not self._pending and not self.is_deaf:
            self._transport.write(self._server.application.refusal(SLOW))
        self.stop_reading()
        (self._transport.abort if self._is_full else self._transport.close)()

    def close(self) -> None:
        """End it; what was written still leaves."""
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
