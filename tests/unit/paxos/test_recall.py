"""What members remember of each other, and what becomes of one that forgot."""

import msgspec
import pytest

from quorate.base.batches import Shown
from quorate.base.effects import OLD_COPY, Halt, Send
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Heartbeat,
    HeartbeatAnswer,
    Prepare,
    PreVote,
    Promise,
    Recognized,
    Restarted,
)
from quorate.base.records import Promised, Record, Vote
from quorate.paxos.recall import KNOWN_MAX, Blank, Recall
from tests.unit.paxos.harness import member
from tests.unit.paxos.lone import Lone

ME, TWO, THREE = NodeId("n1"), NodeId("n2"), NodeId("n3")
LOW, HIGH = Ballot(3, TWO), Ballot(7, TWO)
VOTERS = frozenset({ME, TWO, THREE})


class Tables:
    """What the replicated state says."""

    def __init__(self, *rows: Shown, lived: int = 0) -> None:
        self.rows = {row.node: row for row in rows}
        self.lived = lived
        self.shown_version = 0

    def shown(self, node: NodeId) -> Shown | None:
        return self.rows.get(node)

    def last_sequence(self, origin: NodeId) -> tuple[int, int]:
        return (self.lived, 1)


def recall(tables: Tables | None = None, incarnation: int = 1) -> Recall:
    return Recall(ME, incarnation, 11, tables or Tables())


def said(made: Recall, message: Restarted) -> Recognized:
    (effect,) = made.on_restarted(TWO, message)
    assert isinstance(effect, Send)
    assert isinstance(effect.message, Recognized)
    return effect.message


FIRST = Restarted(1, 100, NO_BALLOT, Slot(0))


def test_who_kept_its_directory_is_recognized() -> None:
    made = recall()
    assert not said(made, FIRST).is_refused
    made.note(TWO, LOW, Slot(9))
    assert not said(made, FIRST).is_refused, "the same incarnation, on a new link"
    assert not said(made, Restarted(2, 101, LOW, Slot(9))).is_refused
    assert not said(made, Restarted(3, 102, HIGH, Slot(30))).is_refused
    assert made.refused == set()


@pytest.mark.parametrize(
    "old",
    [
        Restarted(2, 101, LOW, Slot(8)),  # a vote is gone
        Restarted(2, 101, NO_BALLOT, Slot(9)),  # a promise is gone
        Restarted(1, 101, LOW, Slot(9)),  # another incarnation of the same number
    ],
)
def test_who_forgot_is_refused_until_it_is_itself_again(old: Restarted) -> None:
    made = recall()
    said(made, FIRST)
    made.note(TWO, LOW, Slot(9))
    answer = said(made, old)
    assert answer.is_refused
    assert (answer.incarnation, answer.epoch) == (old.incarnation, old.epoch)
    assert (answer.incarnation_seen, answer.promised, answer.slot) == (1, LOW, 9)
    assert made.refused == {TWO}
    assert not said(made, Restarted(2, 102, LOW, Slot(9))).is_refused
    assert made.refused == set()


def test_what_is_shown_on_a_new_link_counts_once_the_peer_has_said_that_it_is_the_same() -> None:
    made = recall()
    said(made, FIRST)
    made.unlink(TWO)
    assert not said(made, FIRST).is_refused
    made.note(TWO, LOW, Slot(9))
    assert said(made, Restarted(2, 101, LOW, Slot(8))).is_refused


def test_a_peer_whose_bundles_were_applied_in_this_very_incarnation_is_recognized() -> None:
    assert not said(recall(Tables(lived=5)), Restarted(5, 100, LOW, Slot(9))).is_refused
    assert said(recall(Tables(lived=5)), Restarted(4, 100, LOW, Slot(9))).is_refused


def test_what_comes_late_from_an_earlier_incarnation_refuses_no_node() -> None:
    made = recall()
    said(made, FIRST)
    said(made, Restarted(2, 101, LOW, Slot(9)))
    assert said(made, FIRST).is_refused, "who reports this now is refused"
    assert made.refused == set(), "but the present incarnation is not held responsible"


def test_what_is_shown_before_an_incarnation_is_known_does_not_count() -> None:
    """A message may overtake it: then its start would lack what the new incarnation shows."""
    made = recall()
    said(made, FIRST)
    made.unlink(TWO)
    made.note(TWO, HIGH, Slot(50))
    assert not said(made, Restarted(2, 101, LOW, Slot(9))).is_refused


def test_the_replicated_state_remembers_too() -> None:
    row = Shown(TWO, 4, 100, HIGH, Slot(40))
    made = recall(Tables(row))
    assert said(made, Restarted(5, 101, HIGH, Slot(39))).is_refused
    assert said(made, Restarted(4, 101, HIGH, Slot(40))).is_refused
    assert not said(made, Restarted(4, 100, LOW, Slot(1))).is_refused, "that very incarnation"
    assert not said(made, Restarted(5, 101, HIGH, Slot(40))).is_refused
    assert said(recall(Tables(lived=6)), Restarted(5, 101, HIGH, Slot(40))).is_refused


def test_what_the_replicated_state_learns_later_is_compared_again() -> None:
    tables = Tables()
    made = recall(tables)
    assert not said(made, Restarted(5, 101, LOW, Slot(39))).is_refused
    assert made.review() == []
    tables.rows[TWO] = Shown(TWO, 4, 100, LOW, Slot(40))
    assert made.review() == [], "it is looked at when it says that it has changed"
    tables.shown_version = 1
    made.note(TWO, LOW, Slot(41))
    (effect,) = made.review()
    assert isinstance(effect, Send)
    assert made.refused == {TWO}
    assert made.review() == []
    assert [one.node for one in made.report(HIGH)] == [ME], (
        "an incarnation that forgot is not reported"
    )


def test_a_node_that_is_refused_halts_and_says_what_to_do() -> None:
    made = recall(incarnation=3)
    made.begin(LOW, Slot(5), 1.0)
    answer = Recognized(3, 11, True, 3, HIGH, Slot(9))
    (halt,) = made.on_recognized(TWO, answer)
    assert isinstance(halt, Halt)
    assert halt.code == OLD_COPY
    for part in ("old copy", "n2", "ballot 7", "slot 9", "ballot 3", "slot 5", "empty directory"):
        assert part in halt.reason
    assert made.on_recognized(TWO, msgspec.structs.replace(answer, epoch=12)) == []


@pytest.mark.parametrize(("voters", "needed"), [(2, 1), (3, 2), (4, 2), (5, 3), (7, 4)])
def test_so_many_recognize_that_every_quorum_has_one_of_them(voters: int, needed: int) -> None:
    made = recall(incarnation=2)
    made.begin(LOW, Slot(5), 1.0)
    ids = frozenset(member(number).id for number in range(1, voters + 1))
    for number in range(2, 2 + needed):
        assert not made.confirm([ids], 0.5)
        made.on_recognized(member(number).id, Recognized(2, 11, False, 2, LOW, Slot(5)))
    assert made.confirm([ids], 0.5)


def test_a_first_incarnation_a_lone_voter_and_a_learner_wait_for_no_node() -> None:
    assert recall(incarnation=1).is_confirmed
    made = recall(incarnation=2)
    made.begin(LOW, Slot(5), 1.0)
    assert not made.confirm([VOTERS], 0.5)
    for voters in (frozenset({ME}), frozenset({TWO, THREE})):
        made = recall(incarnation=2)
        made.begin(LOW, Slot(5), 1.0)
        assert made.confirm([voters], 0.5)


def test_the_wait_ends() -> None:
    made = recall(incarnation=2)
    made.begin(LOW, Slot(5), 1.0)
    assert not made.confirm([VOTERS], 0.9)
    assert made.confirm([VOTERS], 1.0)
    assert made.confirm([VOTERS], 0.0), "and is over for good"


def test_who_does_not_answer_is_asked_a_few_times_and_again_on_a_new_link() -> None:
    made = recall()
    times = sum(len(made.ask([TWO], now_s / 10)) for now_s in range(1000))
    assert times == 5
    made.unlink(TWO)
    assert len(made.ask([TWO], 200.0)) == 1
    made.on_recognized(TWO, Recognized(1, 11, False, 1, NO_BALLOT, Slot(0)))
    assert made.ask([TWO], 300.0) == []


def test_a_report_says_what_everybody_showed_and_is_due_when_there_is_more() -> None:
    made = recall()
    assert not made.has_news()
    said(made, FIRST)
    made.note(TWO, LOW, Slot(9))
    made.note_own(Slot(8))
    assert made.has_news()
    assert made.report(HIGH) == (
        Shown(ME, 1, 11, HIGH, Slot(8)),
        Shown(TWO, 1, 100, LOW, Slot(9)),
    )
    made.note(TWO, LOW, Slot(10))
    assert not made.has_news(), "that is the vote for the batch that said it"
    made.note(TWO, LOW, Slot(11))
    assert made.has_news()


def test_who_is_no_member_is_neither_reported_nor_remembered_for_ever() -> None:
    """Whoever is linked says its incarnation; only members vote and promise."""
    made = recall()
    said(made, FIRST)
    made.note(TWO, LOW, Slot(9))
    for number in range(2 * KNOWN_MAX):
        node = NodeId(f"x{number}")
        made.on_restarted(node, Restarted(1, 100, HIGH, Slot(1 << 60)))
        made.unlink(node)
    assert [one.node for one in made.report(HIGH)] == [ME, TWO]
    assert made.remembered(NodeId("x0")) == (NO_BALLOT, 0)
    assert made.remembered(TWO) == (LOW, 9)
    made.note(TWO, LOW, Slot(11))
    assert made.has_news(), "what others claimed does not hide it"


def test_what_a_member_showed_before_its_restart_is_reported_after_it() -> None:
    made = recall()
    said(made, FIRST)
    made.note(TWO, LOW, Slot(9))
    said(made, Restarted(2, 101, LOW, Slot(9)))
    assert made.report(HIGH)[1:] == (Shown(TWO, 2, 101, LOW, Slot(9)),)


def test_a_blank_state_knows_no_node() -> None:
    blank = Blank()
    assert (blank.shown(TWO), blank.last_sequence(TWO), blank.shown_version) == (None, (0, 0), 0)


# --- a whole replica -----------------------------------------------------------------------------


def returning(lone: Lone) -> None:
    """Make this replica one of a later incarnation, which no node has recognized."""
    made = recall(incarnation=2)
    made.begin(NO_BALLOT, Slot(0), lone.now_s + 1.0)
    lone.replica.recall = made
    lone.said.clear()


def test_a_returning_node_promises_and_votes_only_when_it_is_recognized() -> None:
    lone = Lone()
    returning(lone)
    lone.take_from(2, Prepare(HIGH, Slot(1)))
    lone.take_from(2, Accept(HIGH, Slot(1), Slot(0), b"\x01x"))
    assert lone.records == []
    for number in (2, 3):
        lone.take_from(number, Recognized(2, 11, False, 2, NO_BALLOT, Slot(0)))
    lone.take_from(2, Prepare(HIGH, Slot(1)))
    lone.take_from(2, Accept(HIGH, Slot(1), Slot(0), b"\x01x"))
    assert len(lone.take(Promise) + lone.records) == 3


def test_a_restarted_node_sends_a_pre_vote_only_when_it_is_recognized_or_no_node_is_there() -> None:
    lone = Lone()
    returning(lone)
    lone.wait(0.9)
    assert lone.take(PreVote) == []
    lone.wait(1.5)
    assert lone.take(PreVote) != []


def test_a_node_reports_what_its_log_held_and_not_what_its_tables_survived_a_kill_with() -> None:
    """They applied what was fetched before the log held it; a power cut would take that away."""
    records: list[Record] = [Promised(LOW), Vote(LOW, Slot(3), Slot(2), b"\x01x")]
    lone = Lone(applied=5, records=records)
    lone.said.clear()
    lone.disconnect(2)
    lone.connect(2)
    (started,) = lone.take(Restarted)
    assert (started.promised, started.slot) == (LOW, 3)


def test_nothing_is_taken_from_who_forgot() -> None:
    lone = Lone()
    lone.take_from(2, Restarted(2, 100, HIGH, Slot(9)))
    lone.take_from(2, Restarted(3, 101, LOW, Slot(9)))
    lone.said.clear()
    lone.take_from(2, Heartbeat(Ballot(9, TWO), Slot(0), 1, is_serving=True))
    lone.take_from(2, Prepare(Ballot(9, TWO), Slot(1)))
    assert lone.said == []
    assert lone.records == []


def test_a_leader_notes_what_the_others_show_and_what_it_holds_itself() -> None:
    lone = Lone()
    lone.take_from(2, Restarted(1, 100, NO_BALLOT, Slot(0)))
    ballot = lone.lead(2, 3)
    assert lone.replica.recall.remembered(TWO) == (ballot, 1)
    lone.take_from(3, Accepted(ballot, Slot(1)))
    lone.said.clear()
    lone.wait(0.2)
    assert lone.heartbeats()[-1].durable == 1


def test_a_returning_node_confirms_no_read_until_it_is_recognized() -> None:
    """It may have forgotten that it promised a higher ballot, whose leader wrote since."""
    lone = Lone()
    returning(lone)
    lone.take_from(2, Heartbeat(HIGH, Slot(0), 5, is_serving=True))
    assert [answer.round for answer in lone.take(HeartbeatAnswer)] == [0]
    for number in (2, 3):
        lone.take_from(number, Recognized(2, 11, False, 2, NO_BALLOT, Slot(0)))
    lone.take_from(2, Heartbeat(HIGH, Slot(0), 6, is_serving=True))
    assert [answer.round for answer in lone.take(HeartbeatAnswer)] == [6]


def test_any_of_the_memories_is_enough_to_refuse() -> None:
    """RCL-1: an incarnation that proposed, was in the tables or on a link: each is enough."""
    old = Restarted(4, 104, HIGH, Slot(90))
    proposed = recall(Tables(Shown(TWO, 2, 102, LOW, Slot(5)), lived=5))
    assert said(proposed, old).is_refused
    tables = Tables()
    met = recall(tables)
    assert not said(met, FIRST).is_refused
    tables.lived = 5
    assert said(met, old).is_refused


def test_a_node_that_is_found_out_later_is_refused() -> None:
    tables = Tables()
    made = recall(tables)
    assert not said(made, FIRST).is_refused
    tables.rows[TWO] = Shown(TWO, 3, 103, HIGH, Slot(40))
    tables.shown_version = 1
    (reported,) = made.review()
    assert isinstance(reported, Send)
    assert reported.to == TWO
    assert reported.message == Recognized(1, 100, True, 3, HIGH, Slot(40))
    assert made.refused == {TWO}
    assert made.review() == []
