"""Loads that instances report of themselves, kept in the metadata of their registration.

So every client of the cluster sees them, and they go with the instance. A changed load is a change
of the catalog: a write to the log, once for each report.
"""

import math
from collections.abc import Mapping

import msgspec

from quorate.balancing.targets import LoadReport
from quorate.base.errors import RequestError
from quorate.client import arguments

LOAD_META = "quorate-load"
"""The key of the metadata."""

META_CHARACTERS_MAX = 512
"""Of a value, by Consul's rules."""

Load = LoadReport | float
"""A report, or a number: the part of the processors in use, 0 to 1."""

_NOTHING = msgspec.to_builtins(LoadReport())
_decode = msgspec.json.Decoder(LoadReport).decode


def load_report(load: object) -> LoadReport:
    """A load as a report.

    Raises:
        TypeError, RequestError: It is neither a report nor a number, or a number is below 0.
    """
    if not isinstance(load, LoadReport):
        if not isinstance(load, int | float) or isinstance(load, bool):
            raise arguments.wrong_type("load", "a LoadReport or a number", load)
        load = LoadReport(cpu=float(load))
    numbers = [load.cpu, load.memory, load.in_flight, load.latency_s, load.requests_per_s,
               load.errors_per_s, load.utilisation or 0.0, *load.custom.values()]  # fmt: skip
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise RequestError("bad_request", f"a load has numbers from 0 on, not {load}")
    return load


def load_text(load: LoadReport) -> str:
    """A report as a value of metadata.

    Raises:
        RequestError: `too_large`: it has too many terms of its own.
    """
    said = {name: at for name, at in msgspec.to_builtins(load).items() if at != _NOTHING[name]}
    text = msgspec.json.encode(said).decode()
    if len(text) > META_CHARACTERS_MAX:
        raise RequestError("too_large", f"a load has at most {META_CHARACTERS_MAX} characters")
    return text


def load_in(meta: Mapping[str, str]) -> LoadReport | None:
    """The load in the metadata of an instance; None if there is none that can be read."""
    text = meta.get(LOAD_META)
    if text is None:
        return None
    try:
        return load_report(_decode(text))
    except (msgspec.DecodeError, RequestError):  # anybody may write metadata
        return None
