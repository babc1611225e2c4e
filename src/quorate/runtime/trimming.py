"""Trimming: memory that the C library keeps after a flood of requests goes back to the system.

`free` returns only the top of the heap: one small block that is still used keeps all below it.
After requests that held much, a node would keep hundreds of MiB that it does not use. glibc's
`malloc_trim` returns whole free pages wherever they are. It takes some 20 to 90 ms for 200 MiB, and
a thread that allocates waits meanwhile; so it is called only when much has been added since the
last call, and nothing more is being added.
"""

import ctypes
import resource
from collections.abc import Callable
from pathlib import Path

ADDED_BYTES_MIN = 64 * 1024 * 1024
"""Less is not worth a call."""

CHECK_S = 10.0
"""Memory that has not grown for so long is taken as not growing."""

_STATM = Path("/proc/self/statm")


def private_bytes() -> int:
    """The memory of this process that belongs to no file, as far as it is resident; 0: unknown."""
    try:
        fields = _STATM.read_text().split()
    except OSError:  # no Linux
        return 0
    return (int(fields[1]) - int(fields[2])) * resource.getpagesize()


def trim() -> None:
    """Return free pages of the heap to the system, where the C library can."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(ctypes.c_size_t(0))


class HeapTrimmer:
    """Says when a call of `trim` is due.

    Args:
        resident: See `private_bytes`.
    """

    def __init__(self, resident: Callable[[], int] = private_bytes) -> None:
        self._resident = resident
        self._least_bytes = self._before_bytes = resident()
        self._is_trimmed = False

    def is_due(self) -> bool:
        """Whether to trim now; to be asked every `CHECK_S`. Cost: one read in `/proc`."""
        now_bytes, before_bytes = self._resident(), self._before_bytes
        self._before_bytes = now_bytes
        if self._is_trimmed:  # what is left is in use
            self._is_trimmed = False
            self._least_bytes = now_bytes
        self._least_bytes = min(self._least_bytes, now_bytes)
        is_due = now_bytes - self._least_bytes >= ADDED_BYTES_MIN and now_bytes <= before_bytes
        self._is_trimmed = is_due
        return is_due
