"""Failures: what it means, in words, that a connection could not be made or says no HTTP."""

import errno
import os
import socket

from quorate.client.endpoints import PORT_DEFAULT, Endpoint
from quorate.client.errors import ExchangeError

SERVER_MAGIC = b"QUORATE\n"  # what a node's server port says first; see wire.hello
SERVER_PORT = b"server port "
"""Stands before the HTTP address that a node's server port tells a client of HTTP."""

NOTHING_LISTENS = "nothing listens there (connection refused)"
_TLS_TYPES = (b"\x15\x03", b"\x16\x03")  # an alert, a handshake
_OUR_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def connect_failure(endpoint: Endpoint, error: OSError) -> ExchangeError:
    """The error for a connection that could not be made.

    It is futile to try again if nothing has ever answered at this address; a node that has
    answered before may come back.
    """
    number = _errno(error)
    is_ours = number in _OUR_LIMITS
    return ExchangeError(
        f"{endpoint.name}: {_reason(error, number)}",
        is_sent=False,
        is_futile=not (is_ours or endpoint.has_answered),
    )


def foreign_service(endpoint: Endpoint, data: bytes) -> ExchangeError:
    """The error for an address where something else than HTTP is spoken.

    Args:
        endpoint: The address.
        data: What came first on a new connection. What speaks another protocol has not
            understood the request, so that failure is definite.
    """
    if data.startswith(SERVER_PORT):
        http = data[len(SERVER_PORT) :].decode("latin-1")
        where = f"its HTTP API is at {http}" if http else "it has no HTTP port"
        reason = f"this is a node's server port; {where}"
    elif data and (data.startswith(SERVER_MAGIC) or SERVER_MAGIC.startswith(data)):
        reason = f"this is a node's server port; its HTTP port is usually {PORT_DEFAULT}"
    elif data.startswith(_TLS_TYPES):
        reason = "TLS is spoken here; Quorate's HTTP API does not have it yet"
    else:
        reason = f"this is no HTTP port: it says {data!r}"
    return ExchangeError(f"{endpoint.name}: {reason}", is_sent=False, is_futile=True)


def silent_close(endpoint: Endpoint, why: str) -> ExchangeError:
    """The error for a connection that ended before anything came back on it."""
    if endpoint.has_answered:
        return ExchangeError(f"{endpoint.name}: {why}", is_sent=True)
    hint = "without an answer; is this the HTTP port of a node, without TLS?"
    return ExchangeError(f"{endpoint.name}: {why} {hint}", is_sent=True, is_futile=True)


def _errno(error: OSError) -> int:
    """The system's number; that of the parts if asyncio has joined several errors in a text."""
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
