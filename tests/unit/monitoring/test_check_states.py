from math import inf

import pytest

from quorate.monitoring.checks import (
    CRITICAL,
    EXPIRED,
    PASSING,
    WARNING,
    CheckState,
    Rules,
    capped,
    worst,
)

TTL = Rules(ttl_s=10)


def test_a_heartbeat_moves_the_deadline_and_sets_the_status_at_once() -> None:
    state = CheckState(TTL, CRITICAL, "", 100.0, 0.5)
    assert state.due_s == 110.0
    assert state.heartbeat(PASSING, "fine", 105.0)
    assert (state.status, state.output, state.due_s) == (PASSING, "fine", 115.0)
    assert not state.heartbeat(PASSING, "", 106.0)
    assert state.output == ""


def test_an_overdue_heartbeat_makes_a_check_critical_and_quotes_its_last_output() -> None:
    state = CheckState(TTL, PASSING, "", 0.0, 0.0)
    assert state.expire(10.0)
    assert (state.status, state.output, state.due_s) == (CRITICAL, EXPIRED, inf)
    assert state.heartbeat(PASSING, "alive", 11.0)
    assert state.expire(21.0)
    assert state.output == "TTL expired (last output before timeout follows): alive"


def test_a_first_probe_comes_after_a_random_part_of_the_interval() -> None:
    assert CheckState(Rules(interval_s=8), CRITICAL, "", 100.0, 0.25).due_s == 102.0


def statuses(rules: Rules, *results: str) -> list[str]:
    state = CheckState(rules, CRITICAL, "", 0.0, 0.0)
    found: list[str] = []
    for number, result in enumerate(results):
        state.begin_probe()
        assert state.due_s == inf
        state.end_probe(result, "", float(number))
        assert state.due_s == number + rules.interval_s
        found.append(state.status)
    return found


def test_the_status_changes_after_so_many_equal_results_in_a_row() -> None:
    plain = Rules(interval_s=1)
    assert statuses(plain, PASSING, CRITICAL, WARNING) == [PASSING, CRITICAL, WARNING]
    thrice = Rules(interval_s=1, successes=3, failures_critical=3)
    assert statuses(thrice, PASSING, PASSING, CRITICAL, PASSING, PASSING, PASSING) == [
        *[CRITICAL] * 5,
        PASSING,
    ]
    warned = Rules(interval_s=1, failures_warning=2, failures_critical=3)
    assert statuses(warned, PASSING, CRITICAL, CRITICAL, CRITICAL) == [
        PASSING,
        PASSING,
        WARNING,
        CRITICAL,
    ]


def test_a_probe_without_a_verdict_leaves_status_and_output() -> None:
    state = CheckState(Rules(interval_s=5), PASSING, "before", 0.0, 0.0)
    assert not state.end_probe(None, "nobody answered", 1.0)
    assert (state.status, state.output, state.due_s) == (PASSING, "before", 6.0)


def test_it_is_removed_when_it_was_critical_all_the_time() -> None:
    state = CheckState(Rules(ttl_s=1, deregister_after_s=60), PASSING, "", 0.0, 0.0)
    assert state.removal_due_s == inf
    state.expire(1.0)
    assert state.removal_due_s == 61.0
    state.heartbeat(WARNING, "", 2.0)
    assert state.removal_due_s == inf


@pytest.mark.parametrize(
    ("found", "most"),
    [((), PASSING), ((PASSING, WARNING), WARNING), ((WARNING, CRITICAL), CRITICAL)],
)
def test_the_worst_status_counts(found: tuple[str, ...], most: str) -> None:
    assert worst(found) == most


def test_a_long_output_is_cut_between_characters() -> None:
    assert capped("x" * 4096) == "x" * 4096
    assert capped("x" * 5000) == "x" * 4096 + " ... (captured 4096 of 5000 bytes)"
    assert capped("é" * 10, 5) == "éé ... (captured 5 of 20 bytes)"
