"""Who is alive, suspect or dead; and a judge that stood still accuses nobody."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.monitoring.judging import Judge, JudgeSettings, JudgeTime, Liveness, LivenessChange

ALIVE, SUSPECT, DEAD = Liveness.ALIVE, Liveness.SUSPECT, Liveness.DEAD


class Bench:
    """A judge, and subjects that renew each second unless they are silent."""

    def __init__(self, subjects: int = 3, **settings: float) -> None:
        self.settings = JudgeSettings(**settings)  # type: ignore[arg-type] # all floats
        self.judge = Judge(self.settings, 0.0)
        self.names = [f"s{number}" for number in range(subjects)]
        self.silent = set[str]()
        self.ticks = 0
        for name in self.names:
            self.judge.add(name, 0.0)
        self.changes: list[tuple[float, LivenessChange]] = []

    @property
    def now_s(self) -> float:
        return self.ticks / 10

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.ticks += 1
            self.tick()

    def tick(self) -> None:
        found = list[LivenessChange | None](self.judge.tick(self.now_s))
        if self.ticks % 10 == 0:
            found += [
                self.judge.on_renewal(each, self.now_s)
                for each in self.names
                if each not in self.silent
            ]
        self.note(found)

    def note(self, found: list[LivenessChange | None]) -> None:
        self.changes += [(self.now_s, each) for each in found if each is not None]

    def stand_still(self, seconds: float) -> None:
        self.ticks += round(seconds * 10)
        self.tick()


def test_silence_is_suspected_after_2_3_s_and_death_after_2_5_more() -> None:
    bench = Bench()
    bench.run(120)
    bench.silent.add("s1")
    bench.run(10)
    assert [each for _, each in bench.changes] == [
        LivenessChange("s1", SUSPECT),
        LivenessChange("s1", DEAD),
    ]
    assert [at_s for at_s, _ in bench.changes] == pytest.approx([122.4, 124.9], abs=0.11)
    assert bench.judge.liveness("s1") is DEAD
    assert bench.judge.liveness("s0") is ALIVE


def test_a_suspect_that_renews_is_alive_again() -> None:
    bench = Bench()
    bench.run(100)
    bench.silent.add("s1")
    bench.run(3)
    bench.silent.clear()
    bench.run(20)
    assert [each.liveness for _, each in bench.changes] == [SUSPECT, ALIVE]


def test_a_closed_connection_is_suspected_at_once_and_dead_after_1_s() -> None:
    bench = Bench()
    bench.run(100.5)
    bench.silent.add("s1")
    bench.note([bench.judge.on_closed("s1", bench.now_s)])
    bench.run(5)
    assert [each.liveness for _, each in bench.changes] == [SUSPECT, DEAD]
    assert bench.changes[1][0] == pytest.approx(101.5, abs=0.11)
    assert bench.judge.on_closed("s1", bench.now_s) is None


def test_one_that_connects_again_in_time_is_alive() -> None:
    bench = Bench()
    bench.run(100.5)
    bench.note([bench.judge.on_closed("s1", bench.now_s)])
    bench.run(20)  # it renews half a second later
    assert [each.liveness for _, each in bench.changes] == [SUSPECT, ALIVE]


def test_the_dead_return_and_their_absence_is_no_interval() -> None:
    bench = Bench()
    bench.run(100)
    bench.silent.add("s1")
    bench.run(300)
    bench.silent.clear()
    bench.run(5)
    bench.silent.add("s1")
    bench.changes.clear()
    bench.run(10)
    assert [each.liveness for _, each in bench.changes] == [SUSPECT, DEAD]


@pytest.mark.parametrize("seconds", [0.5, 3.0, 30.0, 3600.0])
def test_a_judge_that_stood_still_accuses_nobody(seconds: float) -> None:
    bench = Bench()
    bench.run(100)
    bench.stand_still(seconds)
    bench.run(60)
    assert bench.changes == []
    assert bench.judge.lost_s == pytest.approx(seconds - 0.1)


def test_without_distrust_of_itself_it_accuses_everybody() -> None:
    bench = Bench(distrusts_itself=False)
    bench.run(100.5)
    bench.stand_still(30.0)
    assert [each.liveness for _, each in bench.changes] == [SUSPECT] * 3


def test_death_during_the_judges_stop_is_found_after_it() -> None:
    bench = Bench()
    bench.run(100)
    bench.silent.add("s1")
    bench.stand_still(30.0)
    bench.run(6)
    assert [each.liveness for _, each in bench.changes] == [SUSPECT, DEAD]


@given(seed=st.integers(0, 2**32))
def test_nobody_dies_who_was_not_suspect_and_nobody_who_renewed_just_now(seed: int) -> None:
    rng = random.Random(seed)
    judge = Judge(JudgeSettings(), 0.0)
    names = ["a", "b"]
    for name in names:
        judge.add(name, 0.0)
    before = dict.fromkeys(names, ALIVE)
    renewed_s = dict.fromkeys(names, 0.0)
    now_s = 0.0
    for _ in range(300):
        now_s += rng.choice([0.05, 0.1, 0.1, 0.3, rng.random() * 10])
        name = rng.choice(names)
        kind = rng.randrange(10)
        found: list[LivenessChange | None] = [*judge.tick(now_s)]
        if kind < 4:
            found.append(judge.on_renewal(name, now_s))
        elif kind == 4:
            found.append(judge.on_closed(name, now_s))
        for change in found:
            if change is None:
                continue
            assert change.liveness is not before[change.subject]
            if change.liveness is DEAD:
                assert before[change.subject] is SUSPECT
                assert now_s - renewed_s[change.subject] >= 0.999
            before[change.subject] = change.liveness
        if kind < 4:
            renewed_s[name] = now_s
    assert before == {each: judge.liveness(each) for each in names}


def test_unknown_subjects_are_ignored_and_known_ones_added_once() -> None:
    judge = Judge(JudgeSettings(), 0.0)
    assert judge.on_renewal("a", 1.0) is None
    assert judge.on_closed("a", 1.0) is None
    assert judge.liveness("a") is None
    assert judge.phi("a", 1.0) == 0.0
    judge.add("a", 1.0)
    judge.on_closed("a", 1.0)
    judge.add("a", 1.1)
    assert judge.liveness("a") is SUSPECT
    assert judge.phi("a", 60.0) > 8
    judge.remove("a")
    judge.remove("a")
    assert judge.tick(2.0) == []


def test_small_delays_of_the_judge_are_no_stop() -> None:
    time = JudgeTime(0.1, 0.25, 0.0)
    assert [time.advance(now_s) for now_s in (0.1, 0.4, 0.7)] == [0.1, 0.4, 0.7]
    assert time.advance(10.8) == pytest.approx(0.8)
    assert time.advance(10.7) == pytest.approx(0.7)  # a clock that goes back loses nothing
