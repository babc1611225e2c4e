"""Transfers: how many snapshots may be on their way in and out at once, and where they are kept."""

from quorate.gateways.http.errors import HttpError
from quorate.httpserver.spool import Space, Spool


class Snapshots:
    """The snapshots that one node is saving and putting back for clients.

    Args:
        space: Where their files go.
        count_max: So many may be saved, and as many be on their way in.

    Attributes:
        space: See above.
        saving: How many are being saved, or wait for their client to take them.
        count: How many are on their way in.
        is_restoring: One is being put back.
    """

    def __init__(self, space: Space, count_max: int) -> None:
        self.space = space
        self._count_max = count_max
        self.saving = 0
        self.count = 0
        self.is_restoring = False

    def coming(self, length: int) -> Spool:
        """Begin to take one in.

        Args:
            length: What is known of its length, for the space.

        Raises:
            HttpError: 429: there are too many.
            StorageError: There is no space, or no file descriptor.
        """
        if self.count >= self._count_max:
            raise busy(f"{self.count} snapshots are on their way to this node already")
        self.space.need(length)
        spool = Spool(self.space.file(), self._came)
        self.count += 1
        return spool

    def begin_save(self) -> None:
        """Begin to save one; `end_save` follows.

        Raises:
            HttpError: 429: there are too many.
        """
        if self.saving >= self._count_max:
            raise busy(f"{self.saving} snapshots are being saved by this node already")
        self.saving += 1

    def end_save(self) -> None:
        """It was taken, or given up."""
        self.saving -= 1

    def begin_restore(self) -> None:
        """Begin to put one back; `end_restore` follows.

        Raises:
            HttpError: 429: another one is under way.
        """
        if self.is_restoring:
            raise busy("another snapshot is being restored by this node")
        self.is_restoring = True

    def end_restore(self) -> None:
        """It was put back, or refused."""
        self.is_restoring = False

    def _came(self) -> None:
        self.count -= 1


def busy(text: str) -> HttpError:
    """The answer to one snapshot too many."""
    return HttpError(429, f"{text}: try again later", headers=b"Retry-After: 5\r\n")
