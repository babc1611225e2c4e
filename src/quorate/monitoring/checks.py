"""The state of one check: its status and output, and when it is due next.

A TTL check is due when its heartbeat is overdue, any other when its next probe is to begin. The
statuses of an alias come from the checks it names, so it is never due.

MON-1: a probe's result changes the status only after as many equal results in a row as the check
    asks for; a heartbeat changes it at once.
MON-2: a heartbeat costs O(1), however many checks there are: it moves the deadline of its own.

Source: https://developer.hashicorp.com/consul/docs/services/usage/checks.
"""

from collections.abc import Iterable
from math import inf

import msgspec

PASSING, WARNING, CRITICAL = "passing", "warning", "critical"
STATUSES = (PASSING, WARNING, CRITICAL)
_SEVERITY = {PASSING: 0, WARNING: 1, CRITICAL: 2}

OUTPUT_BYTES_MAX = 4096
"""What is kept of an output by default."""

EXPIRED = "TTL expired"
_EXPIRED_WITH = "TTL expired (last output before timeout follows): "


class Rules(msgspec.Struct, frozen=True):
    """When a check is due, and when its results count. Times in seconds; 0: not given.

    Attributes:
        ttl_s: A heartbeat must arrive within this time.
        interval_s: A probe begins this long after the last one ended.
        successes: So many in a row make it passing or warning; 0: as 1.
        failures_warning: So many failures in a row make it warning; 0: as `failures_critical`.
        failures_critical: So many make it critical; 0: as 1.
        deregister_after_s: It is to be removed when it has been critical for so long.
    """

    ttl_s: float = 0.0
    interval_s: float = 0.0
    successes: int = 0
    failures_warning: int = 0
    failures_critical: int = 0
    deregister_after_s: float = 0.0


class CheckState:
    """The state of one check.

    Args:
        rules: Of its definition.
        status, output: At first.
        now_s: Monotonic seconds.
        chance: In [0, 1): which part of its interval passes before its first probe.

    Attributes:
        status, output: Now.
        due_s: When it is due; infinity: never.
        critical_since_s: Since when it has been critical; infinity: it is not.
    """

    __slots__ = (
        "_failures",
        "_rules",
        "_successes",
        "critical_since_s",
        "due_s",
        "output",
        "status",
    )

    def __init__(self, rules: Rules, status: str, output: str, now_s: float, chance: float) -> None:
        self._rules = rules
        self.status = status
        self.output = output
        self._successes = self._failures = 0
        self.critical_since_s = now_s if status == CRITICAL else inf
        if rules.ttl_s > 0:
            self.due_s = now_s + rules.ttl_s
        elif rules.interval_s > 0:
            self.due_s = now_s + rules.interval_s * chance
        else:
            self.due_s = inf

    @property
    def removal_due_s(self) -> float:
        """When it is to be removed because it stays critical; infinity: never."""
        after_s = self._rules.deregister_after_s
        return self.critical_since_s + after_s if after_s > 0 else inf

    def heartbeat(self, status: str, output: str, now_s: float) -> bool:
        """Take a heartbeat, which sets the status; True if that is another one."""
        self.due_s = now_s + self._rules.ttl_s
        return self.change(status, output, now_s)

    def expire(self, now_s: float, bytes_max: int = OUTPUT_BYTES_MAX) -> bool:
        """No heartbeat came in time; True if the status is another one now."""
        self.due_s = inf  # until the next heartbeat
        text = f"{_EXPIRED_WITH}{self.output}" if self.output else EXPIRED
        return self.change(CRITICAL, capped(text, bytes_max), now_s)

    def begin_probe(self) -> None:
        """A probe begins: the next one is due when it has ended."""
        self.due_s = inf

    def end_probe(self, status: str | None, output: str, now_s: float) -> bool:
        """Take the result of a probe; True if the status is another one now.

        Args:
            status: None: the probe says nothing about the status.
            output: What it found.
            now_s: Monotonic seconds.
        """
        self.due_s = now_s + self._rules.interval_s
        counted = self._counted(status)
        return counted is not None and self.change(counted, output, now_s)

    def _counted(self, status: str | None) -> str | None:
        """The status after this result; None: too few were equal in a row."""
        rules = self._rules
        if status is None:
            return None
        if status != CRITICAL:
            self._successes, self._failures = self._successes + 1, 0
            return status if self._successes >= rules.successes else None
        self._successes, self._failures = 0, self._failures + 1
        if self._failures >= rules.failures_critical:
            return CRITICAL
        wanted = rules.failures_warning or rules.failures_critical
        return WARNING if self._failures >= wanted else None

    def change(self, status: str, output: str, now_s: float) -> bool:
        """Set status and output; True if the status is another one."""
        self.output = output
        if status == self.status:
            return False
        self.status = status
        self.critical_since_s = now_s if status == CRITICAL else inf
        return True


def worst(statuses: Iterable[str]) -> str:
    """The worst status; passing if there is none. An unknown word counts as critical."""
    return max(statuses, key=lambda status: _SEVERITY.get(status, 2), default=PASSING)


def capped(output: str, bytes_max: int = OUTPUT_BYTES_MAX) -> str:
    """The output of a heartbeat, cut at a limit."""
    if len(output) * 4 <= bytes_max:
        return output
    data = output.encode()
    if len(data) <= bytes_max:
        return output
    kept = data[:bytes_max].decode(errors="ignore")
    return f"{kept} ... (captured {bytes_max} of {len(data)} bytes)"
