"""Minimise: a failing run with fewer faults and an earlier end that still fails (delta debugging).

Each fault has its own seed, so leaving some out changes nothing in the rest but what follows from
them. First the horizon is cut to shortly after the last fault that matters, then halves,
quarters … of the list are left out as long as the run still fails.

Source: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002).
"""

from collections.abc import Callable

import msgspec

from quorate.sim.faults import Fault
from quorate.sim.swarm import Plan

RUNS_MAX = 60
"""Runs spent on making one failure smaller."""


def minimise(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """The smallest plan found that still fails.

    Args:
        plan: One that fails.
        fails: Runs a plan.
    """
    left = RUNS_MAX

    def still_fails(candidate: Plan) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and fails(candidate)

    plan = _shorter(plan, still_fails)
    size = max(1, len(plan.faults) // 2)
    while plan.faults and left > 0:
        fewer = _without_some(plan, size, still_fails)
        if fewer is not None:
            plan = fewer
        elif size == 1:
            break
        else:
            size //= 2
        size = max(1, min(size, len(plan.faults) // 2))
    return plan


def _shorter(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """Halve the horizon for as long as it fails, then drop faults beyond it."""
    horizon_s = plan.horizon_s
    while horizon_s > 2.0:
        shorter = _until(plan, horizon_s / 2)
        if not fails(shorter):
            break
        plan, horizon_s = shorter, horizon_s / 2
    return plan


def _until(plan: Plan, horizon_s: float) -> Plan:
    faults = tuple(fault for fault in plan.faults if fault.at_s < horizon_s)
    return msgspec.structs.replace(plan, faults=faults, horizon_s=horizon_s)


def _without_some(plan: Plan, size: int, fails: Callable[[Plan], bool]) -> Plan | None:
    """The plan without one run of `size` faults, if it still fails."""
    for begin in range(0, len(plan.faults), size):
        faults: tuple[Fault, ...] = plan.faults[:begin] + plan.faults[begin + size :]
        fewer = msgspec.structs.replace(plan, faults=faults)
        if fails(fewer):
            return fewer
    return None
