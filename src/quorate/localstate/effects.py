"""Effects of the local state: what its caller carries out."""

import msgspec

from quorate.localstate.pending import Key
from quorate.monitoring.definitions import CheckDefinition


class StartProbe(msgspec.Struct, frozen=True):
    """Effect: probe now, and pass the result to `LocalState.probed` with this `run`."""

    definition: CheckDefinition
    run: int
    is_configured: bool = False  # the configuration has it


class StoreFile(msgspec.Struct, frozen=True):
    """Effect: write the file of an entry; None: remove it."""

    key: Key
    data: bytes | None


Effect = StartProbe | StoreFile
