"""Ports that stay reserved while nodes come and go: for clusters on one machine, and tests."""

import socket

HOST = "127.0.0.1"
BACKLOG = 128


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
