"""An Accept that comes late for a slot chosen otherwise: when legal, and when it proves a fault.

A batch chosen under ballot c is in every Accept of c and above. So an Accept of ballot b for
another batch is in the wrong if b >= c, and legal if b < c, be it never so late. A node may know
that a slot is chosen and not under which ballot.
"""

from quorate.base.batches import NOOP, BatchKind
from quorate.base.config import Limits, NodeSettings
from quorate.base.formats import LOG, PROTOCOL
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Fetch,
    Fetched,
    Heartbeat,
    HeartbeatAnswer,
    Prepare,
    PreVote,
    Promise,
    SlotState,
)
from quorate.base.records import Chosen
from tests.unit.paxos.harness import Site, World
from tests.unit.paxos.lone import Lone

BATCH, OTHER = b"\x01one", b"\x01other"
TWO, THREE = Ballot(6, NodeId("n2")), Ballot(7, NodeId("n3"))


# --- a follower ------------------------------------------------------------------------------


def fetched_under_an_unknown_ballot() -> Lone:
    """n2 leads under TWO and tells of slot 1, which n3 may have chosen under any ballot."""
    lone = Lone(5)
    lone.take_from(2, Heartbeat(TWO, Slot(1), 1, is_serving=False))
    lone.take_from(2, Fetched(Slot(1), (BATCH,), Slot(1), Slot(1)))
    assert lone.released == [(1, BATCH)]
    lone.said.clear()
    return lone


def test_of_a_batch_that_was_fetched_an_accept_proves_nothing() -> None:
    lone = fetched_under_an_unknown_ballot()
    lone.take_from(3, Accept(THREE, Slot(1), Slot(0), OTHER))
    assert lone.halts == []
    assert lone.said == [(NodeId("n3"), HeartbeatAnswer(THREE, Slot(1), 0, Slot(0), 0, 1))]
    assert all(isinstance(record, Chosen) for record in lone.records), "it got no vote"


def test_nor_after_a_restart() -> None:
    lone = fetched_under_an_unknown_ballot()
    for applied in (0, 1):
        again = Lone(5, applied=applied, records=lone.records)
        again.take_from(3, Accept(THREE, Slot(1), Slot(0), OTHER))
        assert again.halts == []
        assert again.take(Accepted) == []


def test_no_build_that_did_not_keep_ldr_8_takes_part_in_a_ballot_with_this_one() -> None:
    """Else what its log proves might have been chosen above a ballot that still proposes here."""
    assert LOG.changes[3].startswith("commands of the catalog"), "logs before it may be of those"
    assert PROTOCOL.changes[3].startswith("commands of the log of format 4")
    assert PROTOCOL.oldest >= 4


def test_another_batch_under_the_very_ballot_that_chose_one_halts_this_node() -> None:
    lone = Lone(5)
    lone.take_from(2, Accept(TWO, Slot(1), Slot(0), BATCH))
    lone.take_from(2, Heartbeat(TWO, Slot(1), 1, is_serving=True))
    assert (lone.released, lone.halts) == ([(1, BATCH)], [])
    lone.take_from(2, Accept(TWO, Slot(1), Slot(1), OTHER))
    assert len(lone.halts) == 1


def test_what_was_fetched_beside_own_votes_takes_nothing_from_what_those_prove() -> None:
    lone = fetched_under_an_unknown_ballot()
    lone.take_from(2, Accept(TWO, Slot(2), Slot(1), BATCH))
    lone.take_from(2, Heartbeat(TWO, Slot(2), 1, is_serving=True))
    lone.take_from(3, Accept(THREE, Slot(2), Slot(1), OTHER))
    (halt,) = lone.halts
    assert "slot 2 was chosen twice" in halt.reason


def test_of_a_long_catch_up_no_more_is_remembered_than_is_kept() -> None:
    lone = Lone(5, settings=NodeSettings(limits=Limits(tail_slots_max=5)))
    learner = lone.replica.learner
    for slot in range(1, 5_000):
        learner.choose(Slot(slot), BATCH)
        learner.note_fetched(Slot(slot))
        learner.next_released()
    assert not learner.is_ballot_bounded(Slot(4_999))
    assert learner.is_ballot_bounded(Slot(1)), "it is kept no more: there is nothing to compare"


# --- a leader --------------------------------------------------------------------------------


def recovering() -> Lone:
    """A candidate that must propose BATCH in slot 1 again, then learns that others chose it."""
    lone = Lone(5)
    lone.campaign(2, 3)
    lone.promise(2, held=(SlotState(Slot(1), Ballot(1, NodeId("n4")), BATCH),))
    lone.promise(3)
    lone.fetched(4, 1, BATCH)
    assert lone.released == [(1, BATCH)]
    return lone


def reported(lone: Lone) -> int:
    said, lone.said = lone.said, []
    return max((m.watermark for _, m in said if isinstance(m, Accept | Heartbeat)), default=0)


def test_a_leader_reports_what_it_proposed_only_when_its_own_votes_chose_it() -> None:
    lone = recovering()
    lone.said.clear()
    lone.wait(0.5)
    assert reported(lone) == 0
    lone.accept(2, 1, 2)
    assert not lone.replica.is_serving
    lone.accept(3, 1, 2)
    assert lone.replica.is_serving
    assert reported(lone) == 2


def test_a_leader_that_gets_no_votes_for_what_others_chose_steps_down() -> None:
    """They keep that batch no more, and cannot see whether it is the same."""
    lone = recovering()
    for _ in range(30):
        lone.wait(0.1)
        if lone.replica.leadership is None:
            break
        lone.answer(2, 0, watermark=1)
        lone.answer(3, 0, watermark=1)
    assert lone.replica.leadership is None
    assert "gets no votes" in str([note.fields.get("why") for note in lone.notes])


# --- three ballots ---------------------------------------------------------------------------


class Seven:
    """Seven nodes whose messages come when the test says so; nothing else happens."""

    def __init__(self) -> None:
        self.world = World(7, 1)
        self.world.loss = 0.0

    def __getitem__(self, number: int) -> Site:
        return self.world.sites[NodeId(f"n{number}")]

    def campaign(self, number: int, *promising: int) -> None:
        site = self[number]
        site.obey(site.alive.campaign(self.world.now_s))
        self.bring(Prepare, number, *promising)
        for other in promising:
            self.bring(Promise, other, number)

    def bring(self, kind: type[object], sender: int, *to: int) -> None:
        """All messages of a kind come, in order, from one node to others."""
        self.sync()
        for number in to:
            ends = (NodeId(f"n{sender}"), NodeId(f"n{number}"))
            coming = [m for m in self.world.on_way if (m[0], m[2]) == ends]
            for one in coming:
                if isinstance(one[4], kind):
                    self.world.on_way.remove(one)
                    self[number].obey(self[number].take_from(one[0], one[4]))
                    self[number].end_turn()
                    self.sync()

    def lose(self, slot: Slot) -> None:
        """The Accepts for a slot do not come."""
        on_way = self.world.on_way
        on_way[:] = [m for m in on_way if not (isinstance(m[4], Accept) and m[4].slot == slot)]

    def wait(self, number: int) -> None:
        self.world.now_s += 0.25
        self[number].obey(self[number].alive.tick(self.world.now_s))
        self[number].end_turn()

    def sync(self) -> None:
        for site in self.world.living():
            while site.unsynced:
                site.sync()
                site.end_turn()


def test_an_accept_of_a_ballot_between_two_recoveries_halts_no_node() -> None:
    """The last of three ballots chose; the first learns of it, the second does not."""
    seven = Seven()
    x = bytes([BatchKind.BUNDLES]) + b"x"
    seven.campaign(7, 1, 2, 3)  # ballot 1/n7 serves
    for voter in (1, 2, 3):
        seven.bring(Accept, 7, voter)
        seven.bring(Accepted, voter, 7)
    leadership = seven[7].alive.leadership
    assert leadership is not None
    assert leadership.is_serving
    seven[7].obey(leadership.propose(x, 0.0))  # in slot 2; its own vote alone holds it

    seven.campaign(1, 2, 4, 7)  # ballot 2/n1 proposes it again
    seven.bring(Fetch, 1, 7)
    seven.bring(Fetched, 7, 1)
    seven.bring(Accept, 1, 2)  # n2 votes for it
    assert Slot(2) in seven[2].alive.acceptor.votes
    seven.campaign(3, 4, 5, 6)  # ballot 2/n3 knows of nothing in slot 2: its barrier goes there
    seven.campaign(7, 4, 5, 6)  # ballot 3/n7 proposes it again, and gets it chosen
    seven.lose(Slot(3))
    for voter in (4, 5, 6):
        for kind, ends in ((Accept, (7, voter)), (Fetch, (voter, 7)), (Fetched, (7, voter))):
            seven.bring(kind, *ends)
        seven.bring(Accepted, voter, 7)
    assert seven[7].alive.watermark == 2
    assert seven.world.oracle.chosen[Slot(2)] == x

    seven[7].obey([*seven[7].alive.pre_vote(0.0)])  # it says how far it is, and n1 fetches that
    seven.bring(PreVote, 7, 1)
    seven.wait(1)
    seven.bring(Fetch, 1, 7)
    seven.bring(Fetched, 7, 1)
    assert seven[1].alive.watermark >= 2
    assert seven[1].alive.leadership is not None
    seven.wait(1)
    seven.bring(Heartbeat, 1, 2)
    seven.bring(Accept, 1, 2)

    late = Accept(Ballot(2, NodeId("n3")), Slot(2), Slot(0), NOOP)
    assert late.ballot > seven[2].alive.acceptor.promised
    seven[2].obey(seven[2].take_from(NodeId("n3"), late))  # no Halt: the harness would not take one
