"""HTTP/2: a ping of the connection, and gRPC's health check.

H2P-1: a target that sends more than `READ_BYTES_MAX` before it answers is given up.

Source: RFC 9113, 6.7; https://github.com/grpc/grpc/blob/master/doc/health-checking.md and
    https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from quorate.monitoring.checks import PASSING
from quorate.monitoring.definitions import CheckDefinition
from quorate.runtime.probes.found import ProbeError, ProbeFinding
from quorate.runtime.probes.targets import Streams, address_of, connected, tls

READ_BYTES_MAX = 16 * 1024
"""Frames of 17 bytes cost 0.1 ms each; a health check needs some hundred bytes."""

_PIECE_BYTES = 2048  # that one turn of the loop takes

_PING = b"quorate!"
_STREAM = 1
_SERVING = 1
_CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
    "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
    "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip


class _Http2Exchange:
    """One connection of HTTP/2, as a client."""

    def __init__(self, streams: Streams) -> None:
        self._reader, self._sender = streams
        config = H2Configuration(client_side=True, header_encoding="utf-8")
        self._connection = H2Connection(config)
        self._connection.initiate_connection()

    def ping(self) -> None:
        """Send a ping."""
        self._connection.ping(_PING)

    def request(self, headers: list[tuple[str, str]], content: bytes) -> None:
        """Send a request, and no more after it."""
        self._connection.send_headers(_STREAM, headers)
        self._connection.send_data(_STREAM, content, end_stream=True)

    async def events(self) -> AsyncGenerator[Event]:
        """What the target sends.

        Raises:
            ProbeError: It ends the connection, breaks the protocol, or sends too much.
        """
        total = 0
        while True:
            self._sender.write(self._connection.data_to_send())
            try:
                data = await self._reader.read(_PIECE_BYTES)
                events = self._connection.receive_data(data) if data else []
            except OSError as error:
                raise ProbeError(error.strerror or str(error)) from error
            except (H2Error, ValueError) as error:
                raise ProbeError(f"it speaks no HTTP/2: {error}") from error
            total += len(data)
            if not data:
                raise ProbeError("EOF")
            if total > READ_BYTES_MAX:
                raise ProbeError(f"it sent more than {READ_BYTES_MAX} bytes")
            for event in events:
                if isinstance(event, ConnectionTerminated):
                    raise ProbeError("it ended the connection")
                yield event


@asynccontextmanager
async def _opened(
    host: str, port: int, definition: CheckDefinition, *, uses_tls: bool
) -> AsyncGenerator[_Http2Exchange]:
    context = None
    if uses_tls:
        context = await tls(verifies=not definition.tls_skip_verify, protocols=("h2",))
    async with connected(host, port, context, definition.tls_server_name) as streams:
        yield _Http2Exchange(streams)


async def probe_h2ping(definition: CheckDefinition, _: int) -> ProbeFinding:
    """Connect, and wait for the acknowledgement of a ping."""
    target = definition.h2ping
    try:
        host, port = address_of(target, "tcp")
        async with _opened(host, port, definition, uses_tls=definition.h2ping_use_tls) as exchange:
            exchange.ping()
            async for event in exchange.events():
                if isinstance(event, PingAckReceived) and event.ping_data == _PING:
                    break
    except ProbeError as error:
        raise ProbeError(f"Failed to dial to {target}: {error}") from error.__cause__
    return ProbeFinding(PASSING, "HTTP2 ping was successful")


async def probe_grpc(definition: CheckDefinition, _: int) -> ProbeFinding:
    """Ask the health service of a server for the status of one of its services, or of it."""
    target, service = (*definition.grpc.split("/", 1), "")[:2]
    uses_tls = definition.grpc_use_tls
    answer = _Answer()
    try:
        host, port = address_of(target, "tcp")
        async with _opened(host, port, definition, uses_tls=uses_tls) as exchange:
            headers = [
                (":method", "POST"),
                (":scheme", "https" if uses_tls else "http"),
                (":path", "/grpc.health.v1.Health/Check"),
                (":authority", target),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("user-agent", "Consul Health Check"),
            ]
            exchange.request(headers, _framed(_field(service)))
            async for event in exchange.events():
                if answer.take(event):
                    break
    except ProbeError as error:
        text = f'connection error: desc = "transport: Error while dialing: {error}"'
        raise ProbeError(f"rpc error: code = Unavailable desc = {text}") from error.__cause__
    answer.check()
    return ProbeFinding(PASSING, f"gRPC check {definition.grpc}: success")


class _Answer:
    """The response of a call with one message."""

    def __init__(self) -> None:
        self._headers: dict[str, str] = {}
        self._data = b""

    def take(self, event: Event) -> bool:
        """Take an event; True: the response is whole."""
        if isinstance(event, ResponseReceived | TrailersReceived):
            self._headers |= {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, DataReceived):
            self._data += event.data or b""
        elif isinstance(event, StreamReset):
            raise ProbeError("it reset the stream")
        return isinstance(event, StreamEnded)

    def check(self) -> None:
        """Look at the whole response.

        Raises:
            ProbeError: It does not say that the service is healthy.
        """
        status = self._headers.get("grpc-status", "")
        if status != "0":
            number = int(status) if status.isascii() and status.isdigit() else 2
            code = _CODES[number] if number < len(_CODES) else f"Code({number})"
            why = unquote(self._headers.get("grpc-message", ""))
            if not status:
                why = f"unexpected HTTP status {self._headers.get(':status', '')}, no grpc-status"
            raise ProbeError(f"rpc error: code = {code} desc = {why}")
        if _first_field(self._data[5:]) != _SERVING or self._data[:1] != b"\0":
            raise ProbeError("gRPC application didn't report service healthy")


def _field(text: str) -> bytes:
    """A message of Protocol Buffers whose first field is a text."""
    data = text.encode()
    return b"\x0a" + _varint(len(data)) + data if data else b""


def _framed(message: bytes) -> bytes:
    """A message of gRPC, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _first_field(message: bytes) -> int:
    """The number in the first field of a message; 0: there is none."""
    if message[:1] != b"\x08":
        return 0
    return next(_varints(message[1:]), 0)


def _varints(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data[:10]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield number
            return
