"""Renewals under a read index, with their shortcut; and commands that come too early."""

from typing import Any

import pytest

from quorate.base.context import PLAIN, RequestContext
from quorate.base.outcomes import Outcome
from quorate.base.results import Renewal
from quorate.base.subjects import exactly
from quorate.kv.commands import KvDelete, KvSet
from quorate.kv.queries import kv_get
from quorate.kv.subjects import of_key
from quorate.machine.queries import Reader
from quorate.serving import renewals
from quorate.serving.attempts import ATTEMPTS_MAX, Attempt
from tests.unit.serving.stage import LOST, Asker, Stage

COMMAND = KvSet(b"lease", b"again")
CONTEXT = RequestContext(trace_id="t1")


class Renewing:
    """One renewal, and its result."""

    def __init__(self, found: Renewal[str] | None) -> None:
        self.stage, self.asker = Stage(), Asker(CONTEXT)
        self.looked: list[int] = []
        self.done: list[tuple[Any, Any]] = []

        def look(_: Reader, log_time_ms: int) -> Renewal[str] | None:
            self.looked.append(log_time_ms)
            return found

        def done(renewal: Renewal[Any] | None, outcome: Outcome | None) -> None:
            self.done.append((renewal, outcome))

        renewals.renew(self.stage.serving, self.asker, look, done)


def test_a_young_row_is_acknowledged_under_a_read_index_alone() -> None:
    found = Renewal("row", None)
    made = Renewing(found)
    assert made.done == []
    made.stage.point(77)
    assert (made.looked, made.done, made.stage.commands) == ([77], [(found, None)], [])


def test_an_old_row_is_renewed_by_an_urgent_command() -> None:
    found = Renewal("row", COMMAND)
    made = Renewing(found)
    made.stage.point()
    ((command, done, is_urgent),) = made.stage.commands
    assert (command, is_urgent, made.done) == (COMMAND, True, [])
    done(Outcome(3, True))
    assert made.done == [(found, Outcome(3, True))]
    assert made.stage.contexts == [CONTEXT, CONTEXT]


def test_what_is_gone_or_goes_meanwhile_is_not_renewed() -> None:
    made = Renewing(None)
    made.stage.point()
    assert made.done == [(None, None)]
    made = Renewing(Renewal("row", COMMAND))
    made.stage.point()
    made.stage.commands[0][1](Outcome(3, False))
    assert made.done == [(None, Outcome(3, False))]


def test_a_node_that_is_cut_off_renews_nothing() -> None:
    made = Renewing(Renewal("row", None))
    made.stage.point(LOST)
    assert (made.looked, made.done, made.asker.errors) == ([], [], [LOST])
    made = Renewing(Renewal("row", COMMAND))
    made.stage.point()
    made.stage.commands[0][1](LOST)
    assert (made.done, made.asker.errors) == ([], [LOST])


# --- attempts -----------------------------------------------------------------------------------

EARLY = Outcome(1, "too early")


def attempted(stage: Stage, asker: Asker) -> list[Outcome]:
    """A command that needs the key `a`; gets its outcome."""
    outcomes: list[Outcome] = []

    def missing(reader: Reader) -> tuple[bytes, ...]:
        is_there = kv_get(reader, b"a").value is not None
        return () if is_there else (exactly(of_key(b"a")),)

    Attempt(
        stage.serving,
        asker,
        COMMAND,
        outcomes.append,
        is_early=lambda outcome: outcome == EARLY,
        missing=missing,
        timeout_s=2.0,
    ).begin()
    return outcomes


def conclude(stage: Stage, outcome: Any) -> None:
    stage.commands.pop(0)[1](outcome)


def test_a_command_that_comes_too_early_waits_for_what_it_needs() -> None:
    stage, asker = Stage(), Asker()
    outcomes = attempted(stage, asker)
    conclude(stage, EARLY)
    assert (outcomes, stage.commands, len(stage.watches)) == ([], [], 1)
    stage.apply(KvSet(b"a", b"1"))
    assert len(stage.commands) == 1
    conclude(stage, Outcome(5, True))
    assert outcomes == [Outcome(5, True)]
    assert (asker.on_lost, [each.is_cancelled for each in stage.alarms]) == (None, [True])


def test_what_came_meanwhile_needs_no_wait() -> None:
    stage = Stage()
    attempted(stage, Asker())
    stage.apply(KvSet(b"a", b"1"))
    conclude(stage, EARLY)
    assert (len(stage.commands), len(stage.watches)) == (1, 0)


def test_the_timeout_ends_with_the_outcome_there_is() -> None:
    stage = Stage()
    outcomes = attempted(stage, Asker())
    conclude(stage, EARLY)
    assert stage.alarms[0].delay_s == 2.0
    stage.now_s += 2.0
    stage.alarms[0].step()
    conclude(stage, EARLY)
    assert outcomes == [EARLY]


def test_nor_is_it_tried_when_nobody_waits_for_the_answer_any_more() -> None:
    stage = Stage()
    outcomes = attempted(stage, Asker(RequestContext(deadline_s=stage.now_s + 0.5)))
    conclude(stage, EARLY)
    assert stage.alarms[0].delay_s == 0.5
    stage.now_s += 0.5
    stage.alarms[0].step()
    conclude(stage, EARLY)
    assert (outcomes, stage.commands) == ([EARLY], [])


@pytest.mark.parametrize("is_there", [True, False])
def test_tries_that_find_what_they_need_and_fail_all_the_same_come_to_an_end(
    is_there: bool,
) -> None:
    stage = Stage()
    if is_there:
        stage.apply(KvSet(b"a", b"1"))
    outcomes = attempted(stage, Asker())
    tries = 0
    while stage.commands:
        tries += 1
        conclude(stage, EARLY)
        if stage.watches:
            stage.apply(KvSet(b"a", b"1"))
            stage.apply(KvDelete(b"a"))
        assert tries <= ATTEMPTS_MAX
    assert (tries, outcomes) == (ATTEMPTS_MAX, [EARLY])
    assert len(stage.watches) == 0
    assert all(each.is_cancelled for each in stage.alarms)


@pytest.mark.parametrize("answer", [LOST, Outcome(2, False)])
def test_anything_else_is_concluded_at_once(answer: Any) -> None:
    stage, asker = Stage(), Asker(PLAIN)
    outcomes = attempted(stage, asker)
    conclude(stage, answer)
    assert (outcomes or asker.errors) == [answer]


def test_who_is_gone_or_may_not_wait_does_not() -> None:
    stage, asker = Stage(), Asker()
    attempted(stage, asker)
    asker.is_lost = True
    conclude(stage, EARLY)
    assert (stage.commands, len(stage.watches)) == ([], 0)
    stage, asker = Stage(), Asker()
    asker.may_wait = False
    attempted(stage, asker)
    conclude(stage, EARLY)
    assert (len(asker.errors), len(stage.watches)) == (1, 0)
