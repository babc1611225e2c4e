"""Ports of the local state: what the runtime, the simulator or a test fills."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from quorate.base.ports import CurrentView, ReadIndex, Status, Submit, Watch
from quorate.localstate.pending import Key
from quorate.monitoring.definitions import CheckDefinition


class Catalog(Submit, ReadIndex, Watch, Protocol):
    """The node, as far as the local state needs it; `base.ports.Local` fills it."""

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        ...

    def status(self) -> Status:
        """See `base.ports.Admin.status`."""
        ...

    @property
    def tables(self) -> CurrentView:
        """See `base.ports.ReadIndex.tables`."""
        ...


class Timeout(Protocol):
    """A call that is scheduled for later."""

    def cancel(self) -> None:
        """Cancel it."""
        ...


Schedule = Callable[[float, Callable[[], None]], Timeout]
"""Schedules a call after a number of seconds."""


class EntryFiles(Protocol):
    """Where entries are kept over a restart."""

    def write(self, key: Key, data: bytes | None) -> None:
        """Write the file of an entry later, in any order with others; None: remove it."""
        ...

    def sync(self, done: Callable[[], None]) -> None:
        """Call `done` when all that was written so far is on disk, or cannot be: that is logged."""
        ...


class ProbeRefusal(NamedTuple):
    """Why a check is not probed.

    Attributes:
        text: For people.
        is_by_setting: A setting of this agent forbids it; otherwise it is not built.
    """

    text: str
    is_by_setting: bool = False


class Probes(Protocol):
    """What runs probes, some at a time, each with a deadline."""

    def refusal(
        self, definition: CheckDefinition, *, is_configured: bool = False
    ) -> ProbeRefusal | None:
        """Why a check cannot be probed; None: it can.

        Args:
            definition: Of the check.
            is_configured: The configuration of this agent has it.
        """
        ...

    def start(
        self,
        definition: CheckDefinition,
        done: Callable[[str | None, str], None],
        *,
        is_configured: bool = False,
    ) -> None:
        """Probe as soon as there is room; then call `done` with status and output.

        A status None: the probe says nothing about the status.

        Args:
            definition: Of the check.
            done: See above.
            is_configured: See `refusal`.
        """
        ...


Report = Callable[..., None]
"""Logs a warning, as the method of a logger does."""


class NoFiles:
    """Keeps nothing: see `EntryFiles`."""

    def write(self, key: Key, data: bytes | None) -> None:
        """See `EntryFiles.write`."""

    def sync(self, done: Callable[[], None]) -> None:
        """See `EntryFiles.sync`."""
        done()


class NoProbes:
    """Probes nothing: see `Probes`."""

    def refusal(
        self, definition: CheckDefinition, *, is_configured: bool = False
    ) -> ProbeRefusal | None:
        """See `Probes.refusal`."""
        del is_configured
        return ProbeRefusal(f"checks of type {definition.kind} are not built here: use a TTL check")

    def start(
        self,
        definition: CheckDefinition,
        done: Callable[[str | None, str], None],
        *,
        is_configured: bool = False,
    ) -> None:
        """See `Probes.start`."""
