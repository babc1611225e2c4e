"""What a probe found, and how much of an output is kept."""

from typing import NamedTuple

from quorate.monitoring.checks import CRITICAL, PASSING, WARNING

ERROR_BYTES_MAX = 4096
"""An error may quote what a target sent; this much of its text becomes the output of a check."""


class ProbeFinding(NamedTuple):
    """The result of a probe. A status None says nothing about the status."""

    status: str | None
    output: str


class ProbeError(Exception):
    """The probe failed: its text is the output of a critical check."""


class OutputTail:
    """The end of an output, however long it is.

    Args:
        bytes_max: What is kept.

    Attributes:
        total: Bytes that were added.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Add a piece. Cost: O(piece), amortised."""
        self.total += len(data)
        self._kept += data[-self._bytes_max :]
        if len(self._kept) > 2 * self._bytes_max:
            del self._kept[: -self._bytes_max]

    @property
    def text(self) -> str:
        """What is kept; bytes that are no UTF-8 are replaced."""
        return self._kept[-self._bytes_max :].decode(errors="replace")

    @property
    def captured(self) -> str:
        """The same, and before it how much is missing, if anything is."""
        if self.total <= self._bytes_max:
            return self.text
        return f"Captured {self._bytes_max} of {self.total} bytes\n...\n{self.text}"


def of_exit_code(code: int, output: str) -> ProbeFinding:
    """The result of a program: 0 is passing, 1 is warning, all others are critical."""
    return ProbeFinding({0: PASSING, 1: WARNING}.get(code, CRITICAL), output)
