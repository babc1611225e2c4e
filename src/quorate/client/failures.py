"""Errors of connections: one that could not be made, and one on which no HTTP arrives."""

import errno
import os
import socket

from quorate.client.endpoints import PORT_DEFAULT, Endpoint
from quorate.client.errors import ExchangeError

SERVER_MAGIC = b"QUORATE\n"  # what a node's server port sends first; see wire.hello
SERVER_PORT = b"server port "
"""Precedes the HTTP address in what a node's server port sends to an HTTP client."""

NOTHING_LISTENS = "nothing listens there (connection refused)"
_TLS_TYPES = (b"\x15\x03", b"\x16\x03")  # an alert, a handshake
_OUR_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def connect_failure(endpoint: Endpoint, error: OSError) -> ExchangeError:
    """The error for a connection that could not be made.

    Another try is futile if no reply ever came from this address; a node that has replied before
    may come back.
    """
    number = _errno(error)
    is_ours = number in _OUR_LIMITS
    return ExchangeError(
        f"{endpoint.name}: {_reason(error, number)}",
        is_sent=False,
        is_futile=not (is_ours or endpoint.has_answered),
    )


def foreign_service(endpoint: Endpoint, data: bytes) -> ExchangeError:
    """The error for an address whose service uses another protocol than HTTP.

    Args:
        endpoint: The address.
        data: The first bytes that arrived on a new connection. Such a service cannot have
            understood the request, so the failure is definite.
    """
    if data.startswith(SERVER_PORT):
        http = data[len(SERVER_PORT) :].decode("latin-1")
        where = f"its HTTP API is at {http}" if http else "it has no HTTP port"
        reason = f"this is a node's server port; {where}"
    elif data and (data.startswith(SERVER_MAGIC) or SERVER_MAGIC.startswith(data)):
        reason = f"this is a node's server port; its HTTP port is usually {PORT_DEFAULT}"
    elif data.startswith(_TLS_TYPES):
        reason = "this port uses TLS; Quorate's HTTP API does not have it yet"
    else:
        reason = f"this is no HTTP port: it sends {data!r}"
    return ExchangeError(f"{endpoint.name}: {reason}", is_sent=False, is_futile=True)


def silent_close(endpoint: Endpoint, why: str) -> ExchangeError:
    """The error for a connection that ended before anything was received on it."""
    if endpoint.has_answered:
        return ExchangeError(f"{endpoint.name}: {why}", is_sent=True)
    hint = "without an answer; is this the HTTP port of a node, without TLS?"
    return ExchangeError(f"{endpoint.name}: {why} {hint}", is_sent=True, is_futile=True)


def _errno(error: OSError) -> int:
    """The number of the error; asyncio joins the errors of several addresses into one text."""
    if isinstance(error, socket.gaierror) or error.errno is not None:
        return error.errno or 0
    text = str(error)
    refused = f"[Errno {errno.ECONNREFUSED}]"
    return errno.ECONNREFUSED if refused in text else 0


def _reason(error: OSError, number: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"no address is known for this name ({error.strerror or error})"
    if number == errno.ECONNREFUSED:
        return NOTHING_LISTENS
    if number == errno.ENOENT:
        return "there is no such socket"
    if number:
        return f"no connection ({os.strerror(number).lower()})"
    return f"no connection ({error})"
