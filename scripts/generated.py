"""Generated mutants: change one thing after the other in a package, and see which tests notice.

    python scripts/generated.py                  paxos, wire and gate: half an hour
    python scripts/generated.py gate --list      and the mutants that nobody noticed

The museum (`scripts/museum.py`) has bugs that somebody had; here mutmut makes thousands of small
ones, and only the unit tests of the package judge them, so that a survivor shows where these say
too little. One that differs in a text only does not count: what it says concerns no rule.

Exit code 1 if a smaller share than in `PACKAGES` is noticed. docs/testing.md has the figures, and
says what is behind the survivors.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parent.parent

COPIED = ("src", "tests", "docs", "scripts", "pyproject.toml")


class Package(NamedTuple):
    """What is mutated, who judges, and what share of the mutants must be noticed."""

    mutated: str
    tests: tuple[str, ...]
    share_min: float


PACKAGES = {
    "paxos": Package(
        "src/quorate/paxos/*.py",
        (
            "tests/unit/paxos",
            "tests/golden",
            "tests/paper",
            "--deselect=tests/unit/paxos/test_seeds.py",  # judged by the museum's seeds
        ),
        0.91,
    ),
    "wire": Package("src/quorate/wire/*.py", ("tests/unit/wire",), 0.95),
    "gate": Package(
        "src/quorate/node/gate.py", ("tests/unit/node/test_gate.py", "tests/golden"), 0.8
    ),
}

_CONFIG = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{mutated}"]
also_copy = ["docs", "scripts"]
pytest_add_cli_args = ["-q", "-x", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = [{tests}]
"""

# Runs in the copy, where mutmut finds its configuration: what each survivor changes.
_SHOW = """
import sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
for name in sys.argv[1:]:
    path = "src/" + name.split(".x")[0].replace(".", "/") + ".py"
    print("\\0" + name + "\\n" + get_diff_for_mutant(name, path=path))
"""

_TEXT = re.compile(r"[fbr]?\"(?:[^\"\\]|\\.)*\"")


class Verdict(NamedTuple):
    """What became of the mutants of a package; `survivors` by name: what each changes."""

    mutants: int
    texts: int
    survivors: dict[str, str]

    @property
    def share(self) -> float:
        """Of the mutants, without those of texts: how many were noticed."""
        counted = self.mutants - self.texts
        return 1 - len(self.survivors) / counted


def judge(package: Package, folder: Path, jobs: int) -> Verdict:
    """Make the mutants of a package in a copy of the repository, and run its tests on each."""
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    tests = ", ".join(f'"{test}"' for test in package.tests)
    with (folder / "pyproject.toml").open("a") as file:
        file.write(_CONFIG.format(mutated=package.mutated, tests=tests))
    mutmut = [sys.executable, "-m", "mutmut"]
    run = subprocess.run(
        [*mutmut, "run", "--max-children", str(jobs)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    counts = re.findall(r"(\d+)/(\d+)", run.stdout)
    if not counts or counts[-1][0] != counts[-1][1]:
        raise SystemExit(f"mutmut did not get through:\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}")
    results = subprocess.run(
        [*mutmut, "results"], cwd=folder, capture_output=True, text=True, check=True
    )
    names = re.findall(r"^\s*(\S+): (?:survived|no tests)$", results.stdout, re.MULTILINE)
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SHOW, *names],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    changes = dict(part.split("\n", 1) for part in shown.split("\0")[1:])
    survivors = {name: text for name, text in changes.items() if not _is_of_text(text)}
    return Verdict(int(counts[-1][1]), len(changes) - len(survivors), survivors)


def _is_of_text(diff: str) -> bool:
    """Does a mutant differ in what a string says only?"""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = (
        "".join(_without_texts(line[1:]) for line in lines if line.startswith(sign))
        for sign in "-+"
    )
    return before == after


def _without_texts(line: str) -> str:
    is_error = "invariant(" in line or "raise " in line
    return _TEXT.sub('""', line.replace("None", '""') if is_error else line)


def main() -> int:
    """Read the arguments, run, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "packages", nargs="*", choices=[*PACKAGES, []], help="all, if none is named"
    )
    parser.add_argument("--list", action="store_true", help="print what survivors change")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    print("| Package | Mutants | Noticed | Of texts | Not noticed | Share |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)
    too_low = 0
    for name in options.packages or PACKAGES:
        package = PACKAGES[name]
        with tempfile.TemporaryDirectory(prefix="quorate-mutants-") as folder:
            verdict = judge(package, Path(folder), options.jobs)
        missed = len(verdict.survivors)
        noticed = verdict.mutants - verdict.texts - missed
        print(
            f"| `{name}` | {verdict.mutants} | {noticed} | {verdict.texts} | {missed} "
            f"| {verdict.share:.1%} |",
            flush=True,
        )
        for mutant, diff in sorted(verdict.survivors.items()) if options.list else ():
            print(f"\n{mutant}\n{diff}")
        if verdict.share < package.share_min:
            too_low += 1
            print(f"{name}: at least {package.share_min:.0%} must be noticed")
    return 1 if too_low else 0


if __name__ == "__main__":
    sys.exit(main())
