"""Where the servers' time goes, while they are under load."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

FREQUENCY = 500  # samples a second: odd enough beside 100 Hz ticks, light enough for two cores


def profiler() -> str:
    """The profiler that will be used: `py-spy`, `perf`, or empty if none is installed."""
    return next((name for name in ("py-spy", "perf") if shutil.which(name)), "")


def start(pids: Mapping[str, int], seconds: float, target: Path) -> list[subprocess.Popen[bytes]]:
    """Begin to sample processes; returns at once.

    Args:
        pids: Role (`leader`, `follower`) to process.
        seconds: How long.
        target: Where results go: `<target>-<role>.txt`.

    Returns:
        The profilers; hand them to `finish` when the load is over.
    """
    return [_start_one(pid, seconds, _file(target, role)) for role, pid in pids.items()]


def _file(target: Path, role: str) -> Path:
    return target.with_name(f"{target.name}-{role}.txt")


def _start_one(pid: int, seconds: float, file: Path) -> subprocess.Popen[bytes]:
    if profiler() == "py-spy":
        words = [
            "py-spy", "record", "--pid", str(pid), "--duration", str(round(seconds)),
            "--rate", str(FREQUENCY), "--native", "--threads", "--format", "raw",
            "--output", str(file),
        ]  # fmt: skip
    else:
        data = Path(tempfile.gettempdir()) / f"perf-{pid}.data"
        record = f"perf record -q -F {FREQUENCY} -g -p {pid} -o {data} -- sleep {seconds:g}"
        report = f"perf report -i {data} --stdio --no-children -g none --percent-limit 0.3"
        words = ["sh", "-c", f"{record} && {report} > {file}; rm -f {data}"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(profilers: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the results are written."""
    for each in profilers:
        each.wait(120)


def top(file: Path, count: int = 15) -> list[tuple[str, float]]:
    """The functions that are on top of most samples of a py-spy profile, with their part.

    Args:
        file: One line per stack: frames joined by `;`, then a space and how often it was seen.
        count: How many to name.
    """
    seen: dict[str, int] = {}
    for line in file.read_text().splitlines():
        stack, _, times = line.rpartition(" ")
        if times.isdigit():
            leaf = stack.rpartition(";")[2]
            seen[leaf] = seen.get(leaf, 0) + int(times)
    total = sum(seen.values()) or 1
    ordered = sorted(seen.items(), key=lambda item: -item[1])
    return [(name, times / total) for name, times in ordered[:count]]
