"""A journal on a made-up disk, as the tests of its parts need it."""

from collections.abc import Sequence

from quorate.base.batches import Configuration, Member
from quorate.base.effects import Persist
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.records import Bootstrapped, Chosen, Promised, Record, Vote
from quorate.sim.disk import SimDisk
from quorate.wire.journal import Journal, Layout, LogIdentity
from quorate.wire.recovery import Recovery

NODE = NodeId("6ec57f84-c680-4a3a-878b-0123456789ab")
SMALL = Layout(segment_bytes=4096, spares_ready=1, spares_max=2)
BOOTSTRAPPED = Bootstrapped(
    "c1", Configuration(1, 0, (Member(NODE, "ann", "ann:8300"),)), complete=True
)
FIRST = "wal-0000000000000002"  # number 1 was that of the spare it was made of


def identity(incarnation: int) -> LogIdentity:
    return LogIdentity(NODE, incarnation, epoch=1000 + incarnation)


def vote(slot: int, size: int = 100, round_: int = 1) -> Vote:
    body = bytes([slot % 256]) * size
    return Vote(Ballot(round_, NODE), Slot(slot), Slot(slot - 1), body)


def chosen(slot: int) -> Chosen:
    return Chosen(Slot(slot), b"batch")


def promise(round_: int) -> Promised:
    return Promised(Ballot(round_, NodeId("bob")))


def persists(records: Sequence[Record]) -> list[Persist]:
    return [Persist(record) for record in records]


def recovery(
    disk: SimDisk,
    incarnation: int = 1,
    layout: Layout = SMALL,
    *,
    is_begun: bool = False,
    begun_in: int = 0,
) -> Recovery:
    me = identity(incarnation)
    return Recovery(disk.files, disk.read, me, layout, is_begun=is_begun, begun_in=begun_in)


def found(disk: SimDisk, incarnation: int = 9) -> list[Record]:
    return list(recovery(disk, incarnation).records())


def begun(disk: SimDisk, incarnation: int = 1, layout: Layout = SMALL) -> Journal:
    """A journal in its first or a later epoch, ready to be written."""
    recovered_log = recovery(disk, incarnation, layout)
    for _ in recovered_log.records():
        pass
    journal, operations = recovered_log.finish()
    disk.obey(operations)
    return journal


def written(disk: SimDisk, *commits: Sequence[Record]) -> Journal:
    journal = begun(disk)
    for records in commits:
        disk.obey(journal.append(persists(records)))
    return journal


def names(disk: SimDisk, prefix: str) -> list[str]:
    return [name for name in disk.files if name.startswith(prefix)]
