"""What every strategy keeps, whatever its rule: the open ones, the counts, the seed."""

import random
from collections import Counter
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.balancing.least import LeastOutstanding
from quorate.balancing.probes import HotColdProbes
from quorate.balancing.strategies import STRATEGIES, strategy
from quorate.balancing.strategy import Strategy
from quorate.balancing.targets import Demand, Grant, LoadReport, Target
from quorate.base.errors import InvariantError, RequestError

NAMES = sorted(STRATEGIES)
AFFINE = {"consistent_hash", "bounded_load", "rendezvous", "maglev"}

every_strategy = pytest.mark.parametrize("name", NAMES)


def filled(name: str, weights: dict[str, float], seed: int = 1) -> Strategy:
    chosen = strategy(name, random.Random(seed))
    for target_id, weight in weights.items():
        chosen.add(Target(target_id, weight, capacity={"memory": 100.0}), 0.0)
    return chosen


def keyed(number: int) -> Demand:
    return Demand(key=str(number).encode(), needs={"memory": 1.0})


def served(chosen: Strategy, count: int, now_s: float = 0.0) -> Counter[str]:
    """Who gets each of so many requests, one at a time."""
    shares: Counter[str] = Counter()
    for number in range(count):
        demand = keyed(number)
        candidate = chosen.choose(demand, now_s)
        assert candidate is not None
        shares[candidate.id] += 1
        chosen.on_end(chosen.on_start(candidate, demand, now_s), now_s + 0.1)
        now_s += 0.2
    return shares


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match="least_loaded"):
        strategy("least_loded", random.Random(1))


@every_strategy
def test_without_members_nobody_is_chosen(name: str) -> None:
    chosen = filled(name, {})
    assert chosen.choose(keyed(1), 0.0) is None
    chosen.add(Target("a", capacity={"memory": 1.0}), 0.0)
    chosen.remove("a")
    assert chosen.choose(keyed(1), 0.0) is None


@every_strategy
def test_a_name_is_added_once(name: str) -> None:
    with pytest.raises(InvariantError):
        filled(name, {"a": 1.0}).add(Target("a"), 0.0)


@every_strategy
def test_a_seed_repeats_a_run(name: str) -> None:
    def run(seed: int) -> list[str]:
        chosen = filled(name, dict.fromkeys("abcde", 1.0), seed)
        return [next(iter(served(chosen, 1, float(number)))) for number in range(50)]

    assert run(7) == run(7)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"bin_pack"}))  # it fills one first
def test_equal_instances_all_get_some(name: str) -> None:
    shares = served(filled(name, dict.fromkeys("abcde", 1.0)), 500)
    assert set(shares) == set("abcde")
    assert max(shares.values()) < 500 * 0.4


@every_strategy
def test_weight_0_excluded_full_and_out_of_memory_are_not_chosen(name: str) -> None:
    chosen = filled(name, {"zero": 0.0, "ejected": 1.0, "memory": 1.0, "excluded": 1.0, "a": 1.0})
    chosen.add(Target("full", in_flight_max=1, capacity={"memory": 100.0}), 0.0)
    full = chosen.get("full")
    assert full is not None
    grant = chosen.on_start(full, keyed(0), 0.0)
    chosen.set_factor("ejected", 0.0)
    chosen.on_load("memory", LoadReport(memory=0.8), 0.0)
    for number in range(200):
        demand = Demand(
            key=str(number).encode(), needs={"memory": 1.0}, excluded=frozenset({"excluded"})
        )
        candidate = chosen.choose(demand, 0.1)
        assert candidate is not None
        assert candidate.id == "a"
    chosen.on_end(grant, 0.2)
    only_full = frozenset({"zero", "memory", "excluded", "a"})
    for number in range(20):
        candidate = chosen.choose(Demand(key=bytes([number]), excluded=only_full), 0.2)
        assert candidate is full
    stale = Demand(excluded=frozenset({"zero", "full", "excluded", "a"}))
    assert chosen.choose(stale, 0.2) is None
    later = chosen.choose(stale, 3.1)
    assert later is not None
    assert later.id == "memory"  # what it said is too old to count


@every_strategy
def test_an_end_after_removal_changes_nothing_of_a_successor_of_that_name(name: str) -> None:
    chosen = filled(name, {"a": 1.0, "b": 1.0})
    first = chosen.get("a")
    assert first is not None
    grants = [chosen.on_start(first, keyed(number), 0.0) for number in range(5)]
    chosen.remove("a")
    successor = chosen.add(Target("a", capacity={"memory": 100.0}), 0.0)
    late = chosen.on_start(first, keyed(9), 0.0)  # chosen before, begun after
    for grant in [*grants, late]:
        chosen.on_end(grant, 1.0, is_ok=False)
    assert (successor.in_flight, successor.error_share, successor.granted_s) == (0, 0.0, 0.0)
    assert served(chosen, 40)


class Model:
    """Random members and requests, with the counts that must hold."""

    def __init__(self, name: str, seed: int) -> None:
        self.chosen = strategy(name, random.Random(seed))
        self.rng = random.Random(seed)
        self.members: dict[str, float] = {}
        self.held: dict[str, list[Grant]] = {}
        self.now_s = 0.0
        self.next_id = 0

    def step(self) -> None:
        self.now_s += self.rng.random()
        kind = self.rng.randrange(8)
        if kind == 0:
            self.next_id += 1
            name = f"i{self.next_id}"
            self.members[name] = self.rng.choice([0.0, 0.5, 1.0, 3.0])
            self.held[name] = []
            target = Target(name, self.members[name], capacity={"memory": 50.0})
            self.chosen.add(target, self.now_s)
        elif kind == 1 and self.members and self.rng.random() < 0.5:
            name = self.rng.choice(sorted(self.members))
            del self.members[name]
            self.chosen.remove(name)
        elif kind == 2 and self.members:
            name = self.rng.choice(sorted(self.members))
            report = LoadReport(
                cpu=self.rng.random(), in_flight=self.rng.randrange(4), requests_per_s=5.0
            )
            self.chosen.on_load(name, report, self.now_s)
            if isinstance(self.chosen, HotColdProbes):
                self.chosen.on_probe(name, self.rng.randrange(4), self.rng.random(), self.now_s)
        elif kind == 3 and (busy := [each for each in sorted(self.held) if self.held[each]]):
            grants = self.held[self.rng.choice(busy)]
            grant = grants.pop(self.rng.randrange(len(grants)))
            if self.rng.random() < 0.2:
                self.chosen.on_abandoned(grant)
            else:
                self.chosen.on_end(grant, self.now_s, is_ok=self.rng.random() < 0.8)
        else:
            self.request()

    def request(self) -> None:
        demand = keyed(self.rng.randrange(100))
        candidate = self.chosen.choose(demand, self.now_s)
        if candidate is None:
            fits = [
                each
                for each, weight in self.members.items()
                if weight > 0 and len(self.held[each]) < 50
            ]
            assert not fits
        else:
            assert self.members[candidate.id] > 0
            grant = self.chosen.on_start(candidate, demand, self.now_s)
            self.held[candidate.id].append(grant)

    def check(self) -> None:
        assert {each.id for each in self.chosen.candidates} == set(self.members)
        for position, candidate in enumerate(self.chosen.candidates):
            assert candidate.position == position
            assert candidate.in_flight == len(self.held[candidate.id])
            assert candidate.weight == self.members[candidate.id]


@every_strategy
@given(seed=st.integers(0, 10**9))
def test_members_and_counts_are_right_after_any_history(name: str, seed: int) -> None:
    model = Model(name, seed)
    for _ in range(80):
        model.step()
        model.check()


@every_strategy
@given(seed=st.integers(0, 10**9), gone=st.integers(0, 4))
def test_a_removed_instance_is_never_chosen(name: str, seed: int, gone: int) -> None:
    chosen = filled(name, dict.fromkeys("abcde", 1.0), seed)
    served(chosen, 10)
    chosen.remove("abcde"[gone])
    assert "abcde"[gone] not in served(chosen, 60, 10.0)


def sized(kept: object) -> bool:
    return isinstance(kept, dict | list)


@pytest.mark.parametrize(
    "name", sorted(set(NAMES) - AFFINE - {"random", "round_robin", "bin_pack", "spread"})
)
def test_what_is_kept_for_an_instance_goes_with_it(name: str) -> None:
    chosen = filled(name, {"stays": 1.0})
    sizes = set[int]()
    for number in range(30):
        chosen.add(Target(f"i{number}"), float(number))
        chosen.on_load(f"i{number}", LoadReport(requests_per_s=1.0, cpu=0.5), float(number))
        served(chosen, 3, float(number))
        chosen.remove(f"i{number}")
        kept = [cast("dict[str, object]", each) for each in vars(chosen).values() if sized(each)]
        sizes.add(sum(len(each) for each in kept))
    assert max(sizes) <= 20


def test_reports_of_unknown_instances_are_ignored() -> None:
    chosen = filled("least_loaded", {"a": 1.0})
    chosen.on_load("b", LoadReport(cpu=1.0), 0.0)
    chosen.set_factor("b", 0.0)
    chosen.remove("b")
    assert served(chosen, 3) == {"a": 3}


def test_the_choice_does_not_count_by_itself() -> None:
    chosen = LeastOutstanding(random.Random(1))
    a = chosen.add(Target("a"), 0.0)
    for _ in range(5):
        assert chosen.choose() is a
    assert a.in_flight == 0


@every_strategy
def test_nothing_is_learned_from_a_request_that_was_given_up(name: str) -> None:
    chosen = filled(name, {"a": 1.0})
    for number in range(20):
        candidate = chosen.choose(keyed(number), 0.0)
        assert candidate is not None
        chosen.on_abandoned(chosen.on_start(candidate, keyed(number), 0.0))
        assert (candidate.in_flight, candidate.error_share, candidate.speed) == (0, 0.0, 1.0)
