"""Messages between nodes. `docs/protocol/paxos.md` shows who sends what when.

| Message | Leaves as | Rests on |
|---|---|---|
| Prepare, Promise, Accepted | SendWhenDurable | a durable ballot, promise or vote |
| Found, FoundStored, FoundDone, FoundCancelled, Identity | SendWhenDurable | a durable bootstrap
record |
| everything else | Send | nothing that is not yet durable |

Tags are part of the wire format: never reuse or renumber one.
"""

import msgspec

from quorate.base.batches import Bundle, Configuration, Member
from quorate.base.formats import STATE
from quorate.base.ids import NO_NODE, Ballot, NodeId, Slot


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """1a: asks for a promise of `ballot`, for every slot from `slot_first` on."""

    ballot: Ballot
    slot_first: Slot


class SlotState(msgspec.Struct, frozen=True, array_like=True):
    """What an acceptor holds in a slot above its watermark.

    `is_chosen`: it knows the batch chosen (fetched), which is not a vote and beats every vote.
    """

    slot: Slot
    ballot: Ballot
    batch: bytes
    is_chosen: bool = False


class Promise(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """1b, one page of it: no lower ballot from now on; the slots held above `watermark`.

    Counts only when pages 0 … pages-1 of the same `ballot` and `slot_first` have come. A page
    lists everything held from `slot_from` to its last slot, the last page everything behind too:
    so it can be checked that pages of answers given at different times fit together.

    `leader_watermark` is the highest slot up to which a leader of a lower ballot reported all
    chosen, whether the batches are held here or not; 0 if no such report exceeds `watermark`.
    """

    ballot: Ballot
    slot_first: Slot
    watermark: Slot
    page: int
    pages: int
    held: tuple[SlotState, ...]
    slot_from: Slot = Slot(0)
    leader_watermark: Slot = Slot(0)


class Accept(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """2a: vote for `batch` in `slot`; and every slot up to `watermark` is chosen."""

    ballot: Ballot
    slot: Slot
    watermark: Slot
    batch: bytes


class Accepted(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """2b: the sender's vote for `slot` under `ballot` is durable."""

    ballot: Ballot
    slot: Slot


class Nack(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The sender promised a higher ballot than `refused`. A hint: losing it harms nothing."""

    refused: Ballot
    promised: Ballot


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The leader of `ballot` is alive; all up to `watermark` is chosen.

    Attributes:
        round: Counter of the read round that this opens; 0 if it opens none. Never reused
            within a ballot.
        is_serving: The barrier is chosen: bundles and read index requests are accepted.
        digest_slot, digest: What most replicas agree the tables' digest was at that slot; 0 if
            there is none yet.
        durable: The leader's own disk holds a vote in this slot.
    """

    ballot: Ballot
    watermark: Slot
    round: int
    is_serving: bool
    digest_slot: Slot = Slot(0)
    digest: int = 0
    durable: Slot = Slot(0)


class HeartbeatAnswer(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The sender promised nothing above `ballot`, and knows all up to `watermark` chosen.

    `round` is copied from the heartbeat. `digest` is the tables' digest at `digest_slot`.
    `in_force` is the number of the newest configuration in force by the sender's disk (rule LRN-6
    in `paxos.durable`).
    """

    ballot: Ballot
    watermark: Slot
    round: int
    digest_slot: Slot
    digest: int
    in_force: int = 0


class PreVote(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """Asks whether the receiver would promise a ballot of this round; `number` names this try."""

    round: int
    number: int
    watermark: Slot


class PreVoteAnswer(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """Granted, or refused: the sender has a live leader, or has promised a higher ballot."""

    number: int
    is_granted: bool
    promised: Ballot
    watermark: Slot


class ReadIndexRequest(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """Asks for the slot that the sender's waiting reads must wait for. No `number` is reused."""

    number: int


class ReadIndexAnswer(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """The answer to request `number`: read after applying `slot`.

    `log_time_ms` is the leader's log time when the round began.
    """

    number: int
    slot: Slot
    log_time_ms: int


class Forward(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """Asks the leader to propose this bundle."""

    bundle: Bundle


class ForwardGap(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """That bundle does not follow: the next one that does is `sequence` of `incarnation`."""

    incarnation: int
    sequence: int


class Fetch(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """Asks for chosen batches from `slot_first` on, as many as fit one answer."""

    slot_first: Slot
    slot_last: Slot


class Fetched(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """Chosen batches from `slot_first` on, in order; `watermark` is the sender's.

    Empty with `slot_tail` above `slot_first`: the sender does not hold those any more; a snapshot
    is needed.
    """

    slot_first: Slot
    batches: tuple[bytes, ...]
    watermark: Slot
    slot_tail: Slot


class TransferNow(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """Campaign at once, without a pre-vote: the sender, leader of `ballot`, hands over."""

    ballot: Ballot


class SnapshotAsk(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """Asks for chunk `number` of snapshot `transfer`; number 0 with a new `transfer` opens it."""

    transfer: int
    number: int


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """Rows of the sender's tables as of applied `slot`, in key order, as a msgpack list of pairs.

    `crc` is the CRC32C of `rows`. The last chunk has `is_last`; `rows` may be empty. `refused`
    says why there is none. `format` is that of the tables, see `base.formats.STATE`.
    """

    transfer: int
    number: int
    slot: Slot
    rows: bytes
    crc: int
    is_last: bool
    refused: str = ""
    format: int = STATE.newest


class ChangeAsk(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """Asks for this change of membership; `number` names the request."""

    number: int
    verb: str  # "add" (as learner), "promote", "remove", "transfer"
    member: Member


class ChangeAnswer(msgspec.Struct, frozen=True, array_like=True, tag=20):
    """Accepted, or refused with a code of `base.errors` and a sentence."""

    number: int
    code: str
    text: str


class DiscoveryReport(msgspec.Struct, frozen=True, array_like=True, tag=21):
    """The sender is uninitialised, expects `expect` nodes, and knows these that do so, too."""

    expect: int
    known: tuple[Member, ...]


class BootstrapOffer(msgspec.Struct, frozen=True, array_like=True, tag=22):
    """Bootstrap, first step: store this cluster id with exactly these initial members."""

    cluster_id: str
    configuration: Configuration


class BootstrapStored(msgspec.Struct, frozen=True, array_like=True, tag=23):
    """The sender has stored that bootstrap, durably; `proposer` is the node that proposed it."""

    cluster_id: str
    proposer: NodeId = NO_NODE


class BootstrapDone(msgspec.Struct, frozen=True, array_like=True, tag=24):
    """All initial members have stored it: the cluster exists."""

    cluster_id: str


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=25):
    """A cluster exists: the answer to an uninitialised node that asked to join."""

    cluster_id: str
    configuration: Configuration


class Join(msgspec.Struct, frozen=True, array_like=True, tag=26):
    """Asks for admission, as learner first. Repeated until a configuration has the sender."""

    member: Member


class Removed(msgspec.Struct, frozen=True, array_like=True, tag=27):
    """The receiver is in no configuration from `number` on, and may not campaign any more."""

    number: int


class Identity(msgspec.Struct, frozen=True, array_like=True, tag=28):
    """The directory of the sender belongs to this cluster now; "" if to none yet.

    Sent when it has become known after the link was made, so that both ends check the link again,
    and repeated until an answer arrives.
    """

    cluster_id: str
    is_answer: bool = False


class BootstrapCancelled(msgspec.Struct, frozen=True, array_like=True, tag=29):
    """The sender does not hold that bootstrap. From its proposer: it will never be complete."""

    cluster_id: str


class BootstrapAbandoned(msgspec.Struct, frozen=True, array_like=True, tag=33):
    """Durably: the sender takes no part in that bootstrap unless it is complete already (BST-6)."""

    cluster_id: str


class MemberProgress(msgspec.Struct, frozen=True, array_like=True):
    """How far a member is, and the time since the leader's last contact with it."""

    node: NodeId
    watermark: Slot
    last_contact_ms: int


class Overview(msgspec.Struct, frozen=True, array_like=True, tag=30):
    """From the leader, once a second: the progress of every member that has answered."""

    members: tuple[MemberProgress, ...]


class Restarted(msgspec.Struct, frozen=True, array_like=True, tag=31):
    """What the sender's log held when its `incarnation` began: the highest promise and slot.

    `epoch` is drawn at start. Sent when a link is established (rule RCL-1 in `paxos.recall`).
    """

    incarnation: int
    epoch: int
    promised: Ballot
    slot: Slot


class Recognized(msgspec.Struct, frozen=True, array_like=True, tag=32):
    """The answer to a Restarted with this `incarnation` and `epoch`.

    `is_refused`: the other node has shown more than that, so it has lost some of it. `promised` and
    `slot` are the highest that it showed in earlier incarnations, `incarnation_seen` is the
    highest of these.
    """

    incarnation: int
    epoch: int
    is_refused: bool
    incarnation_seen: int
    promised: Ballot
    slot: Slot


class ConfigurationDurable(msgspec.Struct, frozen=True, array_like=True, tag=34):
    """To itself: by what the disk holds now, the configuration of this number is in force."""

    number: int


Message = (
    Prepare
    | Promise
    | Accept
    | Accepted
    | Nack
    | Heartbeat
    | HeartbeatAnswer
    | PreVote
    | PreVoteAnswer
    | ReadIndexRequest
    | ReadIndexAnswer
    | Forward
    | ForwardGap
    | Fetch
    | Fetched
    | TransferNow
    | SnapshotAsk
    | SnapshotChunk
    | ChangeAsk
    | ChangeAnswer
    | DiscoveryReport
    | BootstrapOffer
    | BootstrapStored
    | BootstrapDone
    | Welcome
    | Join
    | Removed
    | Overview
    | Identity
    | BootstrapCancelled
    | BootstrapAbandoned
    | Restarted
    | Recognized
    | ConfigurationDurable
)
