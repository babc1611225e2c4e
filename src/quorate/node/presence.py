"""Presence: members in the catalog, with their `serfHealth`.

Each node registers itself when it finds a serving leader, and after a restored snapshot. The
leader turns a member critical that was silent for long, and passing when it is heard again; both
are commands, so sessions that hang on `serfHealth` end in the log, alike everywhere.
"""

from typing import Any

import msgspec

from quorate.base.batches import Member
from quorate.base.config import NodeSettings
from quorate.base.ids import NodeId
from quorate.base.versions import (
    CONSUL_META,
    CONSUL_VERSION,
    QUORATE_META,
    QUORATE_VERSION,
)
from quorate.catalog.apply import SERVER_SERVICE
from quorate.catalog.commands import NodeHealth, NodeRegister
from quorate.paxos.leadership import Leadership
from quorate.paxos.membership import Membership


def registration(me: Member, settings: NodeSettings) -> NodeRegister:
    """The catalog row of this node, with the instance of the service `consul` that it is."""
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
    service = msgspec.json.encode(_service(int(port)))
    return NodeRegister(me.id, me.name, host, settings.datacenter, tagged, meta, service)


def _service(port: int) -> dict[str, Any]:
    """The definition of this server's instance."""
    return {
        "ID": SERVER_SERVICE,
        "Service": SERVER_SERVICE,
        "Tags": [],
        "Address": "",
        "Meta": {"version": CONSUL_VERSION, "quorate_version": QUORATE_VERSION},
        "Port": port,
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
        "Connect": {},
        "PeerName": "",
    }


class Presence:
    """A leader's verdicts on the others. Made anew with each leadership."""

    def __init__(self, me: NodeId, dead_s: float) -> None:
        self._me = me
        self._dead_s = dead_s
        self._verdicts: dict[NodeId, str] = {}
        self._generation: int | None = None

    def verdicts(
        self, leadership: Leadership, membership: Membership, generation: int, now_s: float
    ) -> list[NodeHealth]:
        """Commands for members whose state changed. Applying one twice changes nothing.

        A restored snapshot begins another `generation` of the tables, in which every member's
        state is that of the snapshot.
        """
        if generation != self._generation:
            self._generation = generation
            self._verdicts.clear()
        commands: list[NodeHealth] = []
        for member in membership.newest.members:
            peer = leadership.peers.get(member.id)
            if member.id == self._me or peer is None:
                continue
            is_dead = now_s - peer.heard_s >= self._dead_s
            if not is_dead and not peer.has_answered:
                continue  # a new leader has no verdict on those it has not heard yet
            verdict = "critical" if is_dead else "passing"
            if self._verdicts.get(member.id) != verdict:
                self._verdicts[member.id] = verdict
                commands.append(NodeHealth(member.name, verdict))
        return commands
