"""What commands print, and where."""

import threading

import pytest

from quorate.base.errors import ConflictError, OutcomeUnknownError, UnavailableError
from quorate.cli import output
from tests.limits import HANG_S


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [["Node", "Status"], ["n1", "alive"], ["a-long-name", "left"]]
    assert list(output.columns(rows)) == [
        "Node         Status",
        "n1           alive",
        "a-long-name  left",
    ]


def test_a_failure_goes_to_stderr_and_ends_with_its_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        output.fail("Error! No", 2)
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out, printed.err) == (2, "", "Error! No\n")


def test_an_unknown_outcome_says_so_before_anything_is_done_again() -> None:
    [advice] = output.advice_on(OutcomeUnknownError("outcome_unknown", "sent, no answer"))
    assert advice == "It may have happened, or may still happen. Look before you do it again."


def test_a_definite_error_names_what_would_help() -> None:
    [advice] = output.advice_on(UnavailableError("no_quorum", "No cluster leader"))
    assert "quorate cluster list" in advice


@pytest.mark.parametrize(
    ("code", "text"), [("no_quorum", "was not done, and it is safe"), ("read_only", "was not done")]
)
def test_a_definite_refusal_says_that_nothing_happened(code: str, text: str) -> None:
    [advice] = output.advice_on(UnavailableError(code, "refused"))
    assert text in advice


def test_an_error_that_says_it_all_gets_no_advice() -> None:
    assert output.advice_on(ConflictError("precondition", "cas failed")) == []


def test_progress_is_silent_where_stderr_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with output.progress("importing", 1000) as advance:
        advance(1)
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def shown(
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_tty: bool,
    has_progress: bool = False,
) -> str:
    """What is said of a wait that lasts until it was looked into, and a bit longer."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_tty, raising=False)
    monkeypatch.setattr("quorate.cli.output.NOTICE_S", 0.0)
    asked: list[threading.Thread] = []

    def ask() -> str:
        asked.append(threading.current_thread())
        is_asked.set()
        return why

    is_asked = threading.Event()
    with output.waiting("n1:8500", ask, has_progress=has_progress):
        assert is_asked.wait(HANG_S)
        asked[0].join(HANG_S)
    return capsys.readouterr().err


def test_a_long_wait_is_reported_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown("", monkeypatch, capsys, is_tty=True)
    assert text == "waiting for n1:8500 to answer; Ctrl-C gives up\n"


def test_a_command_that_shows_its_progress_reports_a_reason_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown("", monkeypatch, capsys, is_tty=True, has_progress=True) == ""
    said = shown("no quorum", monkeypatch, capsys, is_tty=True, has_progress=True)
    assert said == "waiting: n1:8500 knows no leader: no quorum; Ctrl-C gives up\n"


def test_a_wait_without_a_reason_is_not_reported_to_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown("", monkeypatch, capsys, is_tty=False) == ""


@pytest.mark.parametrize("is_tty", [True, False])
def test_the_reason_of_a_wait_is_reported_everywhere(
    is_tty: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown("waiting for 2 of 3 nodes", monkeypatch, capsys, is_tty=is_tty)
    assert text == ("waiting: n1:8500 knows no leader: waiting for 2 of 3 nodes; Ctrl-C gives up\n")


def test_a_short_wait_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.cli.output.NOTICE_S", HANG_S)
    is_asked = threading.Event()

    def ask() -> str:
        is_asked.set()
        return ""

    with output.waiting("n1:8500", ask):
        pass
    assert not is_asked.is_set()
