"""The museum of mutants: plant each known bug, and see who finds it.

    python scripts/museum.py                    all of tests/mutants
    python scripts/museum.py M03 M17 --seeds 400

Each `tests/mutants/*.patch` is one bug, as a unified diff of `src` below a few header lines:

    Bug: the leader counts its own vote before it is durable
    Killed-by: tests/unit/paxos/test_leadership.py::test_an_accept_leaves_at_once
    Killed-by: seed 12
    Seeds: none, and why chance does not find it

A copy of the repository gets the patch; then the named tests run, then seeds of the simulator
until one fails. The named tests must pass without the patch, and each must fail with it. A seed
that is named runs first; `Seeds: none …` says that nobody should search for one.

Exit code 1 if a mutant survives, a named test does not kill it, or a patch no longer applies.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parent.parent
MUTANTS = REPOSITORY / "tests/mutants"

SEEDS = 200
"""So many seeds are tried before a mutant counts as found by no seed."""

SEED_S = 60
"""A seed that takes more seconds of this processor does not end: that is a failure too."""

MEMORY_BYTES = 2 * 1024**3
"""A seed that takes more floods: a failure likewise."""

TESTS_S = 600
SEARCH_S = 3600

# Runs in a process of its own: the seeds given, until one fails.
_SEARCH = f"""
import resource, signal, sys
from quorate.sim.fleet import run_seed
from quorate.sim.run import UNDECIDED
def late(*_):
    raise TimeoutError("it does not end")
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))
    signal.signal(signal.SIGVTALRM, late)
    for seed in map(int, sys.argv[1:]):
        signal.setitimer(signal.ITIMER_VIRTUAL, {SEED_S})
        try:
            failure = run_seed(seed).failure
        except BaseException as error:
            failure = repr(error)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if failure and not failure.startswith(UNDECIDED):
            print(seed, failure.splitlines()[0], flush=True)
            break
"""


class Mutant(NamedTuple):
    """One bug, as its patch says."""

    path: Path
    bug: str
    tests: tuple[str, ...]
    seeds: tuple[int, ...]
    no_seeds: str

    @property
    def number(self) -> str:
        """The name for people: `M03`, `M05b`."""
        return self.path.stem.partition("-")[0]


class Verdict(NamedTuple):
    """Who found a mutant. `error` is "" if all is as it should be."""

    mutant: Mutant
    error: str
    tests: tuple[str, ...] = ()
    seed: int | None = None
    tried: int = 0
    failure: str = ""


def read(path: Path) -> Mutant:
    """A mutant by its patch.

    Raises:
        ValueError: Its name or header says too little.
    """
    if re.fullmatch(r"M\d\d[a-z]?(-[a-z0-9]+)+\.patch", path.name) is None:
        raise ValueError(f"{path.name}: not named like M03-own-vote-counted-early.patch")
    head, separator, _ = path.read_text().partition("\n--- a/src/")
    if not separator:
        raise ValueError(f"{path.name}: no diff of src")
    fields = [line.split(": ", 1) for line in head.splitlines() if ": " in line]
    bugs = [text for name, text in fields if name == "Bug"]
    killers = [text for name, text in fields if name == "Killed-by"]
    if len(bugs) != 1 or not killers:
        raise ValueError(f"{path.name}: one Bug and at least one Killed-by are wanted")
    return Mutant(
        path,
        bugs[0],
        tuple(killer for killer in killers if "::" in killer),
        tuple(int(killer[5:]) for killer in killers if re.fullmatch(r"seed \d+", killer)),
        next((text for name, text in fields if name == "Seeds" and text.startswith("none")), ""),
    )


def collect(names: Sequence[str] = ()) -> list[Mutant]:
    """All mutants in order, or those whose file names begin so."""
    mutants = [read(path) for path in sorted(MUTANTS.glob("*.patch"))]
    if not names:
        return mutants
    return [one for one in mutants if one.path.name.startswith(tuple(names))]


def apply(mutant: Mutant, tree: Path, *, check_only: bool = False) -> str:
    """Patch a tree, or only ask whether that would do; what git objects, else ""."""
    git = shutil.which("git") or "git"
    command = [git, "apply", *(["--check"] if check_only else []), str(mutant.path)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stderr.strip() if done.returncode else ""


def copy_to(tree: Path) -> None:
    """What tests and seeds need."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in ("src", "tests"):
        shutil.copytree(REPOSITORY / folder, tree / folder, ignore=ignored)
    shutil.copy(REPOSITORY / "pyproject.toml", tree)


def python(tree: Path, arguments: Sequence[str], within_s: float) -> tuple[int, str]:
    """Run Python on a tree; exit code (-1: it did not end) and output."""
    search = os.pathsep.join((str(tree / "src"), str(tree)))
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, *arguments],
            cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=within_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return -1, ""
    return done.returncode, done.stdout


def failing(tree: Path, tests: Sequence[str]) -> tuple[list[str], str]:
    """Which of these tests fail on a tree; and what went wrong apart from that, else ""."""
    if not tests:
        return [], ""
    options = ["-q", "-rf", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
    code, text = python(tree, ["-m", "pytest", *options, *tests], TESTS_S)
    if code not in (0, 1):
        return [], f"the tests do not run: {text.strip()[-300:]}"
    failed = re.findall(r"^FAILED (\S+)", text, re.MULTILINE)
    return [test for test in tests if any(_is_of(one, test) for one in failed)], ""


def _is_of(failed: str, test: str) -> bool:
    return failed == test or failed.startswith(f"{test}[")


def search(tree: Path, seeds: Sequence[int]) -> tuple[int | None, str]:
    """The first of these seeds that fails, and how."""
    code, text = python(tree, ["-c", _SEARCH, *map(str, seeds)], SEARCH_S)
    if code != 0:
        return None, f"the simulator does not run: {text.strip()[-300:]}"
    found = text.strip().splitlines()
    if not found:
        return None, ""
    seed, _, failure = found[-1].partition(" ")
    return int(seed), failure


def examine(mutant: Mutant, seeds: range) -> Verdict:
    """Plant one mutant in a fresh copy, and see who finds it."""
    with tempfile.TemporaryDirectory(prefix=f"museum-{mutant.number}-") as folder:
        tree = Path(folder)
        copy_to(tree)
        objection = apply(mutant, tree)
        if objection:
            return Verdict(mutant, f"the patch does not apply: {objection}")
        code, text = python(tree, ["-c", "import quorate.sim.run, quorate.runtime.wal"], TESTS_S)
        if code:
            return Verdict(mutant, f"it does not even start: {text.strip()[-300:]}")
        failed, error = failing(tree, mutant.tests)
        idle = [test for test in mutant.tests if test not in failed]
        if idle and not error:
            error = f"{', '.join(idle)} does not kill it"
        wanted = range(0) if mutant.no_seeds else seeds
        numbers = list(dict.fromkeys((*mutant.seeds, *wanted)))
        seed, failure = search(tree, numbers) if numbers else (None, "")
        if seed is None and failure and not error:
            error = failure
        if seed is None and not failed and not error:
            error = "it survives"
        tried = numbers.index(seed) + 1 if seed is not None else len(numbers)
        return Verdict(mutant, error, tuple(failed), seed, tried, failure)


def innocent(mutants: Sequence[Mutant]) -> str:
    """Do the named tests pass without any mutant? What is wrong, else ""."""
    with tempfile.TemporaryDirectory(prefix="museum-") as folder:
        tree = Path(folder)
        copy_to(tree)
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        failed, error = failing(tree, tests)
        return error or (f"fail without a mutant: {', '.join(failed)}" if failed else "")


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """The matrix, in Markdown."""
    lines = ["| Mutant | Bug | Killed by test | By seed | Within |", "|---|---|---|---|---|"]
    for verdict in verdicts:
        tests = "<br>".join(f"`{test.rpartition('::')[2]}`" for test in verdict.tests) or "none"
        seed = "none" if verdict.seed is None else str(verdict.seed)
        within = str(verdict.tried) if verdict.tried else "not sought"
        lines.append(
            f"| {verdict.mutant.number} | {verdict.mutant.bug} | {tests} | {seed} | {within} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, examine, print the matrix, and give the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="only mutants whose names begin so")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="tried at most, per mutant")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    options = parser.parse_args(arguments)
    mutants = collect(options.names)
    error = innocent(mutants)
    if error or not mutants:
        print(error or "no such mutant", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    verdicts: list[Verdict] = []
    seeds = range(options.first, options.first + options.seeds)
    with ThreadPoolExecutor(options.jobs) as pool:
        for verdict in pool.map(examine, mutants, [seeds] * len(mutants)):
            verdicts.append(verdict)
            found = f"seed {verdict.seed}: {verdict.failure}" if verdict.seed is not None else ""
            word = verdict.error or f"{len(verdict.tests)} tests, {found or 'no seed'}"
            print(f"{verdict.mutant.number:6} {word}", file=sys.stderr, flush=True)  # noqa: T201
    print("\n".join(table(verdicts)))  # noqa: T201 - a command's output
    bad = [verdict for verdict in verdicts if verdict.error]
    print(f"{len(verdicts)} mutants, {len(bad)} not as they should be", file=sys.stderr)  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
