"""Runs the probes of an agent, some at a time, each with a deadline.

PRB-1: at most `PROBES_MAX` probes run at once; others wait in the order in which they were due.
PRB-2: a probe that does not end by the timeout of its check is cancelled, and counts as critical;
    silence of a UDP target says nothing.
PRB-3: whatever a probe raises is its result: critical, with its text up to `ERROR_BYTES_MAX`; it
    ends nothing else. That this process has no free descriptor says nothing about the target.
PRB-4: a check of a kind that cannot be probed here is refused when it is registered, and one that
    was registered before, under other settings, is critical and says why.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from quorate.base.durations import go_duration
from quorate.localstate.ports import ProbeRefusal
from quorate.monitoring.checks import CRITICAL, capped
from quorate.monitoring.definitions import SECOND_NS, CheckDefinition
from quorate.runtime.descriptors import SHORTAGE
from quorate.runtime.probes.docker import probe_docker
from quorate.runtime.probes.found import ERROR_BYTES_MAX, ProbeError, ProbeFinding
from quorate.runtime.probes.http2 import probe_grpc, probe_h2ping
from quorate.runtime.probes.programs import run_program
from quorate.runtime.probes.sockets import probe_tcp, probe_udp
from quorate.runtime.probes.systemd import probe_os_service
from quorate.runtime.probes.web import probe_http

PROBES_MAX = 128
WAITING_MAX = 50_000
"""Probes that wait; each check has one at most, so an agent cannot have more."""

TIMEOUT_NS = 10 * SECOND_NS
SCRIPT_TIMEOUT_NS = 30 * SECOND_NS
"""Where the check gives none."""

LOCAL_SCRIPTS_DISABLED = (
    "Scripts are disabled on this agent; "
    "to enable, configure 'enable_script_checks' or 'enable_local_script_checks' to true"
)
SCRIPTS_DISABLED = (
    "Scripts are disabled on this agent from remote calls; "
    "to enable, configure 'enable_script_checks' to true"
)

_PROGRAMS = frozenset({"script", "docker"})

ProbeDone = Callable[[str | None, str], None]


class Probe(Protocol):
    """Probes once. May raise anything; is cancelled at the timeout of the check."""

    def __call__(self, definition: CheckDefinition, bytes_max: int, /) -> Awaitable[ProbeFinding]:
        """See above.

        Args:
            definition: Of the check.
            bytes_max: What is kept of an output.
        """
        ...


async def _tcp(definition: CheckDefinition, _: int) -> ProbeFinding:
    return await probe_tcp(definition)


async def _udp(definition: CheckDefinition, _: int) -> ProbeFinding:
    return await probe_udp(definition)


async def _script(definition: CheckDefinition, bytes_max: int) -> ProbeFinding:
    return await run_program(definition.args, bytes_max)


async def _os_service(definition: CheckDefinition, _: int) -> ProbeFinding:
    return await probe_os_service(definition)


PROBES: dict[str, Probe] = {
    "docker": probe_docker,
    "grpc": probe_grpc,
    "h2ping": probe_h2ping,
    "http": probe_http,
    "os_service": _os_service,
    "script": _script,
    "tcp": _tcp,
    "udp": _udp,
}
"""What probes each kind of check."""


class ProbeRunner:
    """Runs probes. Fills `localstate.ports.Probes`.

    Args:
        bytes_max: What is kept of an output, unless a check keeps less.
        runs_scripts: Checks that run programs are allowed.
        runs_local_scripts: Those of the configuration are; None: as others.
        probes: By kind.
    """

    def __init__(
        self,
        bytes_max: int,
        *,
        runs_scripts: bool,
        runs_local_scripts: bool | None = None,
        probes: dict[str, Probe] | None = None,
    ) -> None:
        self._bytes_max = bytes_max
        self._runs_scripts = runs_scripts
        is_like_others = runs_local_scripts is None
        self._runs_local_scripts = runs_scripts if is_like_others else runs_local_scripts
        self._probes = PROBES if probes is None else probes
        self._waiting: deque[tuple[CheckDefinition, ProbeDone, bool]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def refusal(
        self, definition: CheckDefinition, *, is_configured: bool = False
    ) -> ProbeRefusal | None:
        """See `localstate.ports.Probes.refusal` (PRB-4)."""
        kind = definition.kind
        is_allowed = self._runs_local_scripts if is_configured else self._runs_scripts
        if kind in _PROGRAMS and not is_allowed:
            text = LOCAL_SCRIPTS_DISABLED if is_configured else SCRIPTS_DISABLED
            return ProbeRefusal(text, is_by_setting=True)
        return (
            None if kind in self._probes else ProbeRefusal(f"checks of type {kind} are not built")
        )

    def start(
        self, definition: CheckDefinition, done: ProbeDone, *, is_configured: bool = False
    ) -> None:
        """See `localstate.ports.Probes.start`."""
        if len(self._tasks) < PROBES_MAX:
            self._run(definition, done, is_configured)
        elif len(self._waiting) < WAITING_MAX:
            self._waiting.append((definition, done, is_configured))
        else:
            done(None, "")

    async def stop(self) -> None:
        """Cancel all probes, and wait for their end."""
        self._waiting.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def idle(self) -> None:
        """Wait until no probe runs or waits."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _run(self, *probe: *tuple[CheckDefinition, ProbeDone, bool]) -> None:
        task = asyncio.get_running_loop().create_task(self._probed(*probe))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            while self._waiting and len(self._tasks) < PROBES_MAX:
                self._run(*self._waiting.popleft())

    async def _probed(
        self,
        definition: CheckDefinition,
        done: ProbeDone,
        is_configured: bool,
    ) -> None:
        refusal = self.refusal(definition, is_configured=is_configured)
        if refusal is not None:
            found = ProbeFinding(CRITICAL, refusal.text)
        else:
            found = await self._found(definition)
        done(found.status, found.output)

    async def _found(self, definition: CheckDefinition) -> ProbeFinding:
        limit_ns = timeout_ns(definition)
        bytes_max = min(definition.output_bytes_max or self._bytes_max, self._bytes_max)
        probe = self._probes[definition.kind]
        try:
            async with asyncio.timeout(limit_ns / SECOND_NS):
                return await probe(definition, bytes_max)
        except TimeoutError:
            return late(definition, limit_ns)
        except Exception as error:  # noqa: BLE001 - it is the result
            cause = error.__cause__ if isinstance(error, ProbeError) else error
            is_ours = isinstance(cause, OSError) and cause.errno in SHORTAGE
            text = capped(str(error) or type(error).__name__, ERROR_BYTES_MAX)
            return ProbeFinding(None if is_ours else CRITICAL, text)


def timeout_ns(definition: CheckDefinition) -> int:
    """After how many nanoseconds a probe is cancelled."""
    default_ns = SCRIPT_TIMEOUT_NS if definition.kind in _PROGRAMS else TIMEOUT_NS
    return definition.timeout_ns if definition.timeout_ns > 0 else default_ns


def late(definition: CheckDefinition, limit_ns: int) -> ProbeFinding:
    """The result of a probe that did not end in time."""
    kind, limit = definition.kind, go_duration(limit_ns)
    if kind == "udp":
        return ProbeFinding(None, "")
    if kind == "http":
        method = (definition.method or "GET").capitalize()
        return ProbeFinding(CRITICAL, f'{method} "{definition.http}": no response within {limit}')
    if kind == "tcp":
        return ProbeFinding(CRITICAL, f"dial tcp {definition.tcp}: i/o timeout")
    return ProbeFinding(CRITICAL, f"Timed out ({limit}) running check")
