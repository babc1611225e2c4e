"""What nodes do by script is what was reviewed."""

import difflib
import re
from pathlib import Path

import pytest

from tests.golden.script import labels, played, traces

RULES = Path(__file__).parents[2] / "docs/protocol/paxos.md"

OF_A_ROLE = re.compile(
    r"^\| ([A-Z]+-?)(\d+)(?:-[A-Z]*-?(\d+))? \| [^|]* "
    r"\| `(?:paxos/|node/(?:gate|reads|changes)\.py)",
    re.MULTILINE,
)
"""Rules of the roles of Paxos, of replies, of reads and of changes, as `RULES` lists them."""


@pytest.mark.parametrize("trace", traces(), ids=lambda trace: trace.stem)
def test_effects_are_those_that_were_reviewed(trace: Path) -> None:
    kept = trace.read_text()
    diff = difflib.unified_diff(
        kept.splitlines(), played(kept).splitlines(), "reviewed", "now", lineterm="", n=5
    )
    text = "\n".join(diff)
    assert not text, f"{text}\nif this is meant: `make golden`, and review the diff"


def test_each_documented_rule_of_a_role_is_in_a_trace() -> None:
    documented = {
        f"{letter}{number}"
        for letter, first, last in OF_A_ROLE.findall(RULES.read_text())
        for number in range(int(first), int(last or first) + 1)
    }
    assert len(documented) > 40
    shown = set[str]().union(*(labels(trace.read_text()) for trace in traces()))
    assert sorted(documented - shown) == []


def test_a_trace_says_first_what_to_see_in_it() -> None:
    for trace in traces():
        head = trace.read_text().split("\n\n")[0]
        assert head.startswith("# "), trace.name
        assert "Read it for" in head.replace("\n# ", " "), trace.name


def test_what_a_script_caused_before_is_written_anew() -> None:
    script = "replica size=3\nn2: Prepare(2.n2, slot_first=1)\n    to n2: Nack(2.n2)\n"
    lines = played(script).splitlines()
    assert lines[2] == "    persist Promised(2.n2)"
    assert played(played(script)) == played(script)
    assert lines[3].startswith("    to n2: Promise(2.n2, ")


def test_a_line_that_is_no_event_is_refused() -> None:
    with pytest.raises((KeyError, ValueError)):
        played("replica size=3\nsleep 5\n")
    with pytest.raises((KeyError, ValueError)):
        played("replica size=3\nn2: __import__('os')\n")
