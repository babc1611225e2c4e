"""Status: what a node knows of itself and its cluster, for status endpoints and people."""

from quorate.base.batches import Configuration, Member
from quorate.base.ids import NO_BALLOT, NodeId, Slot
from quorate.base.ports import Status
from quorate.node.bootstrapping import BootstrapProtocol
from quorate.node.group import Group
from quorate.node.identities import PeerIdentities
from quorate.node.overview import Overviews
from quorate.paxos.quorum import is_phase1_quorum
from quorate.paxos.replica import Replica


def status_of(
    me: Member,
    group: Group,
    bootstrap: BootstrapProtocol,
    identities: PeerIdentities,
    overviews: Overviews,
    now_s: float,
    *,
    refusal: str = "",
) -> Status:
    """What a node knows of itself and its cluster; `refusal`: why the leader did not admit it."""
    replica, machine = group.replica, group.machine
    if replica is None:
        return Status(
            me, "", "joining", None, float("inf"), False, NO_BALLOT, Slot(0), Slot(0),
            machine.index, machine.log_time_ms, machine.digest, Configuration(0, 0, ()),
            frozenset({me.id}), {}, _with_disk(group, bootstrap.reason),
        )  # fmt: skip
    leadership, newest = replica.leadership, replica.membership.newest
    serving = replica.serving(now_s)[0]
    if leadership is not None:
        role, last_contact_s = ("leader" if leadership.is_serving else "candidate"), 0.0
        healthy = frozenset(leadership.healthy(now_s))
    else:
        role = "follower" if replica.is_voter else "learner"
        last_contact_s = now_s - replica.election.last_contact_s
        healthy = frozenset({me.id, *replica.linked})
    if is_removed(replica):
        role, serving = "removed", None
    reason = "" if serving is not None else _reason(group, replica, identities, now_s, refusal)
    return Status(
        me, bootstrap.cluster_id, role, newest.member(serving) if serving else None, last_contact_s,
        serving is not None, replica.ballot, replica.watermark, machine.applied, machine.index,
        machine.log_time_ms, machine.digest, newest, healthy,
        overviews.seen(leadership, replica.watermark, now_s),
        _with_disk(group, reason) if reason else "",
    )  # fmt: skip


def is_removed(replica: Replica) -> bool:
    """The cluster has removed this node, according to its log or a member."""
    newest = replica.membership.newest
    return replica.me in newest.removed or replica.removed_in > newest.number


def names_of(members: tuple[Member, ...], ids: frozenset[NodeId] | set[NodeId]) -> str:
    """The names of those members that are among these ids, for people."""
    return ", ".join(sorted(member.name for member in members if member.id in ids))


def _with_disk(group: Group, reason: str) -> str:
    """A full disk comes first: it may be the reason, and an operator can change it."""
    return f"this node's disk is full; {reason}" if group.space.is_short else reason


def _reason(
    group: Group, replica: Replica, identities: PeerIdentities, now_s: float, refusal: str
) -> str:
    """Why no leader is known here."""
    newest, me = replica.membership.newest, replica.me
    if is_removed(replica):
        return f"this node was removed from cluster {identities.cluster_id}"
    silence = f"no leader since {max(0.0, now_s - group.leaderless_since_s):.0f} s"
    if newest.member(me) is None and refusal:
        return f"not let into cluster {identities.cluster_id}: {refusal}"
    if newest.member(me) is None:
        linked = identities.names
        asked = f"asked {linked}" if linked else "no member of it is connected"
        return f"joining cluster {identities.cluster_id}: not a member yet, {asked}"
    voters, reachable = newest.voter_ids, replica.linked | {me}
    silent = names_of(newest.voters, voters - reachable)
    if not is_phase1_quorum(reachable, voters):
        return f"{silence}: {silent} not reachable"
    return f"{silence}: an election is under way" + (f", {silent} not reachable" if silent else "")
