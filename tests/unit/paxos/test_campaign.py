"""Whom a ballot asks for a promise, and when again."""

from quorate.base.effects import Effect, SendWhenDurable
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Promise
from quorate.paxos.campaign import Campaign
from quorate.paxos.proposer import Phase1

ANN, BOB, CAT, DAN, EVE = (NodeId(name) for name in ("ann", "bob", "cat", "dan", "eve"))
BALLOT, ONE, RESEND_S = Ballot(2, ANN), Slot(1), 0.5
OLD, NEW = frozenset({ANN, BOB, CAT}), frozenset({CAT, DAN, EVE})


def campaign() -> tuple[Campaign, Phase1]:
    phase1 = Phase1(BALLOT, ONE)
    return Campaign(ANN, phase1, RESEND_S), phase1


def promise(phase1: Phase1, *nodes: NodeId) -> None:
    for node in nodes:
        phase1.on_promise(node, Promise(BALLOT, ONE, Slot(0), 0, 1, ()))


def asked(effects: list[Effect]) -> list[NodeId]:
    assert all(isinstance(effect, SendWhenDurable) for effect in effects), (
        "PRO-1: it waits for our record"
    )
    return [effect.to for effect in effects if isinstance(effect, SendWhenDurable)]


def test_who_did_not_promise_is_asked_again_after_a_while() -> None:
    made, phase1 = campaign()
    assert asked(made.begin([BOB, CAT], 0.0)) == [BOB, CAT]
    promise(phase1, BOB)
    assert asked(made.ask_again(RESEND_S - 0.01)) == []
    assert asked(made.ask_again(RESEND_S)) == [CAT]
    assert asked(made.ask_again(RESEND_S + 0.01)) == []


def test_voters_of_a_new_configuration_are_asked_until_a_quorum_of_them_promised() -> None:
    made, phase1 = campaign()
    made.begin([BOB, CAT], 0.0)
    promise(phase1, ANN, BOB, CAT)
    assert asked(made.ask(OLD, 1.0)) == [], "they promised"
    assert asked(made.ask(NEW, 1.0)) == [DAN, EVE]
    assert asked(made.ask(NEW, 1.0)) == [], "they were asked just now"
    promise(phase1, EVE)
    assert asked(made.ask(NEW, 9.0)) == [], "cat and eve are a quorum"


def test_who_is_linked_anew_is_asked_at_once() -> None:
    made, phase1 = campaign()
    made.begin([BOB, CAT], 0.0)
    promise(phase1, CAT)
    for peer in (BOB, CAT, DAN):
        made.on_link(peer, is_again=True)
    assert asked(made.ask_again(0.0)) == [BOB, DAN]


def test_a_link_made_anew_while_the_ballot_leads_is_forgotten_until_a_promise_is_owed() -> None:
    made, _ = campaign()
    made.begin([BOB], 0.0)
    made.on_link(BOB, is_again=False)
    assert asked(made.ask_again(9.0)) == []
    assert asked(made.ask(OLD, 0.0)) == [BOB, CAT]
