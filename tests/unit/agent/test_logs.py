import json
import os
import sys

import pytest

from quorate.agent.logs import LINES_MAX, Logs
from quorate.base.errors import InvariantError, RequestError

SECRET = "the value of a key"


def written(error: BaseException, is_json: bool, capfd: pytest.CaptureFixture[str]) -> str:
    held = SECRET  # a local variable, as a handler has it
    log = Logs("info", is_json=is_json).log
    try:
        raise error
    except BaseException as raised:
        log.error("a bug", exc_info=raised)  # noqa: TRY400 - as the agent does
    assert held
    return capfd.readouterr().err


@pytest.mark.parametrize("is_json", [False, True])
def test_an_error_is_one_line_without_locals_and_without_its_message(
    is_json: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    text = written(ValueError(SECRET), is_json, capfd)
    assert SECRET not in text
    assert text.count("\n") == 1
    assert "ValueError" in text
    assert "test_logs.py" in text
    assert "written" in text


def test_a_broken_invariant_says_which(capfd: pytest.CaptureFixture[str]) -> None:
    line = json.loads(written(InvariantError("two batches for one slot"), True, capfd))
    assert line["why"] == "two batches for one slot"


def test_a_follower_has_a_level_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    logs = Logs("warning", is_json=False)
    woken: list[int] = []
    follower = logs.follow("debug", lambda: woken.append(1), is_json=True)
    logs.log.debug("small", number=1)
    logs.log.warning("large")
    assert [json.loads(line)["event"] for line in follower.take().splitlines()] == [
        "small",
        "large",
    ]
    assert follower.take() == b""
    assert len(woken) == 2
    shown = capfd.readouterr().err
    assert "small" not in shown
    assert "large" in shown
    logs.set_level("debug")
    logs.log.debug("now shown")
    assert "now shown" in capfd.readouterr().err


def test_a_follower_that_does_not_read_holds_so_many_lines_and_learns_of_the_rest() -> None:
    logs = Logs("error", is_json=False)
    follower = logs.follow("INFO", lambda: None, is_json=False)
    for number in range(LINES_MAX + 7):
        logs.log.info("line", number=number)
    lines = follower.take().decode().splitlines()
    assert lines[0] == "==> 7 lines were dropped: they came too quickly"
    assert len(lines) == LINES_MAX + 1
    assert f"number={LINES_MAX + 6}" in lines[-1]


def test_who_follows_no_more_gets_nothing() -> None:
    logs = Logs("error", is_json=False)
    follower = logs.follow("info", lambda: None, is_json=False)
    other = logs.follow("info", lambda: None, is_json=False)
    follower.close()
    logs.log.info("unread")
    assert follower.take() == b""
    logs.close()
    assert other.is_over
    assert b"the node stops" in other.take()


def test_an_unknown_level_cannot_be_followed() -> None:
    with pytest.raises(RequestError, match="Unknown log level: loud"):
        Logs("info", is_json=False).follow("loud", lambda: None, is_json=False)


def test_a_line_that_cannot_be_written_is_dropped_and_the_next_one_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs = Logs("info", is_json=True)
        logs.log.info("first")
        os.close(reader)
        logs.log.info("nobody reads this")
        logs.say("nor this")
        again, other = os.pipe()
        os.dup2(other, stderr.fileno())
        os.close(other)
        logs.log.info("last")
    with os.fdopen(again) as lines:
        assert [json.loads(line)["event"] for line in lines] == ["last"]
