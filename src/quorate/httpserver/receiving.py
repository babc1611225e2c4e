"""Receiving: what a client sends becomes requests of its connection, or refusals.

Between the parser and the connection: it asks the application what becomes of a body, gives bodies
to their sinks, and answers what cannot be understood or taken. After a refusal nothing more is
read, for nobody can say where the next request would begin.
"""

from collections.abc import Callable
from typing import Protocol

import httptools

from quorate.httpserver.application import RequestHead
from quorate.httpserver.listener import Listener
from quorate.httpserver.reading import RequestReader
from quorate.httpserver.refusals import BAD, Refusal
from quorate.httpserver.request import Answerable, Request
from quorate.httpserver.sink import BodySink


class Receiving(Answerable, Protocol):
    """A connection, as far as what it receives is concerned."""

    @property
    def is_deaf(self) -> bool:
        """Nothing more is understood."""
        ...

    def on_request(self, request: Request) -> None:
        """A request is whole."""
        ...

    def on_refused(self, request: Request) -> None:
        """A request that cannot be taken is about to be answered, after those before it."""
        ...

    def on_upgrade(self) -> None:
        """The client wants to speak something else: the answer to its request is the last one."""
        ...

    def stop_reading(self) -> None:
        """Understand nothing more."""
        ...

    def wait_for(self, duration_s: int) -> None:
        """The rest of what is coming must be here, or some of it, after this long."""
        ...

    def owe_continue(self) -> None:
        """The client waits to be asked for a body."""
        ...

    def on_sink_changed(self) -> None:
        """The sink of what is coming has taken some of it."""
        ...

    def resume_reading(self) -> None:
        """The sink of a whole request has taken some of it: go on if nothing else is in the way."""
        ...


class Receiver:
    """Fills `reading.RequestReceiver` for one connection.

    Args:
        connection: Whose.
        server: Its server.

    Attributes:
        reader: Reads its requests.
    """

    __slots__ = ("_connection", "_server", "reader")

    def __init__(self, connection: Receiving, server: Listener) -> None:
        self._connection = connection
        self._server = server
        self.reader = RequestReader(self, server.config)

    def feed(self, data: bytes) -> None:
        """Read on."""
        try:
            self.reader.feed(data)
        except httptools.HttpParserUpgrade:  # we speak nothing else: answered, then closed
            self._connection.on_upgrade()
        except httptools.HttpParserError:  # no HTTP: what came before it is answered all the same
            self.refuse(BAD)
        if self.reader.sink is not None:
            self._connection.wait_for(self._server.config.body_timeout_s)

    # --- the reader's calls --------------------------------------------------------------------

    def on_body(self, length: int, expects: bool) -> BodySink | None:
        """See `reading.RequestReceiver`."""
        application, config, reader = self._server.application, self._server.config, self.reader
        head = RequestHead(reader.method, reader.target, reader.headers, length)
        try:
            bytes_max, sink = application.open_body(head)
        except Exception as error:  # noqa: BLE001 - it is answered
            reason = error
            self._refuse(lambda request: application.refuse(request, reason))
            return None
        reader.bound_body(bytes_max)
        if length > bytes_max:
            if sink is not None:
                sink.close()
            self.refuse_body(length)
            return None
        duration_s = config.body_timeout_s
        if sink is not None:
            sink.call_on_change(self._sink_changed)
        else:
            duration_s += length // config.body_bytes_per_s_min
        self._connection.wait_for(duration_s)
        if expects:
            self._connection.owe_continue()
        return sink

    def on_request(self) -> None:
        """See `reading.RequestReceiver`."""
        reader, connection = self.reader, self._connection
        request = Request(
            connection,
            reader.method,
            reader.target,
            reader.headers,
            reader.body,
            reader.is_last or self._server.is_stopping,
            reader.size,
            needs_keep_alive=reader.needs_keep_alive,
        )
        sink = reader.take_sink()
        if sink is not None:
            request.keep(sink)
            sink.call_on_change(connection.resume_reading)
        connection.on_request(request)

    def refuse(self, reason: Refusal) -> None:
        """See `reading.RequestReceiver`: nothing that follows is understood."""
        if not self._connection.is_deaf:
            self._connection.stop_reading()
            request = Request(self._connection, b"", b"", [], b"", is_last=True)
            self._connection.on_refused(request)
            request.answer(self._server.application.refusal(reason))

    def refuse_body(self, length: int) -> None:
        """See `reading.RequestReceiver`."""
        self._refuse(lambda request: self._server.application.refuse_long(request, length))

    def _refuse(self, answer: Callable[[Request], None]) -> None:
        """Answer the request that is being read, and read nothing more."""
        reader, connection = self.reader, self._connection
        request = Request(
            connection, reader.method, reader.target, reader.headers, b"", is_last=True
        )
        connection.stop_reading()
        connection.on_refused(request)
        answer(request)

    def _sink_changed(self) -> None:
        """The sink of the body that is coming has taken some of it, or takes nothing more."""
        sink = self.reader.sink
        if sink is None or self._connection.is_deaf:
            return
        error = sink.error
        if error is not None:
            self._refuse(lambda request: self._server.application.refuse(request, error))
            return
        self._connection.wait_for(self._server.config.body_timeout_s)
        self._connection.on_sink_changed()
