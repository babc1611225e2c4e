"""Entries of the local state, and their form in files.

A file is JSON: its kind, a format number and the fields of one entry. It is validated when it is
read, with limits on its length and on the number of files.
"""

from enum import Enum
from math import inf

import msgspec

from quorate.base.durations import go_duration
from quorate.catalog.fields import Check, Service
from quorate.monitoring.checks import STATUSES, CheckState, Rules
from quorate.monitoring.definitions import CheckDefinition

SERVICES_MAX = 20_000
"""Services of one agent; more are refused."""

CHECKS_MAX = 40_000
"""Checks of one agent."""

SERVICE_CHECKS_MAX = 128
"""Checks that come with one registration."""

FILE_BYTES_MAX = 8 * 1024 * 1024
"""The longest file of one entry: a command of the longest kind, with every character escaped."""

FORMAT = 1


class EntryOrigin(Enum):
    """Where an entry comes from."""

    API = "api"
    CONFIG = "config"  # the configuration has it: no file


class LocalService(msgspec.Struct, frozen=True):
    """A service of this agent.

    Attributes:
        service: Its definition, as in the catalog.
        origin: Where it comes from.
        parent: The service whose sidecar it is; "": of none.
        hash: Of its definition.
    """

    service: Service
    origin: EntryOrigin = EntryOrigin.API
    parent: str = ""
    hash: str = ""


class LocalCheck(msgspec.Struct):
    """A check of this agent.

    Attributes:
        definition: As it was given.
        service_name: Of its service; "": it is a check of the node.
        state: Its state.
        origin: Where it comes from.
        run: The number of this definition: results of probes of an older one do not count.
        is_running: A probe of it is under way.
    """

    definition: CheckDefinition
    service_name: str
    state: CheckState
    origin: EntryOrigin = EntryOrigin.API
    run: int = 0
    is_running: bool = False
    is_output_due: bool = False  # an output waits to be sent
    is_removal_due: bool = False  # the heap has its removal
    queued_s: float = inf  # when the heap has it

    @property
    def status(self) -> str:
        """Now."""
        return self.state.status

    @property
    def is_with_service(self) -> bool:
        """It came with the registration of a service."""
        return self.definition.is_embedded


class StoredService(msgspec.Struct, tag="service", frozen=True):
    """The file of a service."""

    service: Service
    parent: str = ""
    format: int = FORMAT


class StoredCheck(msgspec.Struct, tag="check", frozen=True):
    """The file of a check, with its last status and output."""

    definition: CheckDefinition
    status: str
    output: str
    format: int = FORMAT


Stored = StoredService | StoredCheck
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Stored).decode


def encode_entry(stored: Stored) -> bytes:
    """The content of a file."""
    return _encode(stored)


def decode_entry(data: bytes) -> Stored:
    """The entry in a file.

    Raises:
        ValueError: It holds none.
    """
    if len(data) > FILE_BYTES_MAX:
        raise ValueError(f"it is longer than {FILE_BYTES_MAX} bytes")
    try:
        stored: Stored = _decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if stored.format > FORMAT:
        raise ValueError(f"a newer version wrote it: format {stored.format}")
    if isinstance(stored, StoredCheck) and stored.status not in STATUSES:
        raise ValueError(f"{stored.status!r} is no status")
    return stored


def rules_of(definition: CheckDefinition) -> Rules:
    """When a check is due, and when its results count."""
    return Rules(
        definition.ttl_s,
        definition.interval_s,
        definition.success_before_passing,
        definition.failures_before_warning,
        definition.failures_before_critical,
        definition.deregister_after_s,
    )


def catalog_check(check: LocalCheck) -> Check:
    """A check as the catalog gets it."""
    definition = check.definition
    return Check(
        definition.id,
        definition.name,
        check.state.status,
        definition.notes,
        check.state.output,
        definition.service_id,
        definition.kind,
        shown_duration(definition, definition.interval_ns),
        shown_duration(definition, definition.timeout_ns),
    )


def shown_duration(definition: CheckDefinition, duration: int) -> str:
    """A duration of a check as it is shown: those that are not given, as Consul does it."""
    is_shown = not (definition.is_embedded or definition.adopted_type is not None)
    return go_duration(duration) if duration or is_shown else ""
