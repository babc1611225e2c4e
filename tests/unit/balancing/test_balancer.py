"""Ejection, slow start and retry budget around a strategy."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.balancing.balancer import Balancer, SlowStart
from quorate.balancing.costs import FUNCTIONS_MAX, UNKNOWN_S, CostModel
from quorate.balancing.outliers import FACTOR_MIN, Outliers, OutlierSettings
from quorate.balancing.retries import RetryBudget
from quorate.balancing.strategies import strategy
from quorate.balancing.targets import ANY, Demand, LoadReport, Target

IDS = [f"i{number}" for number in range(6)]


def balancer(name: str = "weighted_random", slow_start: SlowStart | None = None) -> Balancer:
    made = Balancer(strategy(name, random.Random(1)), slow_start=slow_start)
    made.replace([Target(each) for each in IDS], 0.0)
    return made


def run(
    made: Balancer,
    count: int,
    now_s: float,
    failing: str = "",
    latencies: dict[str, float] | None = None,
) -> Counter[str]:
    """So many requests, 100 a second; who got them."""
    shares: Counter[str] = Counter()
    for _ in range(count):
        candidate = made.choose(ANY, now_s)
        assert candidate is not None
        shares[candidate.id] += 1
        grant = made.on_start(candidate, ANY, now_s)
        latency_s = (latencies or {}).get(candidate.id, 0.05)
        made.on_end(grant, now_s + latency_s, is_ok=candidate.id != failing)
        now_s += 0.01
    return shares


def test_an_instance_that_fails_all_is_ejected_after_5_errors_and_tried_again_after_30_s() -> None:
    made = balancer()
    assert run(made, 600, 0.0, failing="i2")["i2"] == 5
    assert run(made, 2000, 7.0, failing="i2")["i2"] == 0
    assert run(made, 600, 31.0, failing="i2")["i2"] == 5  # the second time: 60 s
    assert run(made, 600, 85.0, failing="i2")["i2"] == 0
    assert 60 < run(made, 600, 98.0)["i2"] < 140


def test_a_slow_instance_loses_weight_and_a_very_slow_one_everything() -> None:
    made = balancer()
    run(made, 1000, 0.0)
    run(made, 1500, 10.0, latencies={"i1": 0.3})  # 6 times
    evidence = made.outliers.evidence("i1")
    assert evidence is not None
    assert 5 < evidence.slowdown < 8
    assert 1 / 8 < evidence.factor < 1 / 4
    after = run(made, 1000, 25.0, latencies={"i1": 0.3})
    assert after["i1"] < 0.08 * 1000
    run(made, 1500, 35.0, latencies={"i1": 2.0})  # 40 times
    assert run(made, 1000, 50.0, latencies={"i1": 2.0})["i1"] == 0


def test_a_share_of_errors_lowers_the_weight_first() -> None:
    outliers = Outliers()
    rng = random.Random(3)
    for each in IDS:
        outliers.add(each)
        for _ in range(100):
            is_ok = each != "i0" or rng.random() > 0.25
            outliers.on_end(each, 0.1, is_ok=is_ok)
    changed = dict(outliers.assess(1.0))
    assert list(changed) == ["i0"]
    assert FACTOR_MIN <= changed["i0"] < 0.9


def test_a_fleet_that_is_slow_or_failing_as_a_whole_has_no_outlier() -> None:
    outliers = Outliers()
    rng = random.Random(3)
    for each in IDS:
        outliers.add(each)
        for _ in range(100):
            outliers.on_end(each, 5.0, is_ok=rng.random() > 0.3)
    assert outliers.assess(1.0) == []


@given(
    count=st.integers(1, 12),
    failing=st.integers(0, 12),
    part=st.sampled_from([0.0, 0.1, 1 / 3, 1.0]),
)
def test_never_more_than_the_part_is_ejected(count: int, failing: int, part: float) -> None:
    outliers = Outliers(OutlierSettings(ejected_part=part))
    for number in range(count):
        outliers.add(str(number))
        for _ in range(30):
            outliers.on_end(str(number), 0.1, is_ok=number >= failing)
    now_s = 0.0
    for _ in range(5):
        outliers.assess(now_s)
        now_s += 1
    found = [outliers.evidence(str(number)) for number in range(count)]
    factors = [each.factor for each in found if each is not None]
    ejected = factors.count(0.0)
    assert ejected == min(failing, count, int(count * part))
    assert factors.count(FACTOR_MIN) == min(failing, count) - ejected


def test_calm_time_halves_the_ejection_again() -> None:
    outliers = Outliers(OutlierSettings(ejected_part=1.0))
    outliers.add("a")

    def ejected_s(now_s: float) -> float:
        for _ in range(5):
            outliers.on_end("a", 0.1, is_ok=False)
        assert outliers.assess(now_s) == [("a", 0.0)]
        evidence = outliers.evidence("a")
        assert evidence is not None
        assert outliers.assess(evidence.ejected_until_s) == [("a", 1.0)]
        return evidence.ejected_until_s - now_s

    assert [ejected_s(0.0), ejected_s(31.0), ejected_s(92.0)] == [30.0, 60.0, 120.0]
    assert ejected_s(213.0 + 65.0) == 60.0  # two times 30 s without
    assert ejected_s(10_000.0) == 30.0


def test_the_evidence_of_functions_is_bounded_and_each_has_its_own_latency() -> None:
    outliers = Outliers()
    for each in ("quick", "slow"):
        outliers.add(each)
    for _ in range(50):  # one instance runs what takes long: that is no slowdown
        outliers.on_end("quick", 0.01, is_ok=True, function="look up")
        outliers.on_end("slow", 5.0, is_ok=True, function="report")
    assert outliers.assess(1.0) == []
    for number in range(2 * FUNCTIONS_MAX):
        outliers.on_end("quick", 0.01, is_ok=True, function=str(number))
    assert len(outliers.functions) == FUNCTIONS_MAX
    assert outliers.on_end("unknown", 1.0, is_ok=False) is False


def test_newcomers_get_their_share_little_by_little() -> None:
    made = balancer(slow_start=SlowStart(window_s=10.0))
    assert min(run(made, 600, 0.0).values()) > 60  # who is there at the start is no newcomer
    made.replace([Target(each) for each in [*IDS, "new"]], 20.0)
    first = run(made, 200, 20.0)["new"]
    later = run(made, 200, 27.0)["new"]
    whole = run(made, 700, 31.0)["new"]
    assert first < later
    assert first < 15
    assert 60 < whole < 140


def test_slow_start_is_a_line_or_a_curve() -> None:
    line, curve = SlowStart(10.0), SlowStart(10.0, 2.0)
    assert [line.factor(age_s) for age_s in (-1.0, 0.0, 5.0, 10.0)] == [0.1, 0.1, 0.5, 1.0]
    assert [curve.factor(age_s) for age_s in (0.0, 5.0, 10.0)] == [0.1, 0.25, 1.0]
    assert SlowStart().factor(0.0) == 1.0


def test_members_that_stay_keep_their_counts() -> None:
    made = balancer("least_outstanding")
    stays = made.strategy.get("i0")
    assert stays is not None
    made.on_start(stays, ANY, 0.0)
    made.replace([Target("i0"), Target("i1", 2.0), Target("new")], 1.0)
    assert made.strategy.get("i0") is stays
    assert stays.in_flight == 1
    assert sorted(each.id for each in made.strategy.candidates) == ["i0", "i1", "new"]
    changed = made.strategy.get("i1")
    assert changed is not None
    assert changed.weight == 2.0
    assert made.outliers.evidence("i5") is None


def test_what_is_ejected_stays_so_when_its_registration_changes() -> None:
    made = balancer()
    run(made, 600, 0.0, failing="i2")
    made.replace([Target(each, 2.0) for each in IDS], 7.0)
    assert run(made, 300, 7.0)["i2"] == 0


def test_load_reports_reach_the_strategy() -> None:
    made = balancer("least_loaded")
    for each in IDS[1:]:
        made.on_load(each, LoadReport(cpu=1.0), 0.0)
    run_now = made.choose(Demand(cost_s=0.01), 0.1)
    assert run_now is not None
    assert run_now.id == "i0"


def test_retries_are_a_part_of_requests() -> None:
    budget = RetryBudget(part=0.2, per_s_min=0.0)
    for number in range(100):
        budget.on_request(number / 100)
    assert sum(budget.take(1.0) for _ in range(100)) == 20
    assert not budget.take(5.0)
    assert not budget.take(30.0)  # requests of then pay for nothing now


def test_some_retries_need_no_requests() -> None:
    budget = RetryBudget(part=0.2, per_s_min=1.0, window_s=10)
    assert sum(budget.take(0.5) for _ in range(100)) == 10
    assert sum(budget.take(5.0) for _ in range(100)) == 0
    assert sum(budget.take(11.0) for _ in range(100)) == 10


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=200))
def test_a_budget_is_never_overdrawn_in_any_window(steps: list[tuple[bool, float]]) -> None:
    budget = RetryBudget(part=0.5, per_s_min=0.3)
    now_s = 0.0
    earned, spent = list[float](), list[float]()
    for is_retry, wait_s in steps:
        now_s += wait_s
        if not is_retry:
            budget.on_request(now_s)
            earned.append(now_s)
        elif budget.take(now_s):
            spent.append(now_s)
        recent = sum(each > now_s - 10 for each in spent)
        assert recent <= 0.5 * sum(each > now_s - 20 for each in earned) + 6 + 1e-6


def test_a_retry_is_no_request_that_pays() -> None:
    made = Balancer(strategy("random", random.Random(1)), retries=RetryBudget(0.5, 0.0))
    made.replace([Target("a"), Target("b")], 0.0)
    candidate = made.choose()
    assert candidate is not None
    for demand in (ANY, ANY, Demand(excluded=frozenset({"b"}))):
        made.on_end(made.on_start(candidate, demand, 0.0), 0.1)
    assert [made.may_retry(0.5), made.may_retry(0.5)] == [True, False]


def test_costs_are_learned_and_bounded() -> None:
    costs = CostModel()
    assert costs.expected_s("f") == UNKNOWN_S
    for _ in range(99):
        costs.observe("f", 2.0)
    assert costs.expected_s("f") == pytest.approx(2.0)
    costs.observe("f", 102.0)
    assert costs.expected_s("f") == pytest.approx(3.0)
    for number in range(FUNCTIONS_MAX):
        costs.observe(str(number), 1.0)
    assert costs.expected_s("f") == UNKNOWN_S
