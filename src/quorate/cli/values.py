"""Values given on the command line: as they stand, from a file, or from stdin."""

import sys
from pathlib import Path

from quorate.cli.output import fail


def read_value(word: str) -> bytes:
    """Read a value.

    Args:
        word: `@FILE`, `-` for stdin, or the value itself.
    """
    if word == "-":
        return sys.stdin.buffer.read()
    if not word.startswith("@"):
        return word.encode(errors="surrogateescape")
    try:
        return Path(word[1:]).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        fail(f"Error! Failed to read file: open {word[1:]}: {reason}")
