"""Membership: the members of a cluster as the API describes them."""

import msgspec


class ConfiguredServer(msgspec.Struct, frozen=True, rename="pascal"):
    """A member of the configuration in force.

    Attributes:
        node: Its name.
        address: Its address for the other nodes.
        voter: False for a learner.
    """

    id: str = msgspec.field(name="ID")
    node: str = ""
    address: str = ""
    leader: bool = False
    voter: bool = True


class ClusterMember(msgspec.Struct, frozen=True, rename="pascal"):
    """A member as the node in use sees it.

    Attributes:
        role: `leader`, `follower` or `learner`.
        lag: Slots that the answering node knows as chosen and this one does not; None if unknown.
        last_heard: Seconds since its last message; None if there was none.
    """

    id: str = msgspec.field(name="ID")
    name: str
    address: str
    role: str
    voter: bool
    alive: bool
    lag: int | None
    last_heard: float | None
    version: str


class ClusterOverview(msgspec.Struct, frozen=True, rename="pascal"):
    """The cluster as the node in use sees it.

    Attributes:
        cluster: Its id.
        node: The name of the node that answers; `role` is its own.
        leader: The name of the leader; empty if none is known.
        reason: Why none is known; empty if one is.
        members: By name.
    """

    cluster: str
    node: str
    role: str
    leader: str
    reason: str
    members: list[ClusterMember]


class ServerList(msgspec.Struct, rename="pascal"):
    """The configuration as it stands in JSON."""

    servers: list[ConfiguredServer]


SERVERS = msgspec.json.Decoder(ServerList)
OVERVIEW = msgspec.json.Decoder(ClusterOverview)
