"""What the journal asks of a disk, as data. `runtime.fileops` and `sim.disk` execute it.

The order of a list is binding: an operation begins when the one before it has succeeded. One
that fails ends the list. Names are plain file names inside the one directory of the log.
"""

from collections.abc import Sequence

import msgspec


class Create(msgspec.Struct, frozen=True, gc=False):
    """Make a file of `size` zero bytes, all of them written, not merely reserved.

    When this returns the content is durable; the name is not, before SyncDirectory. What is
    already there under that name is a leftover and is replaced.
    """

    name: str
    size: int


class Write(msgspec.Struct, frozen=True):
    """Write the buffers one behind the other from `offset` on; never past the end of the file."""

    name: str
    offset: int
    buffers: Sequence[bytes]


class Sync(msgspec.Struct, frozen=True, gc=False):
    """Make all that was written to the file durable. If this fails, the node must end."""

    name: str


class Rename(msgspec.Struct, frozen=True, gc=False):
    """Give a file another name; nothing has that name."""

    old: str
    new: str


class SyncDirectory(msgspec.Struct, frozen=True, gc=False):
    """Make all names durable."""


class Remove(msgspec.Struct, frozen=True, gc=False):
    """Delete a file."""

    name: str


FileOp = Create | Write | Sync | Rename | SyncDirectory | Remove
