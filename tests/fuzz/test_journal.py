"""The log under any crash: what was synced is there, nothing is invented, no promise is lost.

A seed names a run; every operation of the journal is a place to die at.
"""

import random
from contextlib import ExitStack, nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.base.batches import Configuration, Member
from quorate.base.errors import StorageError
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.records import Bootstrapped, Chosen, Promised, Record, Vote
from quorate.sim.disk import SimDisk
from quorate.wire.fileops import FileOp
from quorate.wire.journal import Journal, Layout, LogIdentity
from quorate.wire.recovery import Recovery
from tests.strategies import may_fail, records
from tests.unit.wire import older
from tests.unit.wire.journals import persists

NODE = NodeId("6ec57f84-c680-4a3a-878b-0123456789ab")
LAYOUT = Layout(segment_bytes=4096, segment_bytes_first=1024, spares_ready=1, spares_max=6)
BOOTSTRAPPED = Bootstrapped("c1", Configuration(1, 0, (Member(NODE, "ann", "ann:8300"),)), True)


class Died(Exception):
    """The node ended between two operations, or in one."""


class Incarnation:
    """A node that writes to its log, dies, and compares what it finds with what it did.

    `asked` is all that was ever asked to be written and not taken back by a crash; the first
    `durable` of it were synced. Truncation may have removed its beginning.

    Its first epochs may write the older layout of a record, until it is upgraded at a start.
    """

    def __init__(self, seed: int, *, is_older: bool) -> None:
        self.rng = random.Random(seed)
        self.layout = ExitStack()
        self.upgrade_share = 0.1 if is_older else 0.0
        if is_older:
            self.layout.enter_context(older.writing())
        self.disk = SimDisk()
        self.asked: list[Record] = []
        self.durable = 0
        self.truncated = Slot(0)
        self.slot = 0
        self.round = 0
        self.incarnation = 0
        self.has_begun = False
        self.journal: Journal | None = None

    def record(self) -> Record:
        kind = self.rng.random()
        if kind < 0.15:
            self.round += 1
            return Promised(Ballot(self.round, NodeId(self.rng.choice(["ann", NODE]))))
        if kind < 0.18:
            return BOOTSTRAPPED
        self.slot += self.rng.random() < 0.9
        batch = self.rng.randbytes(self.rng.choice([0, 1, 30, 200, 700, 3000, 6000]))
        slot = Slot(max(1, self.slot))
        if kind < 0.3:
            return Chosen(slot, batch)
        return Vote(Ballot(self.round, NODE), slot, Slot(slot - 1), batch)

    def obey(self, operations: list[FileOp]) -> None:
        for operation in operations:
            if self.rng.random() < 0.02:
                raise Died
            if self.rng.random() < 0.005:
                self.disk.sync_failures = 1
            try:
                self.disk.do(operation)
            except StorageError as error:
                raise Died from error

    def start(self) -> None:
        self.incarnation += 1
        if self.rng.random() < self.upgrade_share:
            self.upgrade_share = 0.0
            self.layout.close()
        identity = LogIdentity(NODE, self.incarnation, self.rng.getrandbits(64))
        recovery = Recovery(
            self.disk.files, self.disk.read, identity, LAYOUT, is_begun=self.has_begun
        )
        found = list(recovery.records())
        self.compare(found)
        journal, operations = recovery.finish()
        self.obey(operations)
        self.has_begun = True
        self.durable = len(self.asked)
        self.journal = journal

    def compare(self, found: list[Record]) -> None:
        """What was found is what was asked for, without a truncated beginning and a torn end."""
        fits = [
            (first, begin)
            for first in range(min(2, len(found)) + 1)
            for begin in range(len(self.asked) + 1)
            if self._fits(found, first, begin)
        ]
        assert fits, "what was synced is gone, or records were invented or put in another order"
        first, begin = fits[0]
        self.asked = self.asked[: begin + len(found) - first]
        assert promised(found) == promised(self.asked)
        assert (BOOTSTRAPPED in found) == (BOOTSTRAPPED in self.asked)

    def _fits(self, found: list[Record], first: int, begin: int) -> bool:
        """Whether `found` is what a head repeats, `first` records, and then `asked[begin:]`."""
        own = found[first:]
        end = begin + len(own)
        return (
            self.asked[begin:end] == own
            and end >= self.durable
            and all(isinstance(r, Promised | Bootstrapped) for r in found[:first])
            and all(
                r.slot <= self.truncated for r in self.asked[:begin] if isinstance(r, Vote | Chosen)
            )
        )

    def work(self) -> None:
        journal = self.journal
        assert journal is not None
        draw = self.rng.random()
        if draw < 0.75:
            records = [self.record() for _ in range(self.rng.randrange(1, 5))]
            self.asked += records
            self.obey(journal.append(persists(records)))
            self.durable = len(self.asked)
        elif draw < 0.85:
            self.obey(journal.close_idle())
        elif draw < 0.95:
            self.truncated = Slot(max(self.truncated, self.slot - self.rng.randrange(10)))
            self.obey(journal.truncate(self.truncated))
        elif draw < 0.97:
            self.obey(journal.release())
        else:
            operations = journal.prepare()
            if operations:
                self.obey(operations)
                journal.prepared(has_succeeded=True)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            try:
                if self.journal is None:
                    self.start()
                else:
                    self.work()
                if self.rng.random() < 0.02:
                    raise Died
            except Died:
                self.journal = None
                self.disk.sync_failures = 0
                if self.rng.random() < 0.7:
                    self.disk.power_cut(self.rng)
                else:
                    self.disk.kill()


def promised(records: list[Record]) -> Ballot:
    return max(
        (r.ballot for r in records if isinstance(r, Promised | Vote)),
        default=NO_BALLOT,
    )


@pytest.mark.parametrize("is_older", [False, True], ids=["format-3", "upgraded"])
@pytest.mark.parametrize("seed", range(60))
def test_no_crash_loses_what_was_synced_or_invents_anything(seed: int, is_older: bool) -> None:
    epoch = Incarnation(seed, is_older=is_older)
    with epoch.layout:
        epoch.run(150)


few = settings(max_examples=100, deadline=None)


def begun(disk: SimDisk) -> Journal:
    recovery = recovered(disk, 1)
    assert list(recovery.records()) == []
    journal, operations = recovery.finish()
    disk.obey(operations)
    return journal


def recovered(disk: SimDisk, incarnation: int) -> Recovery:
    return Recovery(disk.files, disk.read, LogIdentity(NODE, incarnation, 77 * incarnation), LAYOUT)


@few
@given(st.lists(st.lists(records, max_size=4), max_size=12), st.booleans(), st.booleans())
def test_every_record_comes_back_as_it_was(
    commits: list[list[Record]], is_closed: bool, is_older: bool
) -> None:
    disk = SimDisk()
    with older.writing() if is_older else nullcontext():
        journal = begun(disk)
        for commit in commits:
            disk.obey(journal.append(persists(commit)))
        if is_closed:
            disk.obey(journal.close_idle())
    disk.power_cut(random.Random(1))

    assert list(recovered(disk, 2).records()) == [each for commit in commits for each in commit]


@few
@given(st.integers(0), st.integers(0, 7), st.booleans(), st.booleans())
def test_one_flipped_bit_is_named_or_harmless(
    place: int, bit: int, is_closed: bool, is_older: bool
) -> None:
    """Only in a last commit that nothing closes it cannot be distinguished from a torn write."""
    rng = random.Random(place)
    disk = SimDisk()
    asked: list[Record] = []
    with older.writing() if is_older else nullcontext():
        journal = begun(disk)
        for slot in range(1, 30):
            batch = rng.randbytes(rng.randrange(400))
            commit: list[Record] = [
                Vote(Ballot(1, NODE), Slot(slot), Slot(slot - 1), batch),
                Promised(Ballot(slot, NODE)),
            ]
            asked += commit
            disk.obey(journal.append(persists(commit)))
        if is_closed:
            disk.obey(journal.close_idle())
    used = [(name, disk.read(name, 0, 4096).rstrip(b"\0")) for name in disk.files]
    places = [(name, offset) for name, data in used for offset in range(len(data))]
    disk.flip(*places[place % len(places)], bit)

    with may_fail(StorageError, "corrupt"):
        found = list(recovered(disk, 2).records())
        assert asked[: len(found)] == found
        assert len(found) >= len(asked) - (0 if is_closed else 2)
