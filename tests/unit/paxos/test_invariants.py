"""What the design excludes is brought about by force: the node stops rather than goes on."""

from collections.abc import Callable

import pytest

from quorate.base.batches import NOOP, Configuration
from quorate.base.config import Timing
from quorate.base.errors import InvariantError
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import ConfigurationDurable, Recognized
from quorate.base.records import Promised
from quorate.paxos.fetcher import Fetcher
from quorate.paxos.leadership import Leadership
from quorate.paxos.learner import Learner
from quorate.paxos.log import Tail
from quorate.paxos.recall import Blank, Recall
from tests.unit.paxos.lone import ME, OTHERS, Lone


def forgotten_ballot() -> None:
    """PRO-1: the acceptor has promised the ballot that a campaign is about to begin."""
    lone = Lone(3)
    lone.campaign(2)
    lone.replica.acceptor.remember(Promised(Ballot(9, OTHERS[0])))
    lone.leadership.prepare([], lone.now_s)


def two_campaigns() -> None:
    """PRO-3: a leader campaigns again, and would lead under both ballots."""
    lone = Lone(3)
    lone.lead(2)
    lone.replica.campaign(lone.now_s)


def pipeline_below_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """LDR-7: a promise says that slots up to 5 are chosen, and slot 1 is proposed anew."""

    def learns_nothing(_: Leadership, slot: Slot) -> bool:
        return slot < 0  # never

    monkeypatch.setattr(Leadership, "_must_learn", learns_nothing)
    lone = Lone(3)
    lone.campaign(2)
    lone.promise(2, watermark=5)


def serving_with_slots_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """LDR-8: it would tell of a slot that it has in proposal."""
    monkeypatch.setattr(Leadership, "reportable", property(lambda _: Slot(99)))
    Lone(3).lead(2)


def two_changes() -> None:
    """LDR-3: a change is proposed while another one is on its way."""
    lone = Lone(3)
    lone.lead(2, 3)
    newest = lone.replica.membership.newest
    for _ in range(2):
        made = Configuration(2, 1, newest.voters[:2])
        lone.obey(lone.leadership.propose_change(made, lone.now_s))


def a_report_beyond_what_is_known() -> None:
    """ACC-5: a leader that steps down claims more than it has released."""
    Learner(Slot(3), Tail(Slot(3), 100, 100)).note_own_leadership(Ballot(1, ME), Slot(4))


def a_tail_that_ends_elsewhere() -> None:
    """LRN-1: what recovery kept is not what was released."""
    learner = Learner(Slot(3), Tail(Slot(3), 100, 100))
    learner.tail.add(Slot(4), NOOP)
    learner.end_recovery(Slot(3))


def in_force_before_it_is() -> None:
    """LRN-6: the disk is said to hold a configuration that is not in force yet."""
    Lone(3).replica.durable.on_stored(ConfigurationDurable(2))


def recognized_before_it_began() -> None:
    """RCL-3: an incarnation begins anew after others have recognized it."""
    recall = Recall(ME, 2, 7, Blank())
    recall.on_recognized(OTHERS[0], Recognized(2, 7, False, 1, Ballot(0, NodeId("")), Slot(0)))
    recall.begin(Ballot(1, ME), Slot(4), 1.0)


def fetching_nothing() -> None:
    """FET-1: a slot is asked for that is known."""
    Fetcher(Timing().fetch_resend_s).ask(Slot(5), Slot(4), OTHERS, 0.0)


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (forgotten_ballot, "PRO-1"),
        (two_campaigns, "PRO-3"),
        (two_changes, "LDR-3"),
        (a_report_beyond_what_is_known, "ACC-5"),
        (a_tail_that_ends_elsewhere, "LRN-1"),
        (in_force_before_it_is, "LRN-6"),
        (recognized_before_it_began, "RCL-3"),
        (fetching_nothing, "FET-1"),
    ],
)
def test_a_broken_rule_stops_the_node(broken: Callable[[], None], rule: str) -> None:
    with pytest.raises(InvariantError, match=f"^{rule}: "):
        broken()


@pytest.mark.parametrize(
    ("broken", "rule"),
    [(pipeline_below_what_is_chosen, "LDR-7"), (serving_with_slots_in_flight, "LDR-8")],
)
def test_a_rule_that_a_check_before_keeps_is_checked_all_the_same(
    broken: Callable[[pytest.MonkeyPatch], None], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvariantError, match=f"^{rule}: "):
        broken(monkeypatch)
