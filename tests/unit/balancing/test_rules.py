"""The rule of each strategy, against its definition."""

import math
import random
from collections import Counter
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.balancing.idle import JoinIdle
from quorate.balancing.least import LeastLoaded, LeastOutstanding, PeakEwma, PowerOfChoices
from quorate.balancing.orca import OrcaRoundRobin
from quorate.balancing.packing import BinPack, Spread
from quorate.balancing.probes import HotColdProbes
from quorate.balancing.strategy import Strategy, reported, reported_and_sent
from quorate.balancing.sums import PrefixSums
from quorate.balancing.targets import ANY, Candidate, Demand, Grant, LoadReport, Target
from quorate.balancing.turns import RoundRobin, SmoothRoundRobin, UniformChoice, WeightedChoice

S = TypeVar("S", bound=Strategy)
WEIGHTS = st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=2, max_size=6)


def with_weights(chosen: S, weights: list[float]) -> S:
    for number, weight in enumerate(weights):
        chosen.add(Target(f"i{number}", weight), 0.0)
    return chosen


def drawn(chosen: Strategy, count: int, now_s: float = 0.0) -> list[str]:
    return [taken(chosen.choose(ANY, now_s)).id for _ in range(count)]


def taken(candidate: Candidate | None) -> Candidate:
    assert candidate is not None
    return candidate


def started(chosen: Strategy, target_id: str, count: int = 1, now_s: float = 0.0) -> list[Grant]:
    candidate = taken(chosen.get(target_id))
    return [chosen.on_start(candidate, ANY, now_s) for _ in range(count)]


# --- turns ---------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32))
def test_random_is_uniform(seed: int) -> None:
    shares = Counter(drawn(with_weights(UniformChoice(random.Random(seed)), [1.0] * 4), 2000))
    assert all(abs(share - 500) < 6 * math.sqrt(375) for share in shares.values())


@given(seed=st.integers(0, 2**32), weights=WEIGHTS)
def test_weighted_random_follows_the_weights(seed: int, weights: list[float]) -> None:
    shares = Counter(drawn(with_weights(WeightedChoice(random.Random(seed)), weights), 2000))
    for number, weight in enumerate(weights):
        part = weight / sum(weights)
        spread = math.sqrt(2000 * part * (1 - part))
        assert abs(shares[f"i{number}"] - 2000 * part) < 6 * spread


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 20)), max_size=60))
def test_prefix_sums_are_those_of_a_plain_list(steps: list[tuple[int, int, int]]) -> None:
    sums, plain = PrefixSums(), list[int]()
    for kind, where, weight in steps:
        if kind < 2 or not plain:
            sums.append(weight)
            plain.append(weight)
        elif kind == 2:
            sums.set(where % len(plain), weight)
            plain[where % len(plain)] = weight
        else:
            sums.remove(where % len(plain))
            last = plain.pop()
            if where % (len(plain) + 1) < len(plain):
                plain[where % (len(plain) + 1)] = last
        assert sums.total == sum(plain)
        found = [sums.find(point + 0.5) for point in range(sum(plain))]
        assert found == [each for each, weight in enumerate(plain) for _ in range(weight)]


def test_round_robin_goes_round_in_the_order_of_arrival_and_skips() -> None:
    chosen = with_weights(RoundRobin(random.Random(1)), [1.0] * 4)
    assert drawn(chosen, 5) == ["i0", "i1", "i2", "i3", "i0"]
    chosen.set_factor("i1", 0.0)
    chosen.remove("i2")
    chosen.add(Target("new"), 0.0)
    assert drawn(chosen, 4) == ["i3", "i0", "new", "i3"]


def test_smooth_turns_spread_the_heavy_one() -> None:
    chosen = with_weights(SmoothRoundRobin(random.Random(1)), [5.0, 1.0, 1.0])
    assert drawn(chosen, 7) == ["i0", "i0", "i1", "i0", "i2", "i0", "i0"]


@given(weights=WEIGHTS)
def test_smooth_turns_follow_the_weights_exactly(weights: list[float]) -> None:
    chosen = with_weights(SmoothRoundRobin(random.Random(1)), weights)
    turns = int(sum(weights) * 2)
    shares = Counter(drawn(chosen, turns))
    assert [shares[f"i{each}"] for each in range(len(weights))] == [2 * each for each in weights]


# --- counts --------------------------------------------------------------------------------------


@given(
    weights=WEIGHTS,
    counts=st.lists(st.integers(0, 8), min_size=6, max_size=6),
    seed=st.integers(0, 99),
)
def test_least_outstanding_is_the_argmin(
    weights: list[float], counts: list[int], seed: int
) -> None:
    chosen = with_weights(LeastOutstanding(random.Random(seed)), weights)
    for number in range(len(weights)):
        started(chosen, f"i{number}", counts[number])
    best = taken(chosen.choose())
    scores = {each.id: (each.in_flight + 1) / each.weight for each in chosen.candidates}
    assert scores[best.id] == min(scores.values())


def test_ties_are_broken_by_chance() -> None:
    chosen = with_weights(LeastOutstanding(random.Random(1)), [1.0] * 4)
    assert set(drawn(chosen, 60)) == {"i0", "i1", "i2", "i3"}


def test_what_is_counted_may_be_reports_and_what_was_sent_since() -> None:
    candidate = LeastOutstanding(random.Random(1)).add(Target("a"), 0.0)
    assert reported(candidate) == reported_and_sent(candidate) == 0
    chosen = with_weights(LeastOutstanding(random.Random(1), reported_and_sent), [1.0, 1.0])
    (before,) = started(chosen, "i0")
    chosen.on_load("i0", LoadReport(in_flight=3), 1.0)
    (after,) = started(chosen, "i0")
    first = taken(chosen.get("i0"))
    assert (reported(first), reported_and_sent(first)) == (3, 4)
    chosen.on_end(before, 2.0)  # it is in the report: nothing is known of that one's end
    assert reported_and_sent(first) == 4
    chosen.on_end(after, 2.0)
    assert reported_and_sent(first) == 3


@given(seed=st.integers(0, 2**32), choices=st.integers(2, 4))
def test_of_d_distinct_draws_the_least_wins(seed: int, choices: int) -> None:
    chosen = with_weights(PowerOfChoices(random.Random(seed), choices=choices), [1.0] * 5)
    for number in range(5):
        started(chosen, f"i{number}", number)
    worst_possible = {f"i{each}" for each in range(5 - choices + 1)}
    assert set(drawn(chosen, 100)) <= worst_possible


def test_peak_ewma_jumps_to_a_peak_and_forgets_it_while_idle() -> None:
    chosen = with_weights(PeakEwma(random.Random(1)), [1.0, 1.0])
    for target_id, latency_s in (("i0", 0.1), ("i1", 0.1), ("i1", 2.0)):
        (grant,) = started(chosen, target_id)
        chosen.on_end(grant, latency_s)
    assert set(drawn(chosen, 20, 2.0)) == {"i0"}
    chosen.on_end(started(chosen, "i1", now_s=3.0)[0], 3.1)
    assert set(drawn(chosen, 20, 3.2)) == {"i0"}  # one good answer does not make up for it
    started(chosen, "i0", now_s=60.0)
    assert set(drawn(chosen, 20, 60.1)) == {"i1"}


def test_to_peak_ewma_what_fails_fast_is_not_fast() -> None:
    chosen = with_weights(PeakEwma(random.Random(1)), [1.0, 1.0])
    for target_id, is_ok in (("i0", True), ("i1", False)):
        chosen.on_end(started(chosen, target_id)[0], 0.1 if is_ok else 0.001, is_ok=is_ok)
    assert set(drawn(chosen, 20, 0.1)) == {"i0"}


def test_peak_ewma_sends_a_newcomer_one_request_until_it_knows_more() -> None:
    chosen = with_weights(PeakEwma(random.Random(1)), [1.0, 1.0])
    chosen.on_end(started(chosen, "i0")[0], 0.1)
    assert set(drawn(chosen, 20)) == {"i1"}
    started(chosen, "i1")
    assert set(drawn(chosen, 20)) == {"i0"}


def exact_load(each: Candidate, expected_s: float) -> float:
    load = (each.granted_s + expected_s) / (each.target.slots * each.weight * each.speed)
    if each.report is not None:
        load += 0.25 * each.report.cpu + 0.25 * each.report.memory
        load += sum(0.25 * amount for amount in each.report.custom.values())
    return load + each.error_share


@given(st.data())
def test_least_loaded_is_the_argmin_of_the_sum(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 999))
    chosen = LeastLoaded(random.Random(seed))
    part = st.floats(0, 0.79)
    for number in range(data.draw(st.integers(1, 6))):
        name = f"i{number}"
        chosen.add(Target(name, data.draw(st.sampled_from([0.5, 1, 2])), slots=number + 1), 0.0)
        grants = started(chosen, name, data.draw(st.integers(0, 5)))
        for grant in grants[: data.draw(st.integers(0, 5))]:
            chosen.on_end(grant, data.draw(st.floats(0.01, 9)), is_ok=data.draw(st.booleans()))
        if data.draw(st.booleans()):
            report = LoadReport(data.draw(part), data.draw(part), custom={"disk": data.draw(part)})
            chosen.on_load(name, report, 10.0)
    demand = Demand(cost_s=0.3)
    best = taken(chosen.choose(demand, 10.0))
    loads = {each.id: exact_load(each, 0.3) for each in chosen.candidates}
    assert loads[best.id] <= min(loads.values()) * 1.05 * (1 + 1e-9)
    assert chosen.load(best.id, demand, 10.0) == pytest.approx(loads[best.id])
    assert chosen.load("nobody") == math.inf


def test_least_loaded_returns_to_exactly_0_and_a_report_fades() -> None:
    chosen = with_weights(LeastLoaded(random.Random(1)), [1.0])
    first = taken(chosen.get("i0"))
    grants = [
        chosen.on_start(first, Demand(cost_s=cost_s), 0.0) for cost_s in (0.1, 0.2, 0.3, 1e-9)
    ]
    for grant in grants:
        chosen.on_end(grant, 1.0)
    assert first.granted_s == 0.0
    chosen.on_load("i0", LoadReport(cpu=1.0), 10.0)
    still = Demand(cost_s=1e-12)
    loads = [chosen.load("i0", still, now_s) for now_s in (9.0, 10.0, 11.5, 13.0, 99.0)]
    assert loads == pytest.approx([0.25, 0.25, 0.125, 0.0, 0.0], abs=1e-9)


def test_least_loaded_learns_cost_and_speed_and_avoids_fast_failures() -> None:
    chosen = with_weights(LeastLoaded(random.Random(1)), [1.0, 1.0, 1.0])
    now_s = 0.0
    for _ in range(200):
        for target_id, service_s in (("i0", 0.1), ("i1", 0.4)):
            (grant,) = started(chosen, target_id, now_s=now_s)
            chosen.on_end(grant, now_s + service_s)
        chosen.on_end(started(chosen, "i2", now_s=now_s)[0], now_s + 0.001, is_ok=False)
        now_s += 1
    fast, slow, failing = chosen.candidates
    assert fast.speed > 2 * slow.speed
    assert failing.speed == 1.0
    assert failing.error_share > 0.99
    assert set(drawn(chosen, 30, now_s)) == {"i0"}


# --- reports, probes, idle -----------------------------------------------------------------------


def test_orca_weights_need_time_and_expire() -> None:
    chosen = with_weights(OrcaRoundRobin(random.Random(1)), [1.0, 1.0])
    for now_s in range(31):
        chosen.on_load("i0", LoadReport(requests_per_s=100, utilisation=0.5), float(now_s))
        chosen.on_load("i1", LoadReport(requests_per_s=100, cpu=0.5, errors_per_s=50), float(now_s))
    assert chosen.reported_weight("i0", 30.0) == 200
    assert chosen.reported_weight("i1", 30.0) == 100
    assert Counter(drawn(chosen, 30, 30.0)) == {"i0": 20, "i1": 10}
    chosen.add(Target("new"), 30.0)
    chosen.on_load("new", LoadReport(requests_per_s=10_000, utilisation=0.1), 30.0)
    assert chosen.reported_weight("new", 39.0) == 0
    assert Counter(drawn(chosen, 90, 39.0))["new"] == 30  # the mean of the others
    assert chosen.reported_weight("new", 40.0) == 100_000
    assert chosen.reported_weight("i0", 210.0) == 0
    chosen.on_load("i0", LoadReport(requests_per_s=100, utilisation=0.5), 300.0)
    assert chosen.reported_weight("i0", 301.0) == 0  # a new series


def test_probes_prefer_cold_then_fast_and_are_used_up() -> None:
    chosen = with_weights(HotColdProbes(random.Random(1)), [1.0] * 4)
    for target_id, in_flight, latency_s in (
        ("i0", 9, 0.001),
        ("i1", 1, 0.2),
        ("i2", 2, 0.1),
        ("i3", 0, 0.3),
    ):
        chosen.on_probe(target_id, in_flight, latency_s, 0.0)
    assert drawn(chosen, 4, 0.5) == ["i2", "i1", "i3", "i0"]
    assert len(set(drawn(chosen, 40, 0.5))) == 4  # no probe left: uniform


def test_a_probe_counts_what_was_sent_since_and_expires() -> None:
    chosen = with_weights(HotColdProbes(random.Random(1)), [1.0, 1.0])
    for _ in range(2):
        chosen.on_probe("i0", 0, 0.1, 0.0)
        chosen.on_probe("i1", 0, 0.15, 0.0)
    assert sorted(drawn(chosen, 2, 0.1)) == ["i0", "i1"]
    chosen.on_probe("i1", 0, 0.1, 1.0)
    assert drawn(chosen, 1, 1.9) == ["i1"]
    chosen.remove("i1")
    chosen.on_probe("i1", 0, 0.1, 2.0)
    assert set(drawn(chosen, 9, 2.0)) == {"i0"}
    assert {each.id for each in chosen.wanted(2.0)} == {"i0"}


def test_join_idle_takes_the_one_that_is_idle_longest() -> None:
    chosen = with_weights(JoinIdle(random.Random(1)), [1.0] * 3)
    assert taken(chosen.choose()).id == "i0"
    grants = [started(chosen, each)[0] for each in ("i0", "i1", "i2")]
    chosen.on_end(grants[2], 1.0)
    chosen.on_end(grants[0], 2.0)
    assert taken(chosen.choose()).id == "i2"
    chosen.on_load("i2", LoadReport(in_flight=2), 2.0)
    assert taken(chosen.choose()).id == "i0"
    chosen.on_load("i2", LoadReport(in_flight=0), 2.0)
    chosen.remove("i0")
    assert taken(chosen.choose()).id == "i2"


def test_join_idle_draws_two_under_load() -> None:
    chosen = with_weights(JoinIdle(random.Random(1)), [1.0, 1.0])
    started(chosen, "i0", 5)
    started(chosen, "i1", 1)
    assert set(drawn(chosen, 30)) == {"i1"}
    by_weight = with_weights(JoinIdle(random.Random(1), math.inf), [1.0, 1.0])
    started(by_weight, "i0", 5)
    started(by_weight, "i1", 1)
    assert set(drawn(by_weight, 30)) == {"i0", "i1"}


# --- resources -----------------------------------------------------------------------------------


def test_bin_pack_fills_one_and_spread_levels_them() -> None:
    for chosen, wanted in (
        (BinPack(random.Random(1)), {"a": 4, "b": 1}),
        (Spread(random.Random(1)), {"a": 2, "b": 3}),
    ):
        chosen.add(Target("a", capacity={"memory": 8.0, "gpu": 1.0}), 0.0)
        chosen.add(Target("b", capacity={"memory": 16.0}), 0.0)
        chosen.on_start(taken(chosen.get("a")), Demand(needs={"memory": 1.0}), 0.0)
        shares: Counter[str] = Counter()
        for _ in range(4):
            demand = Demand(needs={"memory": 2.0})
            candidate = taken(chosen.choose(demand, 0.0))
            chosen.on_start(candidate, demand, 0.0)
            shares[candidate.id] += 1
        assert max(shares, key=shares.__getitem__) == max(wanted, key=wanted.__getitem__)
        assert taken(chosen.choose(Demand(needs={"gpu": 1.0}))).id == "a"
        assert chosen.choose(Demand(needs={"memory": 17.0})) is None
        assert chosen.choose(Demand(needs={"tpu": 1.0})) is None


@given(st.lists(st.floats(0.1, 5), max_size=40), st.integers(0, 99))
def test_nobody_is_given_more_than_fits(sizes: list[float], seed: int) -> None:
    for chosen in (BinPack(random.Random(seed)), Spread(random.Random(seed))):
        used = dict.fromkeys("abc", 0.0)
        for name in used:
            chosen.add(Target(name, capacity={"memory": 10.0}), 0.0)
        for size in sizes:
            demand = Demand(needs={"memory": size})
            candidate = chosen.choose(demand)
            if candidate is None:
                assert min(used.values()) + size > 10
                continue
            chosen.on_start(candidate, demand, 0.0)
            used[candidate.id] += size
            assert used[candidate.id] <= 10 + 1e-9
