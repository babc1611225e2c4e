"""Run: executes one plan and gives its result.

First the faulty phase: clients send requests, faults begin and end, checkers run at every step.
Then the liveness phase: all faults end, and within a bound every member must have applied
everything, every open operation must be closed, and new writes and reads must succeed at every
member.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from quorate.base.errors import InvariantError
from quorate.kv.commands import KvSet
from quorate.sim.cluster import SimCluster
from quorate.sim.faults import Injector
from quorate.sim.host import Host
from quorate.sim.neighbour import Neighbour
from quorate.sim.operations import Operation, OperationKind, OperationStatus
from quorate.sim.rescue import rescue_some
from quorate.sim.search import TooLongError, check_keys
from quorate.sim.swarm import Plan
from quorate.sim.world import ViolationError, World

LIVENESS_S = 30.0
"""Simulated seconds within which every member must have applied everything, as
`docs/protocol/paxos.md` says under "Liveness"; it seldom takes ten. A sync that is under way takes
up to eight of them, and the
detection of a dead link up to five."""

QUIESCENCE_S = 3.0
"""After the last operation: until then the nodes have sent what followed from it."""

IDLE_S = 2.0
IDLE_MESSAGES = 50
"""Messages per simulated second and host in an idle cluster, at most. A leader of five sends 40
heartbeats and gets as many answers: 16 per host; the rest is for nodes that ask to join."""

UNDECIDED = "undecided"
"""How a failure begins if the checker gave up."""

PROBES_MAX = 4
"""Tries of one operation in the liveness phase: a transfer of leadership may refuse it."""

CALLS_MAX = 60
"""Calls of one key that the linearizability checker takes together."""


class Result(msgspec.Struct, frozen=True):
    """The result of a run. `failure` is "" if there was none."""

    seed: int
    failure: str
    digest: int
    simulated_s: float
    actions: int
    slots: int
    operations: dict[str, int]
    faults: dict[str, int]


def run(plan: Plan, listener: Callable[[str], None] | None = None) -> Result:
    """Run a plan; a failure of a checker or of the code under test is in the result.

    Args:
        plan: What to run.
        listener: Gets each line of the trace.
    """
    world = World(plan.seed, listener)
    cluster = SimCluster(world, plan.make)
    neighbour = Neighbour(cluster, plan.make.neighbours) if plan.make.neighbours else None
    injector = Injector(cluster)
    failure = ""
    try:
        if neighbour is not None:
            neighbour.start()
        _faulty(plan, cluster, injector)
        _liveness_phase(cluster)
        _check(cluster)
        if neighbour is not None:
            _liveness_phase(neighbour.cluster)
            neighbour.check()
        else:
            idle(cluster)
    except ViolationError as found:  # the result of this run
        failure = str(found)
    except TooLongError as found:  # not a result, but a failure
        failure = f"{UNDECIDED}: {found}"
    except (Exception, InvariantError) as error:  # noqa: BLE001 - a bug is a result too
        failure = f"{type(error).__name__}: {error}{_place(error)}"
    if failure:
        world.log(f"failed: {failure}")
    counts = {kind: n for kind, n in sorted(injector.counts.items()) if n}
    return Result(
        plan.seed,
        failure,
        world.trace.digest,
        world.now,
        world.actions,
        cluster.oracle.prefix,
        cluster.checker.counts,
        counts,
    )


def _place(error: BaseException) -> str:
    """The innermost place in the project's code, for the last line."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f" ({code.co_filename.rpartition('quorate/')[2]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _faulty(plan: Plan, cluster: SimCluster, injector: Injector) -> None:
    cluster.start()
    injector.schedule(plan.faults)
    cluster.world.run(plan.horizon_s)
    rescue_some(cluster, plan.seed)
    injector.is_over = True


def _liveness_phase(cluster: SimCluster) -> None:
    world = cluster.world
    world.log("liveness phase")
    cluster.end_faults()
    world.run(world.now + 1.0)
    cluster.stop_clients()
    _until_level(cluster)
    for host in cluster.members:
        if host.name not in cluster.visitors:  # its clients may be those of another cluster
            _probe(cluster, host, OperationKind.WRITE)
            _probe(cluster, host, OperationKind.READ)
    _until_level(cluster)


def idle(cluster: SimCluster) -> None:
    """Without requests a node sends little more than heartbeats.

    Raises:
        ViolationError: More messages per simulated second than `IDLE_MESSAGES` per host.
    """
    world = cluster.world
    world.run(world.now + QUIESCENCE_S)
    before = cluster.network.counts["sent"]
    world.run(world.now + IDLE_S)
    sent = cluster.network.counts["sent"] - before
    if sent > IDLE_MESSAGES * IDLE_S * len(cluster.living):
        raise ViolationError(f"an idle cluster of {len(cluster.living)} sent {sent} messages")


def _is_open(operation: Operation) -> bool:
    return operation.end is OperationStatus.OPEN


def _probe(cluster: SimCluster, host: Host, kind: OperationKind) -> None:
    """One more operation must succeed, if not at the first try."""
    world, error = cluster.world, ""
    for _ in range(PROBES_MAX):
        number = -1 - len(cluster.checker.operations)
        command = (
            KvSet(b"probe", f"probe{number}".encode()) if kind is OperationKind.WRITE else None
        )
        operation = Operation(number, "probe", host.name, kind, world.now, command, b"probe")
        cluster.probe(host, operation)
        world.run_while(partial(_is_open, operation), world.now + 12)
        if operation.end is OperationStatus.DONE:
            return
        error = operation.error
        world.run(world.now + 1.0)
    raise ViolationError(
        f"liveness: a {kind.value} at {host.name} failed without faults: {error}; "
        f"{cluster.behind()}"
    )


def _until_level(cluster: SimCluster) -> None:
    world = cluster.world
    if not world.run_while(lambda: not cluster.is_level, world.now + LIVENESS_S):
        raise ViolationError(
            f"liveness: behind after {LIVENESS_S:.0f} s without faults: {cluster.behind()}"
        )


def _check(cluster: SimCluster) -> None:
    cluster.checker.finish()
    cluster.compare_dumps()
    check_keys(cluster.checker.operations, b"q", CALLS_MAX)
