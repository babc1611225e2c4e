"""Twice: does a seed give the same trace in every process?

Each seed runs in two processes whose hashes of strings differ, and the digests of the traces are
compared. This finds what depends on the order of a set, on memory addresses or on a real clock.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from quorate.sim.run import run
from quorate.sim.swarm import HORIZON_S, plan_of

HASH_SEEDS = ("1", "4711")


def main(arguments: Sequence[str]) -> int:
    """In a process of its own: print the digest of each seed from `arguments`' first, in order."""
    first, seeds, horizon_s = int(arguments[0]), int(arguments[1]), float(arguments[2])
    for seed in range(first, first + seeds):
        result = run(plan_of(seed, horizon_s))
        line = f"{seed} {result.digest:08x} {result.actions} {result.failure or 'ok'}"
        print(line.splitlines()[0], flush=True)  # noqa: T201 - what the parent process compares
    return 0


def differing(first: int, seeds: int, jobs: int, horizon_s: float = HORIZON_S) -> list[int]:
    """The seeds whose traces differ between two processes.

    Args:
        first: The first seed.
        seeds: How many.
        jobs: Processes; at least two are used.
        horizon_s: Simulated seconds with faults.

    Raises:
        subprocess.CalledProcessError: A process broke off.
    """
    size = max(1, -(-seeds // max(1, jobs // 2)))
    chunks = [(at, min(size, first + seeds - at)) for at in range(first, first + seeds, size)]
    tasks = [(hash_seed, *chunk) for chunk in chunks for hash_seed in HASH_SEEDS]
    with ThreadPoolExecutor(max(2, jobs)) as pool:
        outputs = list(pool.map(_lines, tasks, [horizon_s] * len(tasks)))
    different: list[int] = []
    for one, other in zip(outputs[::2], outputs[1::2], strict=True):
        pairs = zip(one, other, strict=True)
        different += [int(line.split()[0]) for line, other_line in pairs if line != other_line]
    return different


def _lines(task: tuple[str, int, int], horizon_s: float) -> list[str]:
    hash_seed, first, seeds = task
    arguments = (str(first), str(seeds), str(horizon_s))
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-m", "quorate.sim.twice", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
