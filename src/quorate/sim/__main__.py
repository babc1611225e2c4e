"""`python -m quorate.sim`: one seed, or as many as time allows.

The last line says `seed N ok … digest D`, or `seed N failed: …` with how to replay it; then the
exit code is 1.
"""

import argparse
import os
import random
import sys

from quorate.sim.fleet import run_seeds
from quorate.sim.minimise import minimise
from quorate.sim.run import Result, run
from quorate.sim.swarm import HORIZON_S, Plan, plan_of
from quorate.sim.twice import HASH_SEEDS, differing


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments, run, and give the exit code."""
    options = _parser().parse_args(arguments)
    is_one = options.seeds is None and options.seconds is None and not options.twice
    if options.seed is not None and is_one:
        return one(options.seed, options.steps, has_trace=options.trace, is_small=options.minimise)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    print(f"first seed {first}, {options.jobs} jobs", flush=True)
    if options.twice:
        return both(first, options.seeds or 1, options.jobs)
    seconds = options.seconds if options.seconds or options.seeds else 60.0
    summary = run_seeds(first, seconds, options.seeds, options.jobs)
    print("\n".join(summary.lines()))
    if not summary.failures:
        print(f"seeds {first} to {first + summary.seeds - 1} ok")
        return 0
    worst = min(summary.failures, key=lambda result: result.actions)
    return one(worst.seed, None, has_trace=False, is_small=True)


def one(seed: int, steps: float | None, *, has_trace: bool, is_small: bool) -> int:
    """Run one seed; the exit code.

    Args:
        seed: Which.
        steps: Simulated seconds with faults; None: the usual.
        has_trace: Print what happens.
        is_small: Look for a smaller plan that fails alike.
    """
    plan = plan_of(seed, steps if steps is not None else HORIZON_S)
    result = run(plan, print if has_trace else None)
    if not result.failure:
        print(
            f"seed {seed} ok: {result.simulated_s:.1f} s simulated, {result.slots} slots, "
            f"{sum(result.operations.values())} operations, {sum(result.faults.values())} faults, "
            f"digest {result.digest:08x}"
        )
        return 0
    if is_small:
        _explain(plan, result)
    horizon = f" --steps {steps:g}" if steps is not None else ""
    print(
        f"seed {seed} failed: {result.failure}; replay with: "
        f"python -m quorate.sim --seed {seed}{horizon} --trace"
    )
    return 1


def both(first: int, seeds: int, jobs: int) -> int:
    """Run seeds in two processes each and compare; the exit code."""
    different = differing(first, seeds, jobs)
    for seed in different:
        print(
            f"seed {seed} differs; compare the traces of PYTHONHASHSEED={' and '.join(HASH_SEEDS)} "
            f"python -m quorate.sim --seed {seed} --trace"
        )
    if not different:
        print(f"seeds {first} to {first + seeds - 1} have the same trace in every process")
    return 1 if different else 0


def _explain(plan: Plan, result: Result) -> None:
    """Show the smallest plan found that fails."""
    small = minimise(plan, lambda candidate: bool(run(candidate).failure))
    print(
        f"{len(plan.faults)} faults in {plan.horizon_s:g} s, of which these in "
        f"{small.horizon_s:g} s are enough:"
    )
    for fault in small.faults:
        print(f"  {fault.at_s:8.3f} s  {fault.kind} for {fault.for_s:.3f} s")
    failure = run(small).failure
    if failure != result.failure:
        print(f"the smaller run fails with: {failure}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quorate.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="the seed to run, or the first of many")
    parser.add_argument("--seeds", type=int, help="run so many seeds")
    parser.add_argument("--steps", type=float, help="simulated seconds with faults")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--minimise", action="store_true", help="shorten a failing run")
    parser.add_argument("--for", dest="seconds", type=float, help="run seeds for so many seconds")
    parser.add_argument(
        "--twice", action="store_true", help="run each seed in two processes, compare the traces"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
