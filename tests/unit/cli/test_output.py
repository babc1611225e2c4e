"""What commands print, and where."""

import signal

import pytest
import typer

from quorate.base.errors import ConflictError, OutcomeUnknownError, UnavailableError
from quorate.cli import output


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
    with pytest.raises(typer.Exit) as caught:
        output.fail("Error! No", 2)
    printed = capsys.readouterr()
    assert (caught.value.exit_code, printed.out, printed.err) == (2, "", "Error! No\n")


def test_an_unknown_outcome_says_so_before_anything_is_done_again() -> None:
    [advice] = output.advice_on(OutcomeUnknownError("outcome_unknown", "sent, no answer"))
    assert advice == "It may have happened, or may still happen. Look before you do it again."


def test_a_definite_error_names_what_would_help() -> None:
    [advice] = output.advice_on(UnavailableError("no_quorum", "No cluster leader"))
    assert "quorate cluster list" in advice


def test_an_error_that_says_it_all_gets_no_advice() -> None:
    assert output.advice_on(ConflictError("precondition", "cas failed")) == []


def test_progress_is_silent_where_stderr_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with output.progress("importing", 1000) as bar:
        bar.advance()
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def test_a_long_wait_is_told_once_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("quorate.cli.output.PATIENCE_S", 0.01)
    with output.patience("n1:8500"):
        signal.pause()
    assert capsys.readouterr().err == "waiting for n1:8500 to answer; Ctrl-C gives up\n"


def test_a_wait_is_not_told_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with output.patience("n1:8500"):
        assert signal.getsignal(signal.SIGALRM) is before
    assert capsys.readouterr().err == ""
