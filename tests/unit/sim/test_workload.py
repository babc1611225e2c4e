"""Simulated clients."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from quorate.base.outcomes import Outcome
from quorate.machine.commands import RestoreBegin, RestoreRows
from quorate.sim.gateway import SimGateway
from quorate.sim.operations import Operation, OperationStatus
from quorate.sim.workload import Client, WorkloadProfile
from quorate.sim.world import World


class Server:
    name = "a"


class Gateway:
    """Carries out everything at once."""

    def __init__(self) -> None:
        self.acts: dict[str, Any] = {}
        self.queries: dict[str, Any] = {}
        self.asked: list[Operation] = []

    def restore(self, restore_id: str, slot: int, data: bytes, rows_max: int) -> list[Any]:
        rows = [RestoreRows(restore_id, ((b"k", b"v"),)) for _ in range(50)]
        return [RestoreBegin(restore_id), *rows]

    def ask(
        self, host: object, operation: Operation, timeout_s: float, done: Callable[..., None]
    ) -> None:
        self.asked.append(operation)
        operation.end = OperationStatus.DONE
        operation.value = (1, b"") if operation.command is None else Outcome(value=True, index=1)
        done(operation)


def test_a_client_that_is_stopped_goes_away_in_the_middle_of_a_restore() -> None:
    """Else a cluster without clients goes on for as long as the archive has rows."""
    world, gateway = World(1), Gateway()
    hosts = cast(Callable[[], Sequence[Any]], lambda: [Server()])
    profile = WorkloadProfile(weights={"restore": 1.0}, think_s=0.01)
    numbers = iter(range(1000))
    client = Client(world, cast(SimGateway, gateway), hosts, "c", profile, lambda: next(numbers))
    client.begin()
    world.run(0.3)
    assert isinstance(gateway.asked[-1].command, RestoreRows)
    client.is_stopped = True
    asked = len(gateway.asked)
    world.run(10.0)
    assert len(gateway.asked) == asked
