"""A service of the operating system: systemd says whether it is active."""

from quorate.monitoring.checks import CRITICAL, PASSING
from quorate.monitoring.definitions import CheckDefinition
from quorate.runtime.probes.found import ProbeFinding
from quorate.runtime.probes.programs import run_program


async def probe_os_service(definition: CheckDefinition) -> ProbeFinding:
    """Ask systemd for the state of a unit."""
    name = definition.os_service
    found = await run_program(("systemctl", "is-active", "--", name), 4096)
    state = found.output.strip() or "unknown"
    status = PASSING if found.status == PASSING else CRITICAL
    return ProbeFinding(status, f'Service "{name}" is {state}')
