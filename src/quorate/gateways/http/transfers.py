"""Transfers: limits the snapshots that are downloaded and uploaded at the same time."""

from quorate.gateways.http.errors import HttpError
from quorate.httpserver.spool import Space, Spool


class Snapshots:
    """The snapshots that one node saves and restores for clients.

    Args:
        space: The directory for their files.
        count_max: The number that may be saved, and the number that may be uploaded.

    Attributes:
        space: See above.
        saving: The number being saved, or being sent to their client.
        count: The number being uploaded.
        is_restoring: One is being restored.
    """

    def __init__(self, space: Space, count_max: int) -> None:
        self.space = space
        self._count_max = count_max
        self.saving = 0
        self.count = 0
        self.is_restoring = False

    def begin_upload(self, length: int) -> Spool:
        """Begin an upload.

        Args:
            length: Its length, as far as known; checked against the free space.

        Raises:
            HttpError: 429: there are too many.
            StorageError: There is no space, or no file descriptor.
        """
        if self.count >= self._count_max:
            raise busy(f"{self.count} snapshots are on their way to this node already")
        self.space.need(length)
        spool = Spool(self.space.file(), self._end_upload)
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
        """It was sent, or the connection has ended."""
        self.saving -= 1

    def begin_restore(self) -> None:
        """Begin to restore one; `end_restore` follows.

        Raises:
            HttpError: 429: another one is being restored.
        """
        if self.is_restoring:
            raise busy("another snapshot is being restored by this node")
        self.is_restoring = True

    def end_restore(self) -> None:
        """It was restored, or refused."""
        self.is_restoring = False

    def _end_upload(self) -> None:
        self.count -= 1


def busy(text: str) -> HttpError:
    """The response to a snapshot beyond the limit."""
    return HttpError(429, f"{text}: try again later", headers=b"Retry-After: 5\r\n")
