"""Ports that stay reserved while nodes come and go: for clusters on one machine, and tests."""

import atexit
import socket
from collections import deque

HOST = "127.0.0.1"
BACKLOG = 128
RESERVED_MAX = 64  # ports that `free_ports` reserves; each costs a file descriptor


class ReservedPort:
    """One port, reserved from now until `close`.

    A socket that is bound but does not listen keeps the system from giving the port to anybody
    else, also while no node listens there; with SO_REUSEADDR on both a node may listen beside it,
    in this process or another.

    Args:
        host: An address of this machine.

    Attributes:
        number: Between 1 and 65535.
    """

    def __init__(self, host: str = HOST) -> None:
        self._socket = _reusable()
        self._socket.bind((host, 0))
        self.number = int(self._socket.getsockname()[1])
        self._host = host

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self._host}:{self.number}"

    def listen(self) -> socket.socket:
        """A socket that listens there.

        Raises:
            OSError: Somebody listens there already.
        """
        listener = _reusable()
        try:
            listener.bind((self._host, self.number))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def close(self) -> None:
        """Give the port back to the system."""
        self._socket.close()


def _reusable() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


_reserved: deque[ReservedPort] = deque()


@atexit.register
def _close_reserved() -> None:
    for port in _reserved:
        port.close()


def free_ports(count: int) -> list[int]:
    """Find ports that are free, and keep other processes from being assigned them.

    The newest `RESERVED_MAX` stay reserved until this process ends: a node may be restarted on its
    port on a machine where many clusters start and stop.
    """
    for _ in range(count):
        if len(_reserved) == RESERVED_MAX:
            _reserved.popleft().close()
        _reserved.append(ReservedPort())
    return [port.number for port in list(_reserved)[-count:]]
