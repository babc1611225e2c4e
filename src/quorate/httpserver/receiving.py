"""Receiving: bytes from a client become requests of its connection, or refusals.

Between the parser and the connection: asks the application how a body is received, gives bodies to
their sinks, and answers what cannot be parsed or accepted. After a refusal nothing more is parsed,
as it is not known where the next request begins.
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
    """A connection, as its receiver knows it."""

    @property
    def ignores_input(self) -> bool:
        """Whether nothing more is parsed."""
        ...

    def on_request(self, request: Request) -> None:
        """A request is complete."""
        ...

    def on_refused(self, request: Request) -> None:
        """A request is refused; its answer is sent after those before it."""
        ...

    def on_upgrade(self) -> None:
        """The client asks for a tunnel: the answer to its request is the last one."""
        ...

    def stop_reading(self) -> None:
        """Parse nothing more."""
        ...

    def wait_for(self, duration_s: int) -> None:
        """Set the time within which the rest of the request, or some of it, must arrive."""
        ...

    def owe_continue(self) -> None:
        """The client waits for `100 Continue`."""
        ...

    def on_sink_changed(self) -> None:
        """The sink of the request that is being received has taken some of its body."""
        ...

    def resume_reading(self) -> None:
        """The sink of a complete request has taken some of its body: read on if possible."""
        ...


class Receiver:
    """Fills `reading.RequestReceiver` for one connection.

    Args:
        connection: The connection.
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
        """Parse bytes that arrived."""
        try:
            self.reader.feed(data)
        except httptools.HttpParserUpgrade:  # what follows is no HTTP: answered, then closed
            self._connection.on_upgrade()
        except httptools.HttpParserError:  # not HTTP; requests before it are answered
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
        """See `reading.RequestReceiver`: nothing that follows is parsed."""
        if not self._connection.ignores_input:
            self._connection.stop_reading()
            request = Request(self._connection, b"", b"", [], b"", is_last=True)
            self._connection.on_refused(request)
            request.answer(self._server.application.refusal(reason))

    def refuse_body(self, length: int) -> None:
        """See `reading.RequestReceiver`."""
        self._refuse(lambda request: self._server.application.refuse_long(request, length))

    def _refuse(self, answer: Callable[[Request], None]) -> None:
        """Answer the request that is being received, and parse nothing more."""
        reader, connection = self.reader, self._connection
        request = Request(
            connection, reader.method, reader.target, reader.headers, b"", is_last=True
        )
        connection.stop_reading()
        connection.on_refused(request)
        answer(request)

    def _sink_changed(self) -> None:
        """The sink of the request that is being received has taken some of it, or has failed."""
        sink = self.reader.sink
        if sink is None or self._connection.ignores_input:
            return
        error = sink.error
        if error is not None:
            self._refuse(lambda request: self._server.application.refuse(request, error))
            return
        self._connection.wait_for(self._server.config.body_timeout_s)
        self._connection.on_sink_changed()
