"""Status: what a node knows of itself and its cluster, for status endpoints and people."""

from typing import Protocol

from quorate.base.batches import Configuration, Member
from quorate.base.ids import NO_BALLOT, Slot
from quorate.base.ports import Status
from quorate.machine.machine import Machine
from quorate.paxos.replica import Replica


class Parts(Protocol):
    """The parts of a node that tell its status."""

    me: Member
    machine: Machine
    replica: Replica | None

    @property
    def cluster_id(self) -> str:
        """Whose the directory is; "" as long as it is nobody's."""
        ...


def status_of(node: Parts, now_s: float) -> Status:
    """What a node knows of itself and its cluster."""
    replica, machine = node.replica, node.machine
    if replica is None:
        return Status(
            node.me, "", "joining", None, float("inf"), False, NO_BALLOT, Slot(0), Slot(0),
            machine.index, machine.stamp_ms, machine.digest, Configuration(0, 0, ()),
            frozenset({node.me.id}), {},
        )  # fmt: skip
    leadership, newest = replica.leadership, replica.membership.newest
    serving = replica.serving_leader(now_s)
    if leadership is not None:
        role, heard_s = ("leader" if leadership.is_serving else "candidate"), 0.0
        healthy = frozenset(leadership.healthy(now_s))
        match = {n: p.match for n, p in leadership.peers.items()} | {node.me.id: replica.watermark}
    else:
        role = "follower" if replica.is_voter else "learner"
        heard_s = now_s - replica.election.heard_s
        healthy, match = frozenset({node.me.id, *replica.linked}), {}
    return Status(
        node.me, node.cluster_id, role, newest.member(serving) if serving else None, heard_s,
        serving is not None, replica.ballot, replica.watermark, machine.applied, machine.index,
        machine.stamp_ms, machine.digest, newest, healthy, match,
    )  # fmt: skip
