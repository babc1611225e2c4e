"""What callers write, read as Consul reads it: queries, durations, numbers, paths."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote_plus, unquote_to_bytes

from quorate.gateways.http.errors import HttpError, TextError

SECOND_NS = 1_000_000_000

_UNITS_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": SECOND_NS,
    "m": 60 * SECOND_NS, "h": 3600 * SECOND_NS,
}  # fmt: skip
_PART = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)")
_DURATION_NS_MAX = (1 << 63) - 1
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_QUOTED = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    '"': '\\"', "\\": "\\\\",
}  # fmt: skip


def quoted(text: str) -> str:
    """A text between double quotes, with escapes for what cannot be shown."""
    return '"' + "".join(_shown(char) for char in text) + '"'


def _shown(char: str) -> str:
    if char in _QUOTED:
        return _QUOTED[char]
    if char.isprintable() or char == " ":
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def duration_ns(text: str) -> int:
    """A duration such as `1m30s` in nanoseconds; negative ones too.

    Raises:
        TextError: It is none; the text says why, as clients of Consul know it.
    """
    rest = text
    sign = -1 if rest.startswith("-") else 1
    rest = rest[1:] if rest[:1] in ("-", "+") else rest
    if rest == "0":
        return 0
    if not rest:
        raise TextError(f"time: invalid duration {quoted(text)}")
    total = place = 0
    while place < len(rest):
        match = _PART.match(rest, place)
        if match is None or not (match[1] or match[2]):
            raise TextError(_fault(text, rest[place:]))
        unit_ns = _UNITS_NS[match[3]]
        fraction = match[2] or ""
        total += int(match[1] or "0") * unit_ns
        total += int(fraction or "0") * unit_ns // 10 ** len(fraction)
        place = match.end()
    if total > _DURATION_NS_MAX:
        raise TextError(f"time: invalid duration {quoted(text)}")
    return sign * total


def _fault(text: str, rest: str) -> str:
    match = re.match(r"(\d*)(\.\d*)?([^.\d]*)", rest)
    if match is None or not (match[1] or (match[2] or "").strip(".")):
        return f"time: invalid duration {quoted(text)}"
    if not match[3]:
        return f"time: missing unit in duration {quoted(text)}"
    return f"time: unknown unit {quoted(match[3])} in duration {quoted(text)}"


def go_duration(duration: int) -> str:
    """Nanoseconds as Go spells them: `24h0m0s`, `1.5s`, `250ms`."""
    if duration < 0:
        return "-" + go_duration(-duration)
    if duration == 0:
        return "0s"
    if duration < SECOND_NS:
        for unit in ("ms", "µs", "ns"):
            size = _UNITS_NS[unit]
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


def unsigned(text: str) -> int:
    """An unsigned number of 64 bits.

    Raises:
        TextError: It is none.
    """
    if not (text.isascii() and text.isdigit()):
        raise TextError(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    value = int(text) if len(text.lstrip("0")) <= 20 else 1 << 64
    if value >= 1 << 64:
        raise TextError(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
    return value


_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def boolean(text: str) -> bool | None:
    """A truth value in one of its spellings; None if it is none."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


class Params:
    """The parameters of a query; of a repeated one the first counts. Immutable."""

    __slots__ = ("_all",)

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._all = values

    def __contains__(self, name: object) -> bool:
        """Whether it is there, whatever its value."""
        return name in self._all

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._all)

    def text(self, name: str) -> str:
        """Its value; "" if absent."""
        values = self._all.get(name)
        return values[0] if values else ""

    def all(self, name: str) -> list[str]:
        """All its values."""
        return self._all.get(name, [])

    def encoded(self) -> str:
        """The query written anew, sorted by name."""
        return "&".join(
            f"{quote_plus(name)}={quote_plus(value)}"
            for name in sorted(self._all)
            for value in self._all[name]
        )


NO_PARAMS = Params({})


@lru_cache(maxsize=1024)
def params_of(query: bytes) -> Params:
    """Read a query.

    Raises:
        HttpError: 500: a `%` without two digits behind it, or a semicolon.
    """
    values: dict[str, list[str]] = {}
    for part in query.split(b"&"):
        if not part:
            continue
        if b";" in part:
            raise HttpError(500, "invalid semicolon separator in query")
        name, _, value = part.partition(b"=")
        values.setdefault(_unescaped(name), []).append(_unescaped(value))
    return Params(values)


def _unescaped(data: bytes) -> str:
    if b"%" in data:
        bad = _BAD_ESCAPE.search(data)
        if bad is not None:
            escape = data[bad.start() : bad.start() + 3].decode("utf-8", "replace")
            raise HttpError(500, f"invalid URL escape {quoted(escape)}")
        data = unquote_to_bytes(data.replace(b"+", b" "))
    elif b"+" in data:
        data = data.replace(b"+", b" ")
    return data.decode("utf-8", "surrogateescape")


# --- paths ------------------------------------------------------------------------------------


def cleaned(path: bytes) -> bytes:
    """A rooted path without empty, `.` and `..` segments; a slash at its end stays."""
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    out = b"/" + b"/".join(kept)
    if segments[-1] in (b"", b".", b"..") and out != b"/":
        out += b"/"
    return out


def decoded(path: bytes) -> bytes | None:
    """A path with its escapes undone; None if one is broken."""
    if b"%" not in path:
        return path
    return None if _BAD_ESCAPE.search(path) else unquote_to_bytes(path)
