"""Files that appear only when they are complete."""

import errno
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self


class AtomicFile:
    """A file under a temporary name in the directory of its path, renamed by `commit`.

    The temporary name is unique: several may be written for the same path at the same time, and
    the last one that is committed stays.

    Raises:
        OSError: The path is a directory, or no file can be made beside it.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self._path = path
        self._part = path.parent / f".quorate-{secrets.token_hex(8)}.part"
        self._file = self._part.open("xb")
        self._error: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the temporary file if it was not committed."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def rewind(self) -> None:
        """Remove what was written: it came from a try that failed."""
        self._error = None
        self._file.seek(0)
        self._file.truncate()

    def write(self, data: bytes) -> None:
        """Append. An error is raised by `commit`: the parser that calls this would hide it."""
        try:
            if self._error is None:
                self._file.write(data)
        except OSError as error:
            self._error = error

    def commit(self) -> None:
        """Make the file durable and give it its name.

        Raises:
            OSError: It could not be written.
        """
        if self._error is not None:
            raise self._error
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
