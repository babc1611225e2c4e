"""Figures become ratios, and ratios verdicts."""

from benchmarks.goals import GOALS, Figures, judged
from benchmarks.load import Load
from benchmarks.measure import Summary, attributed, summary


def figures(per_s: float, cpu_us: float, gap_s: float, client_per_s: float | None) -> Figures:
    names = ["put-64-leader", "get-64-leader", "put-1-leader", "put-1-follower"]
    row = Summary(per_s, 1.0, 2.0, cpu_us, cpu_us / 2, cpu_us / 4, 0)
    return Figures(dict.fromkeys(names, row), client_per_s, gap_s)


def test_every_goal_is_judged() -> None:
    verdicts = judged(figures(8000, 50, 0.5, 6000), figures(2000, 300, 1.2, None))
    assert [each.word for each in verdicts] == ["ok"] * len(GOALS)


def test_what_is_not_reached_is_not_yet() -> None:
    verdicts = judged(figures(2000, 300, 1.2, 2000), figures(2000, 300, 1.2, None))
    ratio_of = {each.goal.about: each for each in verdicts}
    through_follower = "PUT, 1 connection: p50 through a follower over the leader's"
    assert ratio_of.pop(through_follower).word == "ok"
    assert {each.word for each in ratio_of.values()} == {"not yet"}
    assert {each.ratio for each in ratio_of.values()} == {1.0}


def test_what_was_left_out_is_not_measured() -> None:
    verdicts = judged(Figures({}), Figures({}))
    assert {each.word for each in verdicts} == {"not measured"}


def test_cpu_time_is_divided_among_requests_and_roles() -> None:
    load = Load(1000, 1.0, 1.0, 2.0, 3.0, 0)
    run = attributed(load, leader=1, before_s=[1.0, 5.0, 2.0], after_s=[1.01, 5.04, 2.03])
    assert (round(run.cpu_us), round(run.leader_cpu_us), round(run.follower_cpu_us)) == (80, 40, 20)


def test_a_summary_takes_medians_and_adds_errors() -> None:
    runs = [
        attributed(Load(count, 1.0, count / 100, 2.0, 3.0, 1), 0, [0.0] * 3, [0.01] * 3)
        for count in (100, 300, 200)
    ]
    found = summary(runs)
    assert (found.per_s, found.p50_ms, found.errors) == (200.0, 2.0, 3)
