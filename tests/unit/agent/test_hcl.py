"""HCL is read as HashiCorp's own reader reads it, of which the answers were recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from quorate.agent import hcl

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "hcl.json").read_text())[
    "cases"
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_text_gives_what_the_original_reader_gave(number: int) -> None:
    case = CASES[number]
    if "values" in case:
        assert hcl.loads(case["text"]) == case["values"]
    else:
        with pytest.raises(ValueError, match=r"\d"):
            hcl.loads(case["text"])


@pytest.mark.parametrize("text", ["a =", "a = # nothing", "a {", '{"a": 1'])
def test_a_text_that_breaks_off_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        hcl.loads(text)


def test_a_fault_names_its_place() -> None:
    with pytest.raises(ValueError, match=r"At 2:5: expected a value, not 'nonsense'"):
        hcl.loads("a = 1\nb = nonsense\n")
    with pytest.raises(ValueError, match=r"At 3:1: expected '}' for the '{' at 1:3"):
        hcl.loads("a {\n b = 1\n")
    with pytest.raises(ValueError, match=r"At 1:5: the string does not end"):
        hcl.loads('a = "x\n')
