"""Measure Quorate and, where it is installed, etcd: `python -m benchmarks --help`.

`python -m benchmarks turns` measures what large requests do to others.
"""

import argparse
import datetime as dt
import fnmatch
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import (
    builds,
    clients,
    failover,
    goals,
    load,
    measure,
    pools,
    processes,
    profiles,
    report,
    turns,
)
from benchmarks.pools import Workload
from benchmarks.systems import MEMBERS, Etcd, Quorate, System, program_of

# The goals rest on these: measured several times, each system's turn in alternating order.
CENTRAL = [
    Workload("put", 64, "leader"),
    Workload("put", 1, "leader"),
    Workload("put", 1, "follower"),
    Workload("get", 64, "leader"),
]
OTHERS = [
    Workload("put", 64, "follower"),
    Workload("get", 1, "leader"),
    Workload("get", 1, "follower"),
    Workload("get", 64, "follower"),
    Workload("stale", 1, "leader"),
    Workload("stale", 1, "follower"),
    Workload("stale", 64, "leader"),
    Workload("stale", 64, "follower"),
]
TABLE_WIDTH = 100  # also where the output is no terminal
CLIENT = "client-64"
GAP = "fail-over"


class Plan(NamedTuple):
    """What to measure."""

    workloads: list[tuple[int, Workload]]  # with the number of the round
    seconds: float
    with_client: bool
    client_rounds: int
    kills: int


class Measured(NamedTuple):
    """What was found so far, by system."""

    runs: dict[str, dict[str, list[measure.Run]]]
    client_per_s: dict[str, list[float]]
    gaps: dict[str, failover.FailOver]
    memory: dict[str, dict[str, list[float]]]


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 2 s, one kill")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run")
    parser.add_argument("--rounds", type=int, help="runs behind the goals' medians: 3, or 9")
    parser.add_argument(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="compare with the build in another checkout, in alternating rounds",
    )
    parser.add_argument("--kills", type=int, default=3, help="fail-overs measured")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help=f"such as 'put-64-*', {CLIENT}, {GAP}; may be given several times",
    )
    parser.add_argument("--no-rival", action="store_true", help="leave etcd out")
    parser.add_argument("--profile", action="store_true", help="sample the servers too")
    parser.add_argument("--directory", type=Path, help="where data goes; a temporary one if unset")
    parser.add_argument("--label", default="", help="added to the name of the result file")
    parser.add_argument("--no-file", action="store_true", help="print only")
    return parser.parse_args(words)


def planned(options: argparse.Namespace) -> Plan:
    """Turn options into a plan."""
    rounds = options.rounds or (builds.ROUNDS_MIN if options.before else 3)
    rounds = 1 if options.quick else rounds
    kills = 1 if options.quick else options.kills
    wanted = options.only or ["*"]

    def is_wanted(name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in wanted)

    return Plan(
        [
            (number, workload)
            for number in range(rounds)
            for workload in [*CENTRAL, *(OTHERS if number == 0 and not options.before else [])]
            if is_wanted(workload.name)
        ],
        2.0 if options.quick else options.seconds,
        is_wanted(CLIENT) and not options.before,
        rounds,
        kills if is_wanted(GAP) and not options.before else 0,
    )


def in_turn(systems: Sequence[System], number: int) -> list[System]:
    """The systems in an order that alternates with `number`."""
    return list(systems) if number % 2 == 0 else list(reversed(systems))


def measured(systems: Sequence[System], plan: Plan, console: Console) -> Measured:
    """Do everything of a plan on running systems."""
    found = Measured({each.name: {} for each in systems}, {}, {}, {})
    steps = len(plan.workloads) * len(systems) + plan.client_rounds * plan.with_client
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=steps + plan.kills * len(systems))
        for turn, (_, workload) in enumerate(plan.workloads):
            for system in in_turn(systems, turn):
                progress.update(task, description=f"{workload.name} {system.name}")
                run = measure.run(system, workload, plan.seconds)
                found.runs[system.name].setdefault(workload.name, []).append(run)
                progress.advance(task)
        for _ in range(plan.client_rounds * plan.with_client):
            progress.update(task, description=CLIENT)
            per_s = clients.puts_per_s(systems[0], plan.seconds)
            found.client_per_s.setdefault(systems[0].name, []).append(per_s)
            progress.advance(task)
        for system in systems:
            found.memory[system.name] = memory(system)
        for system in systems if plan.kills else ():
            progress.update(task, description=f"{GAP} {system.name}")
            found.gaps[system.name] = failover.measure(system, plan.kills)
            progress.advance(task, plan.kills)
    return found


def memory(system: System) -> dict[str, list[float]]:
    """Resident memory of every member, with and without mapped files."""
    pids = [system.pid(member) for member in range(MEMBERS)]
    return {
        "rss_mib": [processes.rss_mib(pid) for pid in pids],
        "anonymous_mib": [processes.anonymous_mib(pid) for pid in pids],
    }


def figures_of(found: Measured) -> dict[str, goals.Figures]:
    """Medians of everything."""
    figures: dict[str, goals.Figures] = {}
    for system, by_name in found.runs.items():
        per_s = sorted(found.client_per_s.get(system, []))
        gap = found.gaps.get(system)
        figures[system] = goals.Figures(
            {name: measure.summary(runs) for name, runs in by_name.items()},
            per_s[len(per_s) // 2] if per_s else None,
            gap.median_s if gap else None,
        )
    return figures


def profiled(system: System, seconds: float, target: Path) -> Path | None:
    """Sample the leader and a follower under writes from 64 connections."""
    leader = system.leader()
    pids = {"leader": system.pid(leader), "follower": system.pid((leader + 1) % MEMBERS)}
    samplers = profiles.start(pids, seconds, target)
    load.run(system.address(leader), system.requests("put"), 64, seconds + 1)
    profiles.finish(samplers)
    return profiles.summarised(target, pids)


def prepared(systems: Sequence[System], console: Console, *, is_warmed: bool) -> None:
    """Start every system and give it its keys; builds that are compared get a log in use, too."""
    for system in systems:
        console.print(f"{system.name}: starting three members, writing the keys")
        system.start()
        leader = system.address(system.leader())
        load.send_all(leader, system.requests("put"))
        if is_warmed:
            load.send_all(leader, pools.warming_requests())


def main(words: Sequence[str]) -> int:
    """Measure, print, write the result file."""
    if words and words[0] == "turns":
        return turns.main(words[1:])
    options = parsed(words)
    plan = planned(options)
    console = Console(width=max(TABLE_WIDTH, Console().width))
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="quorate-bench-") as scratch:
        directory = Path(scratch)
        if report.filesystem(directory) == "tmpfs":
            console.print(f"{directory} is in memory, where fsync costs nothing: use --directory")
        systems: list[System] = [Quorate(directory / "quorate")]
        if options.before:
            program = program_of(options.before)
            systems.append(Quorate(directory / "before", builds.BEFORE, program))
        elif Etcd.is_installed() and not options.no_rival:
            systems.append(Etcd(directory / "etcd"))
        about: dict[str, Any] = {
            "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "commit": report.commit(),
            "command": " ".join(["python -m benchmarks", *words]),
            "seconds": plan.seconds,
            "machine": report.machine(directory),
        }
        if options.before:
            about["before"] = report.commit(options.before)
        label = options.label or ("compared" if options.before else "")
        label = label or ("quick" if options.quick else "part" if options.only else "")
        name = report.name_of(dt.datetime.now(dt.UTC).date(), about["commit"], label)
        try:
            prepared(systems, console, is_warmed=bool(options.before))
            about["systems"] = {
                each.name: {"version": each.version, "command": each.command} for each in systems
            }
            found = measured(systems, plan, console)
            if options.profile and profiles.profiler():
                target = report.RESULTS / f"{name}-profile"
                about["profile"] = str(profiled(systems[0], 2 * plan.seconds, target))
        finally:
            for system in systems:
                system.stop()
    figures = figures_of(found)
    compared = builds.changes(found.runs)
    rival = figures.get(Etcd.name)
    verdicts = goals.judged(figures[systems[0].name], rival) if rival else []
    report.show(console, figures, verdicts)
    if compared:
        report.show_changes(console, compared)
        about["changes"] = [each._asdict() for each in compared]
    about |= {"memory": found.memory, "gaps_s": {k: v.gaps_s for k, v in found.gaps.items()}}
    if not options.no_file:
        content = report.document(about, found.runs, figures, verdicts)
        console.print(f"{report.write(content, name)} after {time.monotonic() - began_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
