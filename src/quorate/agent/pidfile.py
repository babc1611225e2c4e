"""The pid file: which process a supervisor may signal."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path


class PidFileError(Exception):
    """The file cannot be written; the text says why."""


@contextlib.contextmanager
def pid_file(path: Path | None) -> Generator[None]:
    """Have the file while the body runs.

    To be entered when the node has its data directory and its ports: a second node started by
    mistake fails on those, and must leave the file of the first alone. Folders that are missing
    are made.

    Raises:
        PidFileError: It cannot be written.
    """
    if path is None:
        yield
        return
    own = f"{os.getpid()}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(own)
    except OSError as error:
        raise PidFileError(f"cannot write the pid file {path}: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # somebody else tidied up
            if path.read_text() == own:
                path.unlink()
