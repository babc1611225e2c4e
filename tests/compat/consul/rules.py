"""What a recorded answer demands of another one: equal, unless a rule says otherwise.

Rules are words behind paths: `json.0.ModifyIndex`: `>{{i}} & int`. `*` is any one part of a path,
`**` any number of them. A rule for the exact path wins over patterns, and those of a case over
those that always hold.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Path = tuple[str, ...]


class Missing:
    """Stands for what is not there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = Missing()

ALWAYS = {
    "header.X-Consul-Index": "index",
    "header.X-Consul-Lastcontact": "int",
    "header.Age": "int",
    "header.Content-Type": "kind",
    "json.**.CreateIndex": "int",
    "json.**.ModifyIndex": "int",
    "json.Index": "int",
    "json.LastContact": "int",
    "json.**.quorate-version": "optional",  # nodes say that version too
}
_LOOSE = frozenset({"subset", "unordered"})
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
_DURATION = r"-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+"


def parts(path: str) -> Path:
    """A path as its parts; a dot behind a backslash belongs to a name."""
    return tuple(part.replace("\0", ".") for part in path.replace("\\.", "\0").split("."))


class Rules:
    """The rules of one step."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = {parts(path): rule for path, rule in own.items()}
        self._always = {parts(path): rule for path, rule in ALWAYS.items()}
        self._used: set[Path] = set()

    def words(self, path: Path) -> list[str]:
        """What is said about a path, as words."""
        for rules in (self._own, self._always):
            if path in rules:
                self._used.add(path)
                return rules[path].split(" & ")
            for pattern, rule in rules.items():
                if "*" in "".join(pattern) and _fits(pattern, path):
                    return rule.split(" & ")
        return []

    def unused(self) -> list[Path]:
        """Paths that a rule names and that nobody has looked at."""
        return [path for path in self._own if path not in self._used and "*" not in "".join(path)]


def _fits(pattern: Path, path: Path) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_fits(pattern[1:], path[skip:]) for skip in range(len(path) + 1))
    return bool(path) and pattern[0] in ("*", path[0]) and _fits(pattern[1:], path[1:])


def obeys(word: str, got: Any, expected: Any) -> bool:
    """Whether a value is as one word says."""
    kind, _, argument = word.partition(":")
    text = got if isinstance(got, str) else json.dumps(got, default=repr)
    if word == "kind":
        return text.partition(";")[0] == str(expected).partition(";")[0]
    if kind in _FORMS:
        return _FORMS[kind](got)
    if kind in _ARGUED:
        return _ARGUED[kind](text, argument)
    if kind == "length":
        return len(got) == int(argument)
    if kind == "oneof":
        return got in json.loads(argument)
    match = re.fullmatch(r"(!=|>=|<=|=|>|<)\s*(.+)", word)
    assert match is not None, f"an unknown rule: {word}"
    return _compares(match[1], text, match[2])


def _compares(sign: str, text: str, bound: str) -> bool:
    if sign in ("=", "!="):
        return (text == bound) is (sign == "=")
    number, limit = float(text), float(bound)
    return {
        ">": number > limit, ">=": number >= limit, "<": number < limit, "<=": number <= limit,
    }[sign]  # fmt: skip


def _is_whole(got: Any) -> bool:
    if isinstance(got, str):
        return got.isdigit()
    return isinstance(got, int) and not isinstance(got, bool)


def _is_base64(got: Any) -> bool:
    return isinstance(got, str) and base64.b64encode(base64.b64decode(got)).decode() == got


def _is_like(pattern: str) -> Callable[[Any], bool]:
    return lambda got: isinstance(got, str) and re.fullmatch(pattern, got) is not None


def _is_number(got: Any) -> bool:
    return isinstance(got, int | float) and not isinstance(got, bool)


_FORMS: dict[str, Callable[[Any], bool]] = {
    "any": lambda got: got is not MISSING,
    "int": _is_whole,
    "index": lambda got: _is_whole(got) and int(got) >= 1,
    "number": _is_number,
    "uuid": _is_like(_UUID),
    "time": _is_like(_TIME),
    "duration": _is_like(_DURATION),
    "base64": _is_base64,
    "string": lambda got: isinstance(got, str),
    "bool": lambda got: isinstance(got, bool),
    "list": lambda got: isinstance(got, list),
    "object": lambda got: isinstance(got, dict),
}
_ARGUED: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, argument: argument in text,
    "starts": lambda text, argument: text.startswith(argument),
    "regex": lambda text, argument: re.search(argument, text, re.DOTALL) is not None,
}


def difference(expected: Any, got: Any, rules: Rules, path: Path = ()) -> str:
    """The first place where a value is not as recorded; "" if there is none."""
    words = rules.words(path)
    where = ".".join(path)
    if "absent" in words:
        return "" if got is MISSING else f"{where}: {got!r} should not be there"
    if "optional" in words:
        words = [word for word in words if word != "optional"]
        if got is MISSING or (not words and expected is MISSING):
            return ""
    for word in words:
        if word not in _LOOSE and (got is MISSING or not obeys(word, got, expected)):
            return f"{where}: {got!r} is not {word}"
    loose = _LOOSE & set(words)
    return "" if words and not loose else _unlike(expected, got, rules, path, loose)


def _unlike(expected: Any, got: Any, rules: Rules, path: Path, loose: frozenset[str]) -> str:
    if isinstance(expected, dict) and isinstance(got, dict):
        return _object_difference(expected, got, rules, path, is_subset="subset" in loose)
    if isinstance(expected, list) and isinstance(got, list):
        if loose:
            return _free_difference(expected, got, rules, path, is_subset="subset" in loose)
        return _list_difference(expected, got, rules, path)
    is_same = expected is got if MISSING in (expected, got) else _is_equal(expected, got)
    return "" if is_same else f"{'.'.join(path)}: {got!r}, not {expected!r}"


def _list_difference(expected: list[Any], got: list[Any], rules: Rules, path: Path) -> str:
    if len(expected) != len(got):
        return f"{'.'.join(path)}: {len(got)} elements, not {len(expected)}: {got!r}"
    found = (
        difference(one, other, rules, (*path, str(place)))
        for place, (one, other) in enumerate(zip(expected, got, strict=True))
    )
    return next(filter(None, found), "")


def _is_equal(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _object_difference(
    expected: dict[str, Any], got: dict[str, Any], rules: Rules, path: Path, *, is_subset: bool
) -> str:
    names = list(expected) if is_subset else list(dict.fromkeys([*expected, *got]))
    found = (
        difference(expected.get(name, MISSING), got.get(name, MISSING), rules, (*path, name))
        for name in names
    )
    return next(filter(None, found), "")


def _free_difference(
    expected: list[Any], got: list[Any], rules: Rules, path: Path, *, is_subset: bool
) -> str:
    """Each expected element is like another one of those there."""
    if not is_subset and len(expected) != len(got):
        return f"{'.'.join(path)}: {len(got)} elements, not {len(expected)}: {got!r}"
    left = list(got)
    for place, one in enumerate(expected):
        alike = (
            n for n, o in enumerate(left) if not difference(one, o, rules, (*path, str(place)))
        )
        number = next(alike, None)
        if number is None:
            return f"{'.'.join(path)}: nothing like {one!r} in {got!r}"
        del left[number]
    return ""
