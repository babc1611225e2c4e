"""When checks are probed, and what their results change; nothing is really probed here."""

from typing import Any

from quorate.base.context import PLAIN
from quorate.catalog.tables import check_of
from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from quorate.monitoring.definitions import SECOND_NS, CheckDefinition
from tests.unit.localstate.stage import NODE, Stage


def tcp(name: str, seconds: float = 10, **fields: Any) -> CheckDefinition:
    return CheckDefinition(name, name, tcp="a:1", interval_ns=int(seconds * SECOND_NS), **fields)


def add(stage: Stage, *definitions: CheckDefinition) -> None:
    for definition in definitions:
        stage.agent.add_check(PLAIN, definition, lambda _: None)


def status(stage: Stage, check: str) -> str:
    row = check_of(stage.reader().rows, NODE, check)
    assert row is not None
    assert row.status == stage.agent.state.checks[check].status
    return row.status


def ended(stage: Stage, status: str | None, output: str = "") -> None:
    """The oldest probe that is under way ends."""
    _, done = stage.probes.pop(0)
    done(status, output)


def test_a_check_is_critical_until_its_first_probe_and_the_next_follows_its_end() -> None:
    stage = Stage()
    add(stage, tcp("c"))
    assert (status(stage, "c"), stage.probes) == (CRITICAL, [])
    stage.advance(10)
    assert [each.id for each, _ in stage.probes] == ["c"]
    stage.advance(100)
    assert len(stage.probes) == 1  # the first one is still under way
    ended(stage, PASSING, "fine")
    assert status(stage, "c") == PASSING
    stage.advance(9.9)
    assert stage.probes == []
    stage.advance(0.2)
    assert len(stage.probes) == 1
    ended(stage, CRITICAL, "down")
    assert status(stage, "c") == CRITICAL


def test_the_row_of_a_check_shows_its_durations() -> None:
    stage = Stage()
    add(stage, tcp("c", 90, timeout_ns=SECOND_NS // 2))
    row = check_of(stage.reader().rows, NODE, "c")
    assert row is not None
    assert (row.interval, row.timeout) == ("1m30s", "500ms")
    count = len(stage.local.submitted)
    stage.agent.start()
    stage.advance(1)
    assert len(stage.local.submitted) == count  # it is equal


def test_first_probes_are_spread_over_the_interval() -> None:
    stage = Stage()
    add(stage, *(tcp(f"c{number}", 100) for number in range(200)))
    counts: list[int] = []
    for _ in range(10):
        stage.advance(10)
        counts.append(len(stage.probes))
    pieces = [after - before for before, after in zip([0, *counts], counts, strict=False)]
    assert counts[-1] == 200
    assert max(pieces) < 60


def test_results_count_after_so_many_in_a_row() -> None:
    stage = Stage()
    add(stage, tcp("c", 1, success_before_passing=2, failures_before_critical=3,
                   failures_before_warning=2))  # fmt: skip
    found: list[str] = []
    for result in (PASSING, PASSING, CRITICAL, CRITICAL, CRITICAL, PASSING, WARNING):
        stage.advance(1)
        ended(stage, result)
        found.append(status(stage, "c"))
    assert found == [CRITICAL, PASSING, PASSING, WARNING, CRITICAL, CRITICAL, WARNING]


def test_a_result_of_an_older_definition_is_ignored() -> None:
    stage = Stage()
    add(stage, tcp("c"))
    stage.advance(10)
    add(stage, tcp("c"))
    ended(stage, PASSING)
    assert status(stage, "c") == CRITICAL
    stage.advance(10)
    ended(stage, PASSING)
    assert status(stage, "c") == PASSING
    stage.advance(10)
    assert stage.agent.remove_check(PLAIN, "c", lambda _: None)
    ended(stage, PASSING)
    assert "c" not in stage.agent.state.checks
    stage.advance(100)
    assert stage.probes == []


def test_a_probe_that_says_nothing_leaves_the_status() -> None:
    stage = Stage()
    add(stage, tcp("c", 1))
    stage.advance(1)
    ended(stage, PASSING, "fine")
    stage.advance(1)
    ended(stage, None, "")
    assert (status(stage, "c"), stage.agent.state.checks["c"].state.output) == (PASSING, "fine")


def test_a_probe_that_ends_after_the_stop_changes_nothing() -> None:
    stage = Stage()
    add(stage, tcp("c", 1))
    stage.advance(1)
    stage.agent.stop()
    count = len(stage.local.submitted)
    ended(stage, PASSING)
    assert len(stage.local.submitted) == count
