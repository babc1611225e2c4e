"""Run: one plan from beginning to verdict.

First the faulty phase: clients ask, faults come and go, checkers look at every step. Then the
calm: all faults end, and within a bound every member must be level, every open operation must
be closed, and fresh writes and reads must succeed at every member.
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
from quorate.sim.search import TooLongError, judge_keys
from quorate.sim.swarm import Plan
from quorate.sim.world import ViolationError, World

CALM_S = 30.0
"""Simulated seconds within which a healed cluster must be level, as `docs/protocol/paxos.md` says
under "Liveness"; it seldom takes ten. A sync that is under way takes up to eight of them, and an
end that waits to notice a dead link up to five."""

SETTLING_S = 3.0
"""After the last operation what a node still says of it has been said."""

IDLE_S = 2.0
IDLE_MESSAGES = 50
"""Messages per simulated second and host in an idle cluster, at most. A leader of five sends 40
heartbeats and gets as many answers: 16 per host; the rest is for nodes that ask to be let in."""

UNDECIDED = "undecided"
"""How a failure begins that is one of the checker: it gave up."""

PROBES_MAX = 4
"""Tries of one operation in the calm: it may be refused while leadership is handed over."""

CALLS_MAX = 60
"""Calls of one key that the second tier judges together."""


class Result(msgspec.Struct, frozen=True):
    """What became of a run. `failure` is "" if it was well."""

    seed: int
    failure: str
    digest: int
    simulated_s: float
    deeds: int
    slots: int
    operations: dict[str, int]
    faults: dict[str, int]


def run(plan: Plan, listener: Callable[[str], None] | None = None) -> Result:
    """Run a plan; it never raises what a checker or the code under test found wrong.

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
        _calm(cluster)
        _judge(cluster)
        if neighbour is not None:
            _calm(neighbour.cluster)
            neighbour.judge()
        else:
            idle(cluster)
    except ViolationError as found:  # the verdict of this run
        failure = str(found)
    except TooLongError as found:  # not a verdict, but not well either
        failure = f"{UNDECIDED}: {found}"
    except (Exception, InvariantError) as error:  # noqa: BLE001 - a bug under test is a verdict too
        failure = f"{type(error).__name__}: {error}{_place(error)}"
    if failure:
        world.say(f"failed: {failure}")
    counts = {kind: n for kind, n in sorted(injector.counts.items()) if n}
    return Result(
        plan.seed,
        failure,
        world.trace.digest,
        world.now,
        world.deeds,
        cluster.oracle.prefix,
        cluster.judge.counts,
        counts,
    )


def _place(error: BaseException) -> str:
    """The innermost place in our own code, for the last line."""
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


def _calm(cluster: SimCluster) -> None:
    world = cluster.world
    world.say("calm")
    cluster.calm()
    world.run(world.now + 1.0)
    cluster.quiet()
    _until_level(cluster)
    for host in cluster.members:
        if host.name not in cluster.visitors:  # whose clients may be another cluster's
            _probe(cluster, host, OperationKind.WRITE)
            _probe(cluster, host, OperationKind.READ)
    _until_level(cluster)


def idle(cluster: SimCluster) -> None:
    """Nobody asks for anything: a node then says little more than heartbeats.

    Raises:
        ViolationError: More messages per simulated second than `IDLE_MESSAGES` per host.
    """
    world = cluster.world
    world.run(world.now + SETTLING_S)
    before = cluster.network.counts["sent"]
    world.run(world.now + IDLE_S)
    sent = cluster.network.counts["sent"] - before
    if sent > IDLE_MESSAGES * IDLE_S * len(cluster.living):
        raise ViolationError(f"an idle cluster of {len(cluster.living)} sent {sent} messages")


def _is_open(operation: Operation) -> bool:
    return operation.end is OperationStatus.OPEN


def _probe(cluster: SimCluster, host: Host, kind: OperationKind) -> None:
    """One more operation must succeed, though perhaps not at the first try."""
    world, error = cluster.world, ""
    for _ in range(PROBES_MAX):
        number = -1 - len(cluster.judge.operations)
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
        f"liveness: a {kind.value} at {host.name} failed in the calm: {error}; {cluster.behind()}"
    )


def _until_level(cluster: SimCluster) -> None:
    world = cluster.world
    if not world.run_while(lambda: not cluster.is_level, world.now + CALM_S):
        raise ViolationError(
            f"liveness: not level after {CALM_S:.0f} s of calm: {cluster.behind()}"
        )


def _judge(cluster: SimCluster) -> None:
    cluster.judge.finish()
    cluster.compare_dumps()
    judge_keys(cluster.judge.operations, b"q", CALLS_MAX)
