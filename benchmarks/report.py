"""Results as a table for people and as JSON for later."""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import load, processes
from benchmarks.builds import Change
from benchmarks.goals import Figures, Verdict
from benchmarks.measure import Run

RESULTS = Path(__file__).parent / "results"
REPOSITORY = Path(__file__).parent.parent
LIBRARIES = ("quorate", "uvloop", "httptools", "msgspec", "lmdb")


def commit(checkout: Path = REPOSITORY) -> str:
    """The short hash of a working tree's commit, with `-changed` if it differs from it."""
    head = _git(checkout, "rev-parse", "--short", "HEAD") or "no-commit"
    changed = _git(checkout, "status", "--porcelain", "--", "src", "benchmarks", "pyproject.toml")
    return f"{head}-changed" if changed else head


def _git(checkout: Path, *words: str) -> str:
    said = subprocess.run(
        ["git", "-C", str(checkout), *words], capture_output=True, text=True, check=False
    )
    return said.stdout.strip()


def machine(directory: Path) -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": processes.processor(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "filesystem": filesystem(directory),
        "generator": load.generator(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
    }


def filesystem(directory: Path) -> str:
    """The type of file system that holds a directory, such as `ext4`."""
    found, kind = "", "unknown"
    place = str(directory.resolve())
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mounted, type_, *_ = line.split()
        inside = place == mounted or place.startswith(mounted.rstrip("/") + "/")
        if inside and len(mounted) >= len(found):
            found, kind = mounted, type_
    return kind


def document(
    about: Mapping[str, Any],
    runs: Mapping[str, Mapping[str, Sequence[Run]]],
    figures: Mapping[str, Figures],
    verdicts: Sequence[Verdict],
) -> dict[str, Any]:
    """Everything of one measurement, as JSON will hold it.

    Args:
        about: Facts about the measurement: machine, commands, versions.
        runs: System name to workload name to its runs.
        figures: System name to what was measured.
        verdicts: How the goals stand; empty without a rival.
    """
    return {
        **about,
        "results": {
            system: {
                "workloads": {name: each._asdict() for name, each in of.workloads.items()},
                "client_per_s": of.client_per_s,
                "gap_s": of.gap_s,
                "runs": {
                    name: [{**each._asdict(), "load": each.load._asdict()} for each in every]
                    for name, every in runs.get(system, {}).items()
                },
            }
            for system, of in figures.items()
        },
        "goals": [
            {
                "about": each.goal.about,
                "limit": each.goal.limit,
                "at_least": each.goal.is_floor,
                "ratio": each.ratio,
                "verdict": each.word,
            }
            for each in verdicts
        ],
    }


def write(content: Mapping[str, Any], name: str) -> Path:
    """Write a result file; return where it is."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1, default=str) + "\n")
    return path


def name_of(today: dt.date, commit_: str, label: str) -> str:
    """The name of a result file: date, commit, and a label for what was no full run."""
    return "-".join(part for part in (today.isoformat(), commit_, label) if part)


def show_changes(console: Console, changes: Sequence[Change]) -> None:
    """Print how this build compares with the one before."""
    table = Table(title="this build over the one before, medians of rounds", title_justify="left")
    table.add_column("workload")
    for heading in ("rounds", "rate", "of rounds", "p50", "p99", "CPU"):
        table.add_column(heading, justify="right")
    for each in changes:
        spread = f"{each.rate_low:.2f}-{each.rate_high:.2f}"
        ratios = (each.p50, each.p99, each.cpu)
        table.add_row(
            each.workload,
            str(each.rounds),
            f"{each.rate:.3f}",
            spread,
            *(f"{ratio:.3f}" for ratio in ratios),
        )
    console.print(table)


def show(console: Console, figures: Mapping[str, Figures], verdicts: Sequence[Verdict]) -> None:
    """Print tables of what was measured."""
    console.print(_workloads(figures))
    for system, of in figures.items():
        if of.client_per_s is not None:
            console.print(
                f"{system}: our client in Python, 64 puts at once: {of.client_per_s:,.0f}/s"
            )
    for system, of in figures.items():
        if of.gap_s is not None:
            console.print(f"{system}: longest gap after kill -9 of the leader: {of.gap_s:.2f} s")
    if verdicts:
        console.print(_goals(verdicts))


def _workloads(figures: Mapping[str, Figures]) -> Table:
    table = Table(title="medians; CPU in µs of the servers per request", title_justify="left")
    for heading in ("workload", "system"):
        table.add_column(heading)
    for heading in ("per s", "p50 ms", "p99 ms", "CPU all", "leader", "a follower", "errors"):
        table.add_column(heading, justify="right")
    names = list(dict.fromkeys(name for each in figures.values() for name in each.workloads))
    for name in names:
        for system, of in figures.items():
            if (row := of.workloads.get(name)) is not None:
                table.add_row(
                    name,
                    system,
                    f"{row.per_s:,.0f}",
                    f"{row.p50_ms:.2f}",
                    f"{row.p99_ms:.2f}",
                    f"{row.cpu_us:.0f}",
                    f"{row.leader_cpu_us:.0f}",
                    f"{row.follower_cpu_us:.0f}",
                    str(row.errors),
                )
    return table


def _goals(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="goals", title_justify="left")
    table.add_column("ratio of")
    table.add_column("goal", justify="right")
    table.add_column("now", justify="right")
    table.add_column("verdict")
    for each in verdicts:
        sign = "at least" if each.goal.is_floor else "at most"
        now = "-" if each.ratio is None else f"{each.ratio:.2f}"
        table.add_row(each.goal.about, f"{sign} {each.goal.limit:g}", now, each.word)
    return table
