"""One client's connection: from bytes to requests, and answers back in the same order.

Knows HTTP/1.1 only. Requests that arrive behind one another are worked on at once: a handler
gets a request, and calls `answer` now or later; answers leave in the order of requests. Every
limit holds while reading. No task, no future and no timer per request: the server's sweep, once
a second, ends what takes too long.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, cast

import httptools

from quorate.gateways.http import refusals
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.heads import Heads
from quorate.gateways.http.request import Header, Request

_DROPPED_BYTES_MAX = 64 * 1024 * 1024
_RESUME_SHARE = 2  # reading goes on when this fraction of the pipeline's limit is left


class Listener(Protocol):
    """What a connection needs of its server."""

    config: HttpConfig
    heads: Heads
    tick: int
    is_stopping: bool

    def admit(self, connection: "Connection", host: str) -> bool:
        """Count it; False if this client has too many."""
        ...

    def forget(self, connection: "Connection", host: str) -> None:
        """It is gone."""
        ...

    def body_bytes_max(self, method: bytes, target: bytes) -> int:
        """The longest body that such a request may have."""
        ...

    def refuse_body(self, request: Request, length: int) -> None:
        """Answer a request whose body is too long, by what is known of its length."""
        ...

    def handle(self, request: Request, /) -> None:
        """Work on a request, and answer it now or later."""
        ...

    def go_on(self, step: Callable[[], None]) -> None:
        """Do what was postponed."""
        ...


class Connection(asyncio.Protocol):
    """See above.

    Attributes:
        due: The server's tick at which it has taken too long; 0: never.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_body_bytes_max",
        "_continue_owed",
        "_has_eof",
        "_head_bytes",
        "_headers",
        "_host",
        "_is_admitted",
        "_is_deaf",
        "_is_full",
        "_is_in_body",
        "_is_paused",
        "_is_receiving",
        "_is_working",
        "_needs_word",
        "_parser",
        "_pending",
        "_postponed",
        "_ready",
        "_server",
        "_target",
        "_transport",
        "_waiting",
        "due",
    )

    def __init__(self, server: Listener) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._pending: deque[Request] = deque()
        self._ready: list[Request] = []
        self._waiting: deque[Request] = deque()  # nobody has begun to work on them
        self._postponed: dict[Request, Callable[[], None]] = {}  # what makes their answers
        self._is_working = False
        self._target = b""
        self._headers: list[Header] = []
        self._body: bytes | list[bytes] = b""
        self._body_bytes = 0
        self._body_bytes_max = 0
        self._head_bytes = 0
        self._host = ""
        self._is_admitted = False
        self._is_receiving = False
        self._is_in_body = False
        self._is_deaf = False  # nothing more is understood: it closes after its answers
        self._is_full = False  # the client does not take what we write
        self._is_paused = False
        self._has_eof = False
        self._continue_owed = False
        self._needs_word = False
        self.due = 0

    # --- the transport's calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none, but behaves like one
        peer: object = transport.get_extra_info("peername")
        self._host = str(cast(tuple[object, ...], peer)[0]) if isinstance(peer, tuple) else ""
        self._transport = transport
        self._is_admitted = self._server.admit(self, self._host)
        if not self._is_admitted:
            self._is_deaf = True
            transport.write(refusals.CROWDED)
            transport.close()
            return
        self.due = self._server.tick + self._server.config.idle_timeout_s

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._is_deaf:
            self._drop(len(data))
            return
        if self._is_receiving:
            self._parse(data)
        elif (found := self._server.heads.read(data)) is not None:
            self._accept(Request(self, *found, self._server.is_stopping))
        else:
            self._parse(data)
            self._learn(data)
        ready = self._ready
        if ready:
            self._ready = []
            self._waiting.extend(ready)
            self._work()
        if self._is_receiving:
            self._check_head()
        if len(self._pending) > self._server.config.pipeline_max:
            self._pause()

    def _parse(self, data: bytes) -> None:
        if not self._is_in_body:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # we speak nothing else: answered, then closed
            self._is_deaf = True
            if self._pending:
                self._pending[-1].is_last = True
        except httptools.HttpParserError:  # no HTTP: what came before it is answered all the same
            self._refuse(refusals.BAD)

    def _learn(self, data: bytes) -> None:
        """Remember the head of a request that came alone and in one piece."""
        if len(self._ready) == 1 and not self._is_receiving and not self._is_deaf:
            request = self._ready[0]
            self._server.heads.learn(data, request.headers, request.body)

    def _work(self) -> None:
        """Have requests handled, but not more than the limit says, nor than the client takes.

        A few bytes ask for much: else one packet could fill the memory with answers. For the same
        reason a long answer is made only when it is the next to leave.
        """
        if self._is_working:
            return
        self._is_working = True
        pending, waiting, postponed = self._pending, self._waiting, self._postponed
        most = self._server.config.pipeline_max
        while pending and not self._is_full:
            if postponed and pending[0] in postponed:
                self._server.go_on(postponed.pop(pending[0]))
            elif waiting and len(pending) - len(waiting) < most:
                self._server.handle(waiting.popleft())
            else:
                break
        self._is_working = False

    def eof_received(self) -> bool:
        """Called by the loop: the client sends no more; it may still want its answers.

        Whoever waits for a change is taken for gone: nobody would notice that client's end.
        """
        is_waiting = any(request.on_lost is not None for request in self._pending)
        if not self._pending or is_waiting or self._is_deaf:
            return False
        self._has_eof = True
        self.wind_down()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - any end is an end
        """Called by the loop."""
        self._transport = None
        if self._is_admitted:
            self._server.forget(self, self._host)
        pending, self._pending = self._pending, deque()
        self._waiting.clear()
        self._postponed.clear()
        for request in pending:
            request.is_lost = True
            if request.on_lost is not None:
                request.on_lost()

    def pause_writing(self) -> None:
        """Called by the transport: the client takes nothing."""
        self._is_full = True
        if not self._is_deaf:
            self.due = self._server.tick + self._server.config.idle_timeout_s
        self._pause()

    def resume_writing(self) -> None:
        """Called by the transport: it takes some again."""
        self._is_full = False
        if not self._is_deaf:
            self.due = 0 if self._pending else self._server.tick + self._patience_s
        if self._pending and self._pending[0].chunks is not None:
            self._flush()
        self._work()
        self._resume()

    @property
    def _patience_s(self) -> int:
        """For a client from which something is to come."""
        config = self._server.config
        return config.body_timeout_s if self._is_receiving else config.idle_timeout_s

    # --- the parser's calls --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._is_receiving = True
        self.due = self._server.tick + self._server.config.header_timeout_s

    def on_url(self, url: bytes) -> None:
        """Called by the parser, with a piece."""
        self._target = self._target + url if self._target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self._is_deaf:
            return
        length, expects = 0, False
        for name, value in self._headers:
            size = len(name)
            if size == 14 and name.lower() == b"content-length":
                length = int(value)  # the parser has seen that it is a number
            elif size == 17 and name.lower() == b"transfer-encoding":
                length = max(length, 1)
            elif size == 6 and name.lower() == b"expect":
                expects = value.lower() == b"100-continue"
            elif size == 10 and name.lower() == b"connection":
                self._needs_word = self._parser.get_http_version() == "1.0"
        self._is_in_body = True
        if length:
            self._begin_body(length, expects)

    def on_body(self, body: bytes) -> None:
        """Called by the parser, with a piece."""
        if self._is_deaf:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._body_bytes_max:
            self._refuse_body(self._body_bytes)
        elif not self._body:
            self._body = body
        elif isinstance(self._body, list):
            self._body.append(body)
        else:
            self._body = [self._body, body]

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._is_deaf:
            return
        body = self._body
        request = Request(
            self,
            self._parser.get_method(),
            self._target,
            self._headers,
            body if isinstance(body, bytes) else b"".join(body),
            not self._parser.should_keep_alive() or self._server.is_stopping,
        )
        request.needs_word = self._needs_word
        self._accept(request)

    # --- requests ------------------------------------------------------------------------------

    def _accept(self, request: Request) -> None:
        self._pending.append(request)
        self._ready.append(request)
        self._target = self._body = b""
        self._headers = []
        self._body_bytes = self._head_bytes = 0
        self._is_receiving = self._is_in_body = self._continue_owed = self._needs_word = False
        self._is_deaf = request.is_last
        self.due = 0

    def _begin_body(self, length: int, expects: bool) -> None:
        config = self._server.config
        self._body_bytes_max = self._server.body_bytes_max(self._parser.get_method(), self._target)
        if length > self._body_bytes_max:
            self._refuse_body(length)
            return
        patience_s = config.body_timeout_s + length // config.body_bytes_per_s_min
        self.due = self._server.tick + patience_s
        if expects:
            self._continue_owed = bool(self._pending)
            if not self._pending and self._transport is not None:
                self._transport.write(refusals.CONTINUE)

    def _refuse_body(self, length: int) -> None:
        request = Request(
            self, self._parser.get_method(), self._target, self._headers, b"", is_last=True
        )
        self._is_deaf = True
        self._is_receiving = False
        self._pending.append(request)
        self._server.refuse_body(request, length)

    def _refuse(self, answer: bytes) -> None:
        """Nothing that follows can be understood."""
        if self._is_deaf:
            return
        request = Request(self, b"", b"", [], b"", is_last=True)
        self._is_deaf = True
        self._is_receiving = False
        self._pending.append(request)
        request.answer(answer)

    def _check_head(self) -> None:
        if not self._is_in_body and self._head_bytes > self._server.config.header_bytes_max:
            self._refuse(refusals.LONG_HEADERS)

    # --- answers -------------------------------------------------------------------------------

    def wants(self, request: Request) -> bool:
        """See `request.Answerable.wants`."""
        pending = self._pending
        return bool(pending) and pending[0] is request and not self._is_full

    def postpone(self, request: Request, step: Callable[[], None]) -> None:
        """See `request.Answerable.postpone`."""
        self._postponed[request] = step

    def finish(self, request: Request, data: bytes, chunks: Iterator[bytes] | None) -> None:
        """Take the answer to a request; it leaves when those before it have left."""
        pending = self._pending
        if request.data is not None or not pending:
            return
        if request.traffic is not None:
            request.traffic.count(data, request.began_s)
        request.data = data
        request.chunks = chunks
        request.on_lost = None
        if pending[0] is request:
            self._flush()
            if self._waiting or self._postponed:
                self._work()
            if self._is_paused:
                self._resume()

    def _flush(self) -> None:
        transport, pending = self._transport, self._pending
        if transport is None:
            return
        while pending:
            request = pending[0]
            data = request.data
            if data is None:
                return
            if data:
                if request.is_last or request.needs_word or request.method == b"HEAD":
                    data = request.fitted(data)
                transport.write(data)
                request.data = b""
            if request.chunks is not None and not self._drained(request.chunks, transport):
                return
            pending.popleft()
            if request.is_last:
                self._end()
                return
        self._rest()

    def _drained(self, chunks: Iterator[bytes], transport: asyncio.Transport) -> bool:
        while not self._is_full:
            chunk = next(chunks, None)
            if chunk is None:
                return True
            transport.write(chunk)
        return False

    def _rest(self) -> None:
        """Everything is answered; more may come."""
        server = self._server
        if self._continue_owed and self._transport is not None:
            self._continue_owed = False
            self._transport.write(refusals.CONTINUE)
        if not self._is_receiving:
            self.due = server.tick + server.config.idle_timeout_s
            if server.is_stopping:
                self.close()

    def _end(self) -> None:
        """The last answer has left: close once the client could read it."""
        self._is_deaf = True
        self._pending.clear()
        self._waiting.clear()
        transport = self._transport
        if transport is None:
            return
        if transport.can_write_eof() and not self._has_eof:
            self._resume()
            transport.write_eof()
            self.due = self._server.tick + self._server.config.linger_s
            self._body_bytes = 0
        else:
            transport.close()

    def _drop(self, size: int) -> None:
        self._body_bytes += size
        if self._body_bytes > _DROPPED_BYTES_MAX:
            self.abort()

    # --- from the server -----------------------------------------------------------------------

    def wind_down(self) -> None:
        """End it with the answers that will come by themselves; at once if there are none."""
        if not any(request.on_lost is None for request in self._pending):
            self.close()
            return
        self._is_deaf = True
        self._pending[-1].is_last = True

    def expire(self) -> None:
        """It took too long."""
        self.due = 0
        if self._transport is None:
            return
        if self._is_receiving and not self._pending and not self._is_deaf:
            self._transport.write(refusals.SLOW)
        self._is_deaf = True
        if self._is_full:
            self._transport.abort()  # else it would stay until the client takes the rest
        else:
            self._transport.close()

    def close(self) -> None:
        """End it; what was written still leaves."""
        self._is_deaf = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self._is_deaf = True
        if self._transport is not None:
            self._transport.abort()

    # --- flow ----------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        limit = self._server.config.pipeline_max // _RESUME_SHARE
        if self._is_paused and not self._is_full and len(self._pending) <= limit:
            self._is_paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
