"""Name resolution within a time limit.

The system's resolver has no time limit and waits for name servers for many seconds, so a name is
looked up in a thread that may go on after the limit. An address needs no look-up and no thread.
"""

import socket
import threading
from typing import Any

Address = tuple[int, Any]
"""Family, and what `socket.connect` takes."""


def addresses_of(host: str, port: int, limit_s: float) -> list[Address]:
    """The addresses of a host, in the order in which they should be tried.

    Raises:
        TimeoutError: No result within the limit.
        OSError: There is no such name, or it cannot be looked up.
    """
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except UnicodeError:
        raise no_host_name() from None
    except socket.gaierror:  # a name, not an address
        pass
    found: list[list[Address] | OSError] = []

    def work() -> None:
        try:
            found.append(_look_up(host, port, 0))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=work, name="quorate-resolve", daemon=True)
    thread.start()
    thread.join(limit_s)
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def no_host_name() -> OSError:
    """The error in place of a UnicodeError: a label of the name is empty or too long."""
    return socket.gaierror(socket.EAI_NONAME, "it is no name of a host")


def _look_up(host: str, port: int, flags: int) -> list[Address]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in rows]
