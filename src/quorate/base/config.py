"""Configuration as frozen structs: what must be equal everywhere, and what may differ.

`validate()` lists every fault at once and changes nothing. Higher layers read files and flags, and
make these structs.
"""

import msgspec

MIB = 1024 * 1024
_INTEGER_MAX = 2**63 - 1  # the handshake says each setting as msgpack


class ClusterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Equal on every node of a cluster; its hash is part of the handshake.

    `alpha_slots`, `removals_max` and `txn_result_bytes_max` decide what a batch does when it is
    applied: a node refuses to start on the directory of a cluster with other values
    (`node.settings`). Another default for one of them needs an upgrade path.
    """

    alpha_slots: int = 8  # a configuration chosen in slot i governs from i + alpha on
    window_slots: int = 4  # batches on the way at once; 1 and 2 measured slower, 8 no faster
    batch_commands_max: int = 512  # natural batches at 64 clients are 10-20: a cap, not a goal
    batch_bytes_max: int = MIB  # two maximal values fit; bounds an Accept frame
    bundles_in_flight_max: int = 4  # numbered bundles of one origin not yet applied
    value_bytes_max: int = 512 * 1024  # Consul's limit for one value
    txn_ops_max: int = 128  # Consul's limit for one transaction
    txn_result_bytes_max: int = 16 * MIB  # a quarter of 128 values of the greatest length
    removals_max: int = 512  # rows one batch removes one by one; larger trees are only noted
    digest_every_slots: int = 64  # replicas compare digests this often

    def validate(self) -> list[str]:
        """Every fault as a sentence; empty if there is none."""
        faults = [
            f"cluster.{name} must be at least 1"
            for name in self.__struct_fields__
            if getattr(self, name) < 1
        ]
        faults += [
            f"cluster.{name} must be below 2^63"
            for name in self.__struct_fields__
            if getattr(self, name) > _INTEGER_MAX
        ]
        if self.window_slots > self.alpha_slots:
            faults.append("cluster.window_slots must not exceed cluster.alpha_slots")
        if self.batch_bytes_max < self.value_bytes_max + 4096:
            faults.append("cluster.batch_bytes_max must exceed cluster.value_bytes_max by 4096")
        return faults


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Timeouts and intervals of a node, in seconds. May differ between nodes, should not much."""

    heartbeat_s: float = 0.1  # ten per election timeout: nine may be lost
    election_timeout_s: float = 1.0  # without a leader for this to twice this: pre-vote
    reconnect_poll_s: float = 0.02  # a broken link to the leader: pre-vote after up to this
    tell_s: float = 0.002  # a new watermark is sent alone after this, if no batch carries it
    accept_resend_s: float = 0.15  # an unanswered Accept is sent again, then doubling
    fetch_resend_s: float = 0.2  # an unanswered Fetch is sent again, to another peer
    forward_resend_s: float = 0.3  # an unapplied bundle is sent again, doubling to 16 times
    read_resend_s: float = 0.15  # an unanswered read request or round is repeated, renumbered
    hold_s: float = 7.0  # how long a write or read waits for a leader (Consul: rpc_hold_timeout)
    dead_s: float = 3.0  # silence that turns a member's serfHealth critical
    tick_s: float = 0.01  # a tenth of the shortest timeout above

    def validate(self) -> list[str]:
        """Every fault as a sentence; empty if there is none."""
        faults = [
            f"timing.{name} must be above 0"
            for name in self.__struct_fields__
            if getattr(self, name) <= 0
        ]
        if self.heartbeat_s * 3 > self.election_timeout_s:
            faults.append("timing.heartbeat_s must be at most a third of election_timeout_s")
        if self.dead_s < self.election_timeout_s:
            faults.append("timing.dead_s must not be shorter than election_timeout_s")
        return faults

    def scaled(self, factor: float) -> "Timing":
        """The same with every election-related time multiplied (Consul's raft_multiplier)."""
        return msgspec.structs.replace(
            self,
            heartbeat_s=self.heartbeat_s * factor,
            election_timeout_s=self.election_timeout_s * factor,
            dead_s=self.dead_s * factor,
        )


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one node takes on at most. May differ between nodes."""

    tail_bytes_max: int = 64 * MIB  # chosen batches kept in memory for slow peers
    tail_slots_max: int = 20_000  # the same, in slots
    gather_commands_min: int = 8  # with fewer in flight there is no batch delay
    slots_ahead_max: int = 1024  # Accepts further above the watermark than this are ignored
    bytes_ahead_max: int = 32 * MIB  # so are they with more than this in votes above the watermark
    fetch_bytes_max: int = MIB  # one answer to a Fetch
    chunk_bytes_max: int = 128 * 1024  # one chunk of a snapshot for a peer: read in one turn
    peer_bytes_in_flight_max: int = 16 * MIB  # unanswered Accepts to one peer; then it must fetch
    waiting_commands_max: int = 50_000  # commands not yet bundled; more are refused
    waiting_bytes_max: int = 128 * MIB  # the same, in bytes
    turn_units: int = 2_048  # work of one turn in units of about 2 microseconds (machine.rows)
    http_connections_max: int = 16_384  # of all clients; fewer if few files may be open
    http_held_bytes_max: int = 256 * MIB  # held in memory for all HTTP clients
    http_client_bytes_max: int = 128 * MIB  # the same, for one client address

    def validate(self) -> list[str]:
        """Every fault as a sentence; empty if there is none."""
        faults = [
            f"limits.{name} must be at least 1"
            for name in self.__struct_fields__
            if getattr(self, name) < 1
        ]
        if self.http_client_bytes_max > self.http_held_bytes_max:
            faults.append("limits.http_client_bytes_max must not exceed http_held_bytes_max")
        return faults


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of the configuration that the pure node needs."""

    cluster: ClusterConfig = ClusterConfig()
    timing: Timing = Timing()
    limits: Limits = Limits()
    datacenter: str = "dc1"
    meta: dict[str, str] = {}  # of this node in the catalog, besides what every node says
    auto_promote: bool = False  # as leader, let every learner vote that has caught up, unasked

    def validate(self) -> list[str]:
        """Every fault of all parts at once."""
        return self.cluster.validate() + self.timing.validate() + self.limits.validate()


class Bootstrap(msgspec.Struct, frozen=True):
    """How a node whose directory belongs to no cluster comes to belong to one.

    Attributes:
        expect: Bootstrap a cluster of so many nodes that expect the same number; below 2: join.
        is_alone: Bootstrap a cluster of one at once.
        addresses: Those to join, in the order in which they were given.
    """

    expect: int = 0
    is_alone: bool = False
    addresses: tuple[str, ...] = ()


JOIN_ONLY = Bootstrap()
"""Join any cluster that is found."""


def local() -> NodeSettings:
    """Nodes on one machine, for tests and demos: less memory, the same timeouts."""
    return NodeSettings(limits=Limits(tail_bytes_max=8 * MIB, tail_slots_max=4_000))


def wan() -> NodeSettings:
    """Nodes in several regions: five times the timeouts, a deeper window."""
    return NodeSettings(
        cluster=ClusterConfig(window_slots=8, alpha_slots=16), timing=Timing().scaled(5)
    )
