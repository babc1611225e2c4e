"""How soon failures are detected, and how often wrongly: `python -m benchmarks.detection`.

    python -m benchmarks.detection curve     a table and a chart of all detectors
    python -m benchmarks.detection gates     what must hold; exit code 1 if it does not

Virtual time. 25 subjects renew each second for an hour, and then fall silent; one judge looks every
0.1 s. What disturbs them: loaded cores delay a renewal by 50 ms on average (exponential); the
network adds 100 to 400 ms; of 10 segments one is lost, and sent again after 0.2 s, then 0.4, 0.8,
or when the next renewal has arrived (as TCP does with RACK); every subject stands still for 1.5 s
about once a minute, the judge about every two minutes, and twice an hour for 10 s. The judge that
ships runs beside timeouts.
"""

import argparse
import heapq
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from quorate.monitoring.judging import Judge, JudgeSettings, Liveness
from quorate.monitoring.renewals import AccrualSettings

SUBJECTS = 25
HOUR_S = 3600.0
TICK_S = 0.1
RENEWAL_S = 1.0
LOAD_S = 0.05
NETWORK_S = (0.1, 0.4)
LOSS = 0.1
RESEND_S = 0.2
STOP_S = 1.5
STOP_EVERY_S = 60.0
JUDGE_STOP_EVERY_S = 120.0
LONG_STOP_S = 10.0
LONG_STOPS = 2
AFTER_S = 30.0
BAR = 24


class Detector(Protocol):
    """What the run asks of a detector."""

    def on_renewal(self, subject: str, now_s: float) -> object:
        """Count a renewal."""
        ...

    def verdicts(self, now_s: float) -> list[tuple[str, Liveness]]:
        """What changed by time."""
        ...


class FixedTimeout:
    """Dead after so many seconds without a renewal, as simple detectors have it."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._last_s = {str(each): 0.0 for each in range(SUBJECTS)}
        self._dead: set[str] = set()

    def on_renewal(self, subject: str, now_s: float) -> object:
        """Count a renewal."""
        self._last_s[subject] = now_s
        self._dead.discard(subject)
        return None

    def verdicts(self, now_s: float) -> list[tuple[str, Liveness]]:
        """Who timed out."""
        late = [
            each
            for each, last_s in self._last_s.items()
            if now_s - last_s >= self._timeout_s and each not in self._dead
        ]
        self._dead.update(late)
        return [(each, Liveness.DEAD) for each in late]


class Shipped:
    """The judge that ships; with `stage`, what it calls suspect counts as its verdict."""

    def __init__(self, settings: JudgeSettings, stage: Liveness = Liveness.DEAD) -> None:
        self._judge = Judge(settings, 0.0)
        self._stage = stage
        for each in range(SUBJECTS):
            self._judge.add(str(each), 0.0)

    def on_renewal(self, subject: str, now_s: float) -> object:
        """Count a renewal."""
        return self._judge.on_renewal(subject, now_s)

    def verdicts(self, now_s: float) -> list[tuple[str, Liveness]]:
        """What changed by time."""
        return [each for each in self._judge.tick(now_s) if each.liveness is self._stage]


def _shipped(pause_s: float, stage: Liveness, *, distrusts: bool = True) -> Shipped:
    renewals = AccrualSettings(pause_s=pause_s)
    return Shipped(JudgeSettings(renewals, distrusts_itself=distrusts), stage)


DETECTORS: dict[str, Callable[[], Detector]] = {
    "timeout 2 s": lambda: FixedTimeout(2.0),
    "timeout 3 s": lambda: FixedTimeout(3.0),
    "timeout 5 s": lambda: FixedTimeout(5.0),
    "timeout 10 s": lambda: FixedTimeout(10.0),
    "suspect, pause 0.5 s": lambda: _shipped(0.5, Liveness.SUSPECT),
    "suspect, pause 1 s (default)": lambda: _shipped(1.0, Liveness.SUSPECT),
    "suspect, pause 2 s": lambda: _shipped(2.0, Liveness.SUSPECT),
    "suspect, pause 3 s": lambda: _shipped(3.0, Liveness.SUSPECT),
    "the default, trusting itself": lambda: _shipped(1.0, Liveness.SUSPECT, distrusts=False),
    "dead, pause 1 s (default)": lambda: _shipped(1.0, Liveness.DEAD),
    "dead, trusting itself": lambda: _shipped(1.0, Liveness.DEAD, distrusts=False),
}


class Stop(NamedTuple):
    """Something stands still from then until then."""

    from_s: float
    until_s: float


class Detected(NamedTuple):
    """What a detector did in one run.

    Attributes:
        mistakes: Verdicts on subjects that were there.
        after_s: From the last moment of each subject to the verdict on it; infinite: none came.
    """

    mistakes: int
    after_s: list[float]


def stops(rng: random.Random, every_s: float, end_s: float) -> list[Stop]:
    """Of 1.5 s, at random, not at the end."""
    found: list[Stop] = []
    at_s = rng.expovariate(1 / every_s)
    while at_s + STOP_S < end_s - STOP_S:
        found.append(Stop(at_s, at_s + STOP_S))
        at_s += STOP_S + rng.expovariate(1 / every_s)
    return found


def resumed_s(at_s: float, of: list[Stop]) -> float:
    """When something happens that is due at that time."""
    return next((each.until_s for each in of if each.from_s <= at_s < each.until_s), at_s)


def arrivals(rng: random.Random, end_s: float) -> list[float]:
    """When the renewals of one subject reach the judge's host, in order."""
    pauses = stops(rng, STOP_EVERY_S, end_s)
    found: list[float] = []
    at_s = rng.random()
    while at_s < end_s:
        sent_s = resumed_s(at_s + rng.expovariate(1 / LOAD_S), pauses)
        if sent_s >= end_s:
            break
        delay_s, resend_s = rng.uniform(*NETWORK_S), RESEND_S
        while rng.random() < LOSS:
            delay_s += resend_s
            resend_s *= 2
        found.append(sent_s + delay_s)
        at_s = max(at_s, sent_s - RENEWAL_S) + RENEWAL_S
    for number in range(len(found) - 2, -1, -1):
        found[number] = min(found[number], found[number + 1])
    return found


def run(make: Callable[[], Detector], seed: int, length_s: float = HOUR_S) -> Detected:
    """An hour of 25 subjects, and their silence after it."""
    rng = random.Random(seed)
    ends_s = {str(each): length_s + rng.random() for each in range(SUBJECTS)}
    queue = [(at_s, subject) for subject, end_s in ends_s.items() for at_s in arrivals(rng, end_s)]
    heapq.heapify(queue)
    pauses = stops(rng, JUDGE_STOP_EVERY_S, length_s)
    for number in range(LONG_STOPS):
        from_s = length_s * (number + 0.5) / LONG_STOPS
        pauses.append(Stop(from_s, from_s + LONG_STOP_S))
    detector = make()
    mistakes, after_s = 0, dict.fromkeys(ends_s, math.inf)
    now_s = 0.0
    while now_s < length_s + AFTER_S:
        now_s = resumed_s(now_s + TICK_S, pauses)
        for subject, _ in detector.verdicts(now_s):  # before it has read what came meanwhile
            if now_s < ends_s[subject]:
                mistakes += 1
            else:
                after_s[subject] = min(after_s[subject], now_s - ends_s[subject])
        while queue and queue[0][0] <= now_s:
            detector.on_renewal(heapq.heappop(queue)[1], now_s)
    return Detected(mistakes, list(after_s.values()))


class Point(NamedTuple):
    """One point of the curve."""

    mistakes_per_h: float
    p50_s: float
    p99_s: float


def point(name: str, seeds: int, length_s: float = HOUR_S) -> Point:
    """Over some seeds, 25 failures each."""
    found = [run(DETECTORS[name], seed, length_s) for seed in range(seeds)]
    after_s = sorted(each for one in found for each in one.after_s)
    mistakes = statistics.mean(each.mistakes for each in found) * HOUR_S / length_s
    return Point(mistakes, after_s[len(after_s) // 2], after_s[math.ceil(0.99 * len(after_s)) - 1])


def gates(seeds: int, length_s: float = HOUR_S) -> Iterator[tuple[str, bool]]:
    """What must hold, each with whether it does."""
    dead = point("dead, pause 1 s (default)", seeds, length_s)
    suspect = point("suspect, pause 1 s (default)", seeds, length_s)
    trusting = point("the default, trusting itself", seeds, length_s)
    timeout = point("timeout 5 s", seeds, length_s)
    wrong = dead.mistakes_per_h
    yield f"dead: {wrong:.2f} mistakes an hour = 0", wrong == 0
    yield f"dead: p99 after {dead.p99_s:.2f} s <= 6", dead.p99_s <= 6
    yield f"suspect: p99 after {suspect.p99_s:.2f} s <= 3.6", suspect.p99_s <= 3.6
    often, seldom = trusting.mistakes_per_h, suspect.mistakes_per_h
    yield f"suspect: trusting itself {often:.0f} >= 1.5 times {seldom:.0f}", often >= 1.5 * seldom
    control = timeout.mistakes_per_h
    yield f"timeout 5 s: {control:.0f} mistakes an hour >= 25", control >= SUBJECTS


def _curve(seeds: int) -> int:
    points = {name: point(name, seeds) for name in DETECTORS}
    print("| Detector | mistakes an hour, 25 subjects | detected: p50 | p99 |")
    print("|---|---|---|---|")
    for name, each in points.items():
        print(f"| {name} | {each.mistakes_per_h:.3g} | {each.p50_s:.2f} s | {each.p99_s:.2f} s |")
    most = max(math.log10(1 + each.mistakes_per_h) for each in points.values())
    slowest_s = max(each.p99_s for each in points.values())
    print(f"\n{'':30}{'detected, p99':{BAR + 9}}mistakes an hour, logarithmic")
    for name, each in points.items():
        late = "#" * round(BAR * each.p99_s / slowest_s)
        wrong = "x" * round(BAR * math.log10(1 + each.mistakes_per_h) / most)
        print(f"{name:30}{late:{BAR}}{each.p99_s:6.2f} s {wrong} {each.mistakes_per_h:.3g}")
    return 0


def _gates(seeds: int) -> int:
    is_held = True
    for text, holds in gates(seeds):
        print("ok  " if holds else "FAIL", text)
        is_held &= holds
    return 0 if is_held else 1


def main(words: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Detection time against mistakes, virtual time.")
    parser.add_argument("what", choices=["curve", "gates"])
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args(words)
    return _curve(options.seeds) if options.what == "curve" else _gates(options.seeds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
