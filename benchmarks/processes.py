"""What the kernel knows about a process: CPU time and memory."""

import os
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Seconds of CPU a process has used so far, all its threads together."""

    user_s: float
    system_s: float

    @property
    def cpu_s(self) -> float:
        """Both together."""
        return self.user_s + self.system_s


def usage(pid: int) -> Usage:
    """CPU time used by a process so far; resolution 10 ms, so measure over seconds."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return Usage(int(fields[11]) / _TICKS_PER_S, int(fields[12]) / _TICKS_PER_S)


def rss_mib(pid: int) -> float:
    """Resident memory of a process in MiB, shared file mappings included."""
    return _status_kib(pid, "VmRSS") / 1024


def anonymous_mib(pid: int) -> float:
    """Resident memory of a process in MiB without the files it maps."""
    return _status_kib(pid, "RssAnon") / 1024


def _status_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    return 0


def processor() -> str:
    """The name of this machine's processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown"
