"""Durations as Consul writes them: decimal numbers with units, such as `1m30s` or `250ms`."""

import re

from quorate.base.errors import RequestError

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def spell(duration_s: float) -> str:
    """Spell a duration, to the millisecond: seconds where they are whole.

    Raises:
        RequestError: `bad_request`: negative, infinite or no number.
    """
    if not 0 <= duration_s < float("inf"):
        raise RequestError("bad_request", f"{duration_s} is no duration in seconds")
    ms = round(duration_s * 1000)
    return f"{ms}ms" if ms % 1000 else f"{ms // 1000}s"


def parse(text: str) -> float:
    """Read a duration in seconds; empty and "0" mean zero.

    Raises:
        RequestError: `bad_request`: no duration.
    """
    if text in {"", "0"}:
        return 0.0
    parts = _PART.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise RequestError("bad_request", f"{text!r} is no duration; write 15s, 250ms or 1m30s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
