"""Durations in texts, as users of Consul know them."""

SECOND_NS = 1_000_000_000
_UNITS_NS = (("ms", 1_000_000), ("µs", 1000), ("ns", 1))


NO_DURATION = "0s"
"""How Go spells 0."""


def go_duration(duration: int) -> str:
    """Nanoseconds as Go spells them: `24h0m0s`, `1.5s`, `250ms`."""
    if duration < 0:
        return "-" + go_duration(-duration)
    if duration == 0:
        return NO_DURATION
    if duration < SECOND_NS:
        for unit, size in _UNITS_NS:
            if duration >= size:
                return _decimal(duration, size) + unit
    minutes, rest = divmod(duration, 60 * SECOND_NS)
    seconds = _decimal(rest, SECOND_NS) + "s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
