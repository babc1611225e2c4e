"""Failure detector: members in the catalog, with their `serfHealth`.

Each node registers itself when it finds a serving leader, and after a restored snapshot. The leader
sets a member critical that did not answer for long, and passing when it answers again; both are
commands, so sessions that depend on `serfHealth` end at the same slot on every node.

A leader whose own loop stood still has received nothing meanwhile: it measures silence in the time
in which it was awake (`JudgeTime`).
"""

from quorate.base.batches import Member
from quorate.base.config import NodeSettings
from quorate.base.ids import NodeId
from quorate.base.versions import (
    CONSUL_META,
    CONSUL_VERSION,
    QUORATE_META,
    QUORATE_VERSION,
)
from quorate.catalog.commands import CatalogPut, CheckUpdate
from quorate.catalog.fields import (
    CRITICAL,
    OUTPUTS,
    PASSING,
    SERF_HEALTH,
    SERVER_SERVICE,
    NodeFields,
    Service,
)
from quorate.monitoring.judging import JudgeTime
from quorate.paxos.leadership import Leadership
from quorate.paxos.membership import Membership


def registration(me: Member, settings: NodeSettings) -> CatalogPut:
    """The catalog row of this node, with its instance of the service `consul`."""
    host, _, port = me.address.rpartition(":")
    host = host.strip("[]")
    family = "ipv6" if ":" in host else "ipv4"
    tagged = {"lan": host, f"lan_{family}": host, "wan": host, f"wan_{family}": host}
    meta = {
        **settings.meta,
        "consul-network-segment": "",
        CONSUL_META: CONSUL_VERSION,
        QUORATE_META: QUORATE_VERSION,
    }
    node = NodeFields(me.id, host, settings.datacenter, tagged, meta)
    service = Service(
        SERVER_SERVICE,
        SERVER_SERVICE,
        port=int(port),
        meta={"version": CONSUL_VERSION, "quorate_version": QUORATE_VERSION},
    )
    return CatalogPut(me.name, node, service, is_member=True)


LATE_PART = 1 / 12
"""Of `dead_s`: a tick that is later than this was late, 0.25 s of 3 s."""


class FailureDetector:
    """A leader's verdicts on the other members. One object per leadership.

    Args:
        me: On which it has no verdict.
        dead_s: Silence that makes a member critical.
        tick_s: How often `verdicts` is called.
    """

    def __init__(self, me: NodeId, dead_s: float, tick_s: float) -> None:
        self._me = me
        self._dead_s = dead_s
        self._tick_s = tick_s
        self._time: JudgeTime | None = None  # from the first call on
        self._contacts: dict[NodeId, tuple[float, float]] = {}  # as observed, and in its time
        self._verdicts: dict[NodeId, str] = {}
        self._generation: int | None = None

    def verdicts(
        self, leadership: Leadership, membership: Membership, generation: int, now_s: float
    ) -> list[CheckUpdate]:
        """Commands for members whose state changed. Applying one twice changes nothing.

        A restored snapshot begins another `generation` of the tables, in which every member's
        state is that of the snapshot.
        """
        if generation != self._generation:
            self._generation = generation
            self._verdicts.clear()
        if self._time is None:
            self._time = JudgeTime(self._tick_s, self._dead_s * LATE_PART, now_s)
        lost_s = self._time.lost_s
        time_s = self._time.advance(now_s)
        commands: list[CheckUpdate] = []
        for member in membership.newest.members:
            peer = leadership.peers.get(member.id)
            if member.id == self._me or peer is None:
                continue
            contact_s = self._contact_s(member.id, peer.last_contact_s, lost_s, time_s)
            is_dead = time_s - contact_s >= self._dead_s
            if not is_dead and not peer.has_answered:
                continue  # a new leader has no verdict on members that have not answered yet
            verdict = CRITICAL if is_dead else PASSING
            if self._verdicts.get(member.id) != verdict:
                self._verdicts[member.id] = verdict
                commands.append(CheckUpdate(member.name, SERF_HEALTH, verdict, OUTPUTS[verdict]))
        return commands

    def _contact_s(self, member: NodeId, noted_s: float, lost_s: float, time_s: float) -> float:
        """The last contact in the judge's time.

        Of a new contact nobody knows whether it is from before or after a stop that ended just now:
        it is taken as from before, when so much was lost, but not as later than now.
        """
        known = self._contacts.get(member)
        if known is None or known[0] != noted_s:
            self._contacts[member] = known = (noted_s, min(noted_s - lost_s, time_s))
        return known[1]
