"""Where the servers' time goes, while they are under load."""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

FREQUENCY = 500  # samples a second: odd enough beside 100 Hz ticks, light enough for two cores
ROWS = 45  # of each table

_PYTHON = re.compile(r" \((\S+\.py)(?::\d+)?\)$")
_WAITING = {"_queue_SimpleQueue_get", "epoll_pwait", "Event.wait (threading.py)"}
_SYSTEM = {"read", "write", "writev", "sendmsg", "fdatasync", "pwritev64v2", "pwrite64"}


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


class Shares(NamedTuple):
    """Parts of the samples in which something was running.

    Attributes:
        own: By the innermost Python function, what it calls natively included; system calls and
            functions without Python by their own name.
        whole: By every Python function on the stack, so that they add up to more than one.
        samples: How many there were.
    """

    own: dict[str, float]
    whole: dict[str, float]
    samples: int


def shares(stacks: Iterable[str]) -> Shares:
    """Sum up a profile of py-spy's.

    Args:
        stacks: Lines of frames joined by `;`, outermost first, then a space and how often that
            stack was seen. Threads that wait are left out.
    """
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in stacks:
        stack, _, times = line.rstrip().rpartition(" ")
        frames = stack.split(";")
        if not times.isdigit() or _WAITING & {_name(frame) for frame in frames[-6:]}:
            continue
        python = [_name(frame) for frame in frames if _PYTHON.search(frame)]
        leaf = _name(frames[-1])
        own[leaf if leaf in _SYSTEM or not python else python[-1]] += int(times)
        for name in set(python):
            whole[name] += int(times)
    total = sum(own.values())
    return Shares(
        {name: times / total for name, times in own.most_common()},
        {name: times / total for name, times in whole.most_common()},
        total,
    )


def _name(frame: str) -> str:
    """A frame without its line: `Function (file.py)`, or just the function if it is native."""
    place = _PYTHON.search(frame)
    return f"{frame[: place.start()]} ({place[1]})" if place else frame.partition(" (")[0]


def summarised(target: Path, roles: Iterable[str]) -> Path | None:
    """Write one short file out of the samples of all roles, and remove those; None if perf's."""
    lines: list[str] = []
    for role in roles:
        file = _file(target, role)
        if profiler() != "py-spy" or not file.exists():
            return None
        found = shares(file.read_text().splitlines())
        file.unlink()
        for title, part in (("by itself", found.own), ("with all it calls", found.whole)):
            lines += [f"{role}, {found.samples} samples, {title}", ""]
            lines += [f"{share:7.1%}  {name}" for name, share in list(part.items())[:ROWS]]
            lines.append("")
    path = target.with_name(f"{target.name}.txt")
    path.write_text("\n".join(lines))
    return path
