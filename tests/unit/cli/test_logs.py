import json

import pytest

from quorate.base.errors import InvariantError
from quorate.cli.logs import agent_log

SECRET = "the value of a key"


def written(error: BaseException, is_json: bool, capsys: pytest.CaptureFixture[str]) -> str:
    held = SECRET  # a local variable, as a handler has it
    log = agent_log("info", is_json=is_json)
    try:
        raise error
    except BaseException as raised:
        log.error("a bug", exc_info=raised)  # noqa: TRY400 - as the agent does
    assert held
    return capsys.readouterr().err


@pytest.mark.parametrize("is_json", [False, True])
def test_an_error_is_one_line_without_locals_and_without_its_message(
    is_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    text = written(ValueError(SECRET), is_json, capsys)
    assert SECRET not in text
    assert text.count("\n") == 1
    assert "ValueError" in text
    assert "test_logs.py" in text
    assert "written" in text


def test_a_broken_invariant_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    line = json.loads(written(InvariantError("two batches for one slot"), True, capsys))
    assert line["why"] == "two batches for one slot"
