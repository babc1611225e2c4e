"""Skipped tests: counted by reason, and held against the list of those that may be skipped."""

import fnmatch
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

ALLOWED = Path(__file__).parent / "skips.toml"


def allowed() -> dict[str, int]:
    """The reasons that may skip tests, as patterns, and how many tests each may skip."""
    limits: dict[str, int] = tomllib.loads(ALLOWED.read_text())["allowed"]
    return limits


def reason_of(longrepr: object) -> str:
    """Why a report says that its test was skipped: (file, line, "Skipped: why"), or a text."""
    text = str(longrepr)
    if isinstance(longrepr, tuple):
        text = str(cast(tuple[object, ...], longrepr)[-1])
    return text.removeprefix("Skipped: ").strip() or "no reason given"


def counted(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason was given."""
    return dict(Counter(reasons))


def objections(found: Mapping[str, int], limits: Mapping[str, int]) -> list[str]:
    """What of the skipped tests may not be skipped, as sentences.

    A reason counts for the first pattern that it matches; `*` stands for anything.
    """
    used: Counter[str] = Counter()
    unknown: list[str] = []
    for reason, count in sorted(found.items()):
        pattern = next((each for each in limits if fnmatch.fnmatchcase(reason, each)), None)
        if pattern is None:
            unknown.append(f"{count} with the reason {reason!r}")
        else:
            used[pattern] += count
    excess = [
        f"{count} for {pattern!r}, at most {limits[pattern]}"
        for pattern, count in used.items()
        if count > limits[pattern]
    ]
    return unknown + excess
