"""The gates of failure detection, and that the model disturbs what it says it does."""

import random
from itertools import pairwise

import pytest

from benchmarks import detection
from benchmarks.detection import Stop, arrivals, resumed_s, run, stops


def test_the_judge_that_ships_keeps_its_gates() -> None:
    found = list(detection.gates(seeds=2, length_s=1800.0))
    assert [text for text, holds in found if not holds] == []
    assert len(found) == 5


@pytest.mark.soak
def test_it_keeps_them_over_hours() -> None:
    found = list(detection.gates(seeds=40))
    assert [text for text, holds in found if not holds] == []


def test_renewals_arrive_in_order_and_go_on_until_the_end() -> None:
    for seed in range(5):
        found = arrivals(random.Random(seed), 600.0)
        assert found == sorted(found)
        assert 500 < len(found) <= 601
        assert max(later - earlier for earlier, later in pairwise(found)) < 5
        assert 597 < found[-1] < 605


def test_stops_do_not_overlap_and_none_is_at_the_end() -> None:
    found = stops(random.Random(1), 30.0, 3600.0)
    assert 60 < len(found) < 160
    assert all(one.until_s <= two.from_s for one, two in pairwise(found))
    assert found[-1].until_s < 3600.0
    assert [resumed_s(at_s, [Stop(1.0, 2.5)]) for at_s in (0.9, 1.0, 2.4, 2.5)] == [
        0.9, 2.5, 2.5, 2.5,
    ]  # fmt: skip


def test_a_run_is_its_seed_and_every_failure_is_found() -> None:
    for name, make in detection.DETECTORS.items():
        found = run(make, 3, 120.0)
        assert found == run(make, 3, 120.0), name
        assert len(found.after_s) == detection.SUBJECTS
        assert max(found.after_s) < 12, name


def test_the_command_says_what_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code = detection.main(["gates", "--seeds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert code == any(line.startswith("FAIL") for line in lines)
