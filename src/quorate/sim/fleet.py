"""Fleet: runs many seeds on all cores, with a line of progress and a summary."""

import multiprocessing
import sys
import time
from collections import Counter, deque
from itertools import count
from multiprocessing.pool import AsyncResult
from typing import TextIO

import msgspec

from quorate.sim.run import Result, run
from quorate.sim.swarm import HORIZON_S, plan_of

PROGRESS_EVERY_S = 5.0


class Summary(msgspec.Struct):
    """What the runs have done."""

    seeds: int = 0
    simulated_s: float = 0.0
    took_s: float = 0.0
    operations: Counter[str] = msgspec.field(default_factory=Counter[str])
    faults: Counter[str] = msgspec.field(default_factory=Counter[str])
    failures: list[Result] = msgspec.field(default_factory=list[Result])

    def add(self, result: Result) -> None:
        """Count one run."""
        self.seeds += 1
        self.simulated_s += result.simulated_s
        self.operations.update(result.operations)
        self.faults.update(result.faults)
        if result.failure:
            self.failures.append(result)

    def lines(self) -> list[str]:
        """As text."""
        faults = ", ".join(f"{kind} {n}" for kind, n in sorted(self.faults.items()))
        operations = ", ".join(f"{kind} {n}" for kind, n in sorted(self.operations.items()))
        rate = self.seeds / self.took_s if self.took_s else 0.0
        return [
            f"seeds       {self.seeds} ({rate:.1f}/s), failed {len(self.failures)}",
            f"simulated   {self.simulated_s / 3600:.2f} h in {self.took_s:.0f} s",
            f"operations  {operations}",
            f"faults      {faults}",
        ]


def run_seed(seed: int) -> Result:
    """Run one seed, in a process of the pool."""
    return run(plan_of(seed, HORIZON_S))


def run_seeds(
    first: int, for_s: float | None, seeds: int | None, jobs: int, out: TextIO = sys.stdout
) -> Summary:
    """Run consecutive seeds until time or number is up.

    Args:
        first: The first seed.
        for_s: Real seconds; None: no limit.
        seeds: How many; None: no limit.
        jobs: Processes.
        out: Gets progress and failures.
    """
    summary, began_s, reported_s = Summary(), time.monotonic(), time.monotonic()
    until_s = began_s + for_s if for_s is not None else float("inf")
    numbers = iter(range(first, first + seeds) if seeds is not None else count(first))
    waiting: deque[AsyncResult[Result]] = deque()
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        while True:
            while len(waiting) < 2 * jobs and time.monotonic() < until_s:
                seed = next(numbers, None)
                if seed is None:
                    break
                waiting.append(pool.apply_async(run_seed, (seed,)))
            if not waiting:
                break
            result = waiting.popleft().get()
            summary.add(result)
            now_s = time.monotonic()
            if result.failure:
                print(f"seed {result.seed} failed: {result.failure}", file=out, flush=True)
            if now_s - reported_s >= PROGRESS_EVERY_S:
                reported_s = now_s
                print(
                    f"{now_s - began_s:5.0f} s  {summary.seeds} seeds, "
                    f"{summary.simulated_s / 3600:.1f} h simulated, "
                    f"{len(summary.failures)} failed",
                    file=out,
                    flush=True,
                )
    summary.took_s = time.monotonic() - began_s
    return summary
