"""What a replica takes for chosen, from whom, and what it does when two say otherwise."""

import msgspec
import pytest

from quorate.base.batches import NOOP, Batch, Configuration, encode_batch
from quorate.base.config import ClusterConfig, Limits, NodeSettings
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Fetch,
    Fetched,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    Nack,
    Prepare,
    PreVote,
    PreVoteAnswer,
    Promise,
    SlotState,
    TransferNow,
)
from quorate.base.records import Promised, Vote
from quorate.paxos.fetcher import Fetcher
from tests.unit.paxos.harness import member
from tests.unit.paxos.lone import Lone

BATCH, OTHER = b"\x01one", b"\x01other"
ONE, TWO, THREE = Ballot(5, NodeId("n1")), Ballot(6, NodeId("n2")), Ballot(7, NodeId("n3"))
TWO_PEERS = [NodeId("n2"), NodeId("n3")]


# --- who is asked ----------------------------------------------------------------------------


def test_a_node_that_takes_itself_for_the_one_who_knows_more_asks_others() -> None:
    """It led once: its own log says that more is chosen than it holds, and it reported that itself.

    Who it knows as members have all been replaced since; those who replaced them it does not know.
    """
    lone = Lone(3, records=[Vote(ONE, Slot(12), Slot(11), BATCH)])
    lone.disconnect(2)
    lone.disconnect(3)
    assert lone.replica.learner.remote_node == "n1"
    lone.connect(7)

    lone.take_from(7, Heartbeat(THREE, Slot(11), 1, is_serving=False))
    lone.wait(0.5)

    assert Fetch(Slot(1), Slot(11)) in lone.take(Fetch, to=7)


def test_a_fetch_that_brings_nothing_is_repeated_less_and_less_until_there_is_news() -> None:
    fetcher, now_s = Fetcher(0.2), 0.0
    asked: list[tuple[float, NodeId]] = []
    while now_s < 60:
        if fetcher.is_due(now_s):
            request = fetcher.ask(Slot(1), Slot(9), TWO_PEERS, now_s)
            assert request is not None
            asked.append((now_s, request[0]))
        now_s += 0.05
    assert [peer for _, peer in asked[:4]] == ["n2", "n3", "n2", "n3"]
    assert len([at_s for at_s, _ in asked if at_s >= 30]) <= 11

    fetcher.reset_pause()
    assert fetcher.is_due(now_s)


def test_a_fetch_has_one_answer() -> None:
    fetcher = Fetcher(0.2)
    answer = Fetched(Slot(1), (BATCH,), Slot(9), Slot(1))
    assert not fetcher.take(NodeId("n2"), answer), "nobody asked"
    fetcher.ask(Slot(1), Slot(9), TWO_PEERS, 0.0)
    assert not fetcher.take(NodeId("n3"), answer), "somebody else was asked"
    assert not fetcher.take(NodeId("n2"), Fetched(Slot(2), (BATCH,), Slot(9), Slot(1)))
    assert fetcher.take(NodeId("n2"), answer)
    assert not fetcher.take(NodeId("n2"), answer), "it came twice"

    fetcher.reset_pause()
    fetcher.ask(Slot(2), Slot(9), TWO_PEERS, 0.0)
    fetcher.forget(NodeId("n2"))
    assert not fetcher.take(NodeId("n2"), Fetched(Slot(2), (BATCH,), Slot(9), Slot(1)))


def test_no_peer_to_fetch_from_is_no_error() -> None:
    assert Fetcher(0.2).ask(Slot(1), Slot(9), [], 0.0) is None


@pytest.mark.parametrize("copies", [1, 3])
def test_an_answer_causes_one_fetch_at_most(copies: int) -> None:
    lone = Lone()
    lone.take_from(2, Heartbeat(TWO, Slot(9), 1, is_serving=True))
    lone.said.clear()
    for _ in range(copies):
        lone.take_from(2, Fetched(Slot(1), (BATCH,), Slot(9), Slot(1)))
    assert lone.take(Fetch) == [Fetch(Slot(2), Slot(9))]


# --- what the log keeps of a leader's report ----------------------------------------------------


def configuration(slot: int) -> tuple[Slot, Configuration]:
    voters = tuple(member(number) for number in (1, 2, 3))
    return Slot(slot), Configuration(2, 1, voters)


def test_the_report_that_closed_a_configuration_is_stored() -> None:
    """Slot 9 is the last one of the old configuration; only a heartbeat reported it chosen."""
    lone = Lone(2, applied=8, chain=[configuration(2)])
    lone.take_from(2, Accept(TWO, Slot(9), Slot(8), NOOP))
    stored = [record for record in lone.records if isinstance(record, Promised)]
    assert stored == []

    lone.take_from(2, Heartbeat(TWO, Slot(9), 1, is_serving=True))
    assert Promised(TWO, Slot(9)) in lone.records, "slot 10 is the first of the new one"

    again = Lone(2, applied=8, chain=[configuration(2)], records=lone.records)
    assert again.replica.watermark == 9


def test_the_report_of_the_leader_before_is_stored_when_the_next_one_reports() -> None:
    lone = Lone(2, applied=7, chain=[configuration(2)])
    lone.take_from(2, Accept(TWO, Slot(8), Slot(7), NOOP))
    lone.take_from(2, Heartbeat(TWO, Slot(8), 1, is_serving=True))
    lone.take_from(3, Prepare(THREE, Slot(9)))
    lone.connect(3)
    lone.take_from(3, Accept(THREE, Slot(9), Slot(8), NOOP))
    lone.take_from(2, Heartbeat(Ballot(8, NodeId("n2")), Slot(9), 1, is_serving=True))
    again = Lone(2, applied=7, chain=[configuration(2)], records=lone.records)
    assert again.replica.watermark >= 8


def test_a_leader_stores_its_own_report() -> None:
    settings = NodeSettings(cluster=ClusterConfig(alpha_slots=2, window_slots=2))
    lone = Lone(3, settings=settings)
    lone.lead(2, 3)
    change = Configuration(2, 1, tuple(member(number) for number in (1, 2, 3, 4)))
    lone.obey(lone.leadership.propose_change(change, lone.now_s))
    for slot in (2, 3):
        lone.end_turn()
        lone.accept(2, slot)
    stored = [record for record in lone.records if isinstance(record, Promised)]
    assert stored[-1] == Promised(lone.ballot, Slot(3))
    again = Lone(3, settings=settings, records=lone.records)
    assert again.replica.watermark == 3


# --- an Accept for what is known -----------------------------------------------------------------


def knowing(*batches: bytes, settings: NodeSettings | None = None) -> Lone:
    """These are chosen, by a report of ballot TWO."""
    lone = Lone(settings=settings)
    for slot, batch in enumerate(batches, 1):
        lone.take_from(2, Accept(TWO, Slot(slot), Slot(slot - 1), batch))
    lone.take_from(2, Heartbeat(TWO, Slot(len(batches)), 1, is_serving=True))
    assert len(lone.released) == len(batches)
    lone.said.clear()
    return lone


def test_the_same_batch_is_accepted_again() -> None:
    lone = knowing(BATCH)
    lone.take_from(3, Accept(THREE, Slot(1), Slot(0), BATCH))
    assert lone.take(Accepted) == [Accepted(THREE, Slot(1))]


def test_another_batch_of_a_ballot_that_must_know_stops_the_node() -> None:
    lone = knowing(BATCH)
    lone.take_from(3, Accept(THREE, Slot(1), Slot(0), OTHER))
    (halt,) = lone.halts
    assert halt.code == "corrupt"
    for part in ("slot 1 ", "6/n2", "7/n3", "n3 reports by Accept", "digest"):
        assert part in halt.reason
    assert lone.take(Accepted) == []


@pytest.mark.parametrize("applied", [0, 1, 2, 3])
def test_a_restart_does_not_make_a_node_blind_for_a_contradiction(applied: int) -> None:
    """The leader that reported what is chosen is in its log, whether its tables hold it or not."""
    votes = [Vote(TWO, Slot(slot), Slot(slot - 1), BATCH) for slot in (1, 2, 3)]
    lone = Lone(applied=applied, records=votes)
    lone.take_from(3, Accept(THREE, Slot(2), Slot(0), OTHER))
    (halt,) = lone.halts
    assert "slot 2 was chosen twice" in halt.reason
    assert "(known under ballot 6/n2)" in halt.reason


def test_a_late_batch_of_a_ballot_below_is_neither_accepted_nor_a_contradiction() -> None:
    """It was proposed before the other one was chosen, and is of no concern any more."""
    lone = Lone()
    lone.take_from(3, Heartbeat(THREE, Slot(1), 1, is_serving=True))
    lone.take_from(3, Fetched(Slot(1), (BATCH,), Slot(1), Slot(1)))
    assert lone.released == [(1, BATCH)]
    lone.said.clear()
    lone.take_from(2, Accept(TWO, Slot(1), Slot(0), OTHER))
    assert lone.halts == []
    assert lone.said == [(NodeId("n2"), HeartbeatAnswer(TWO, Slot(1), 0, Slot(0), 0, 1))]


def test_a_leader_whose_slot_a_later_one_had_chosen_claims_nothing_of_it() -> None:
    """Ballots between its own and the one that chose need not know the choice."""
    lone = Lone()
    ballot = lone.lead(2, 3)
    slot = lone.leadership.pipeline.slot_next if lone.leadership.pipeline else Slot(0)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.fetched(3, slot, OTHER, watermark=slot)
    assert lone.released[-1] == (slot, OTHER)
    assert lone.replica.leadership is None

    between = Ballot(ballot.round + 1, NodeId("n2"))
    lone.take_from(2, Accept(between, slot, Slot(slot - 1), b"\x01late"))

    assert lone.halts == []


def test_a_leader_that_stepped_down_knows_what_it_had_chosen() -> None:
    lone = Lone()
    ballot = lone.lead(2, 3)
    lone.take_from(3, Nack(ballot, Ballot(ballot.round + 5, NodeId("n3"))))
    lone.take_from(2, Accept(Ballot(ballot.round + 1, NodeId("n2")), Slot(1), Slot(0), OTHER))
    (halt,) = lone.halts
    assert "slot 1 was chosen twice" in halt.reason


def test_of_a_batch_no_longer_kept_only_the_watermark_is_reported() -> None:
    """Whether it is the same cannot be seen: an answer that counts as a vote would be a guess."""
    short = NodeSettings(limits=Limits(tail_slots_max=1))
    lone = knowing(BATCH, BATCH, settings=short)
    lone.take_from(3, Accept(THREE, Slot(1), Slot(0), OTHER))
    assert lone.said == [(NodeId("n3"), HeartbeatAnswer(THREE, Slot(2), 0, Slot(0), 0, 1))]


def test_a_leader_that_gets_a_report_of_more_fetches_it() -> None:
    lone = Lone()
    lone.lead(2, 3)
    lone.said.clear()
    lone.take_from(3, HeartbeatAnswer(lone.ballot, Slot(4), 0, Slot(0), 0))
    assert lone.take(Fetch, to=3) == [Fetch(Slot(2), Slot(4))]


def test_an_answer_that_contradicts_stops_the_node() -> None:
    lone = Lone()
    lone.take_from(2, Heartbeat(TWO, Slot(2), 1, is_serving=True))
    lone.take_from(2, Fetched(Slot(1), (BATCH,), Slot(2), Slot(1)))
    lone.replica.learning.fetcher.ask(Slot(1), Slot(2), [NodeId("n3")], lone.now_s)
    lone.take_from(3, Fetched(Slot(1), (OTHER,), Slot(2), Slot(1)))
    (halt,) = lone.halts
    assert "slot 1 was chosen twice" in halt.reason
    assert "n3 reports by Fetched" in halt.reason


# --- nodes that are no members -------------------------------------------------------------------

STRANGE: list[Message] = [
    Accept(THREE, Slot(1), Slot(0), BATCH),
    Heartbeat(THREE, Slot(0), 1, is_serving=True),
    Prepare(THREE, Slot(1)),
    Promise(ONE, Slot(1), Slot(0), 0, 1, ()),
    Nack(ONE, THREE),
    TransferNow(NO_BALLOT),
]


@pytest.mark.parametrize("message", STRANGE, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("is_linked", [True, False])
def test_who_is_no_member_gets_no_promise_and_no_vote_and_is_not_followed(
    message: Message, is_linked: bool
) -> None:
    lone = Lone()
    if is_linked:
        lone.connect(7)
    lone.said.clear()
    lone.take_from(7, message)
    assert lone.said == []
    assert lone.records == []
    assert lone.replica.serving(lone.now_s)[0] is None
    assert lone.replica.leadership is None


def test_a_leader_goes_on_though_a_non_member_reports_a_higher_ballot() -> None:
    lone = Lone()
    lone.lead(2, 3)
    lone.connect(7)
    high = Ballot(99, NodeId("n7"))
    lone.take_from(7, Nack(lone.ballot, high))
    lone.take_from(7, Heartbeat(high, Slot(0), 1, is_serving=True))
    assert lone.replica.is_serving


def test_of_a_node_that_is_not_linked_nothing_is_taken() -> None:
    lone = Lone(applied=3)
    lone.said.clear()
    lone.take_from(7, PreVote(9, 1, Slot(9)))
    lone.take_from(7, PreVoteAnswer(1, True, NO_BALLOT, Slot(9)))
    assert lone.replica.learner.remote_watermark == 3
    assert lone.said == []


# --- memory that was lost ------------------------------------------------------------------------


def test_nothing_is_proposed_where_a_batch_is_known_to_be_chosen_and_no_node_holds_it() -> None:
    """Two nodes know slot 1 chosen; those that promised hold nothing there: one has lost it."""
    lone = Lone()
    lone.take_from(2, Heartbeat(TWO, Slot(1), 1, is_serving=True))
    lone.disconnect(2)
    lone.campaign(3)
    lone.said.clear()

    lone.promise(3)
    lone.wait(0.5)

    assert lone.proposed() == []
    lone.wait(3.0)
    assert "one has lost its data" in str([note.fields.get("why") for note in lone.notes])


def test_what_a_promise_reports_of_a_lower_ballot_counts_too() -> None:
    lone = Lone()
    lone.campaign(2)
    first = lone.leadership.phase1.slot_first
    reported = Promise(lone.ballot, first, Slot(0), 0, 1, (), first, Slot(2))
    lone.take_from(2, reported)
    assert lone.proposed() == []

    lone.take_from(3, Promise(lone.ballot, first, Slot(0), 0, 1, (SlotState(Slot(1), ONE, BATCH),)))
    assert [(accept.slot, accept.batch) for accept in lone.proposed()] == [(1, BATCH)]


def test_a_promise_reports_what_leaders_of_lower_ballots_reported() -> None:
    lone = Lone()
    lone.take_from(2, Heartbeat(TWO, Slot(4), 1, is_serving=True))
    lone.take_from(3, Prepare(Ballot(5, NodeId("n3")), Slot(1)))
    lone.take_from(3, Prepare(THREE, Slot(1)))
    assert [promise.leader_watermark for promise in lone.take(Promise, to=3)] == [0, 4]


def test_a_batch_of_a_configuration_is_compared_as_any_other() -> None:
    batch = encode_batch(Batch(TWO, 0, 0, (), Configuration(2, 1, (member(1), member(2)))))
    lone = knowing(batch)
    lone.take_from(3, Accept(THREE, Slot(1), Slot(0), NOOP))
    assert len(lone.halts) == 1


def test_what_only_own_votes_prove_is_not_durable_when_another_slot_was_contradicted() -> None:
    """LRN-6: here a snapshot must hold it too, before the configuration behind it counts."""
    settings = NodeSettings(cluster=ClusterConfig(alpha_slots=4))
    first = Configuration(1, 0, tuple(member(n) for n in range(1, 6)))
    chain = [(Slot(1), msgspec.structs.replace(first, number=2, predecessor=1))]
    lone = Lone(5, applied=1, settings=settings, chain=chain)
    lone.campaign(2, 3)
    lone.promise(2, watermark=1)
    lone.promise(3, watermark=1)
    lone.accept(2, 4)
    lone.accept(3, 4)
    lone.fetched(4, 2, OTHER)
    assert lone.replica.leadership is None
    assert list(lone.replica.learner.chosen) == [4]

    lone.obey(lone.replica.durable.on_snapshot(Slot(2)))
    lone.fetched(4, 3, NOOP)
    assert lone.replica.watermark == 4

    again = Lone(5, applied=2, settings=settings, chain=chain, records=lone.records)
    in_force = again.replica.membership.in_force(again.replica.watermark)
    assert lone.replica.durable.number <= in_force

    lone.obey(lone.replica.durable.on_snapshot(Slot(4)))
    assert lone.replica.durable.number == 2
