"""Lamport, "Paxos Made Simple" (2001), section 2: each requirement as a test.

Acceptors and the proposer's phase 1 are the ones of the log; one slot stands for one instance.
The requirements P2 to P2c are walked over every subset and order of a small world.
"""

from itertools import combinations, permutations, product

import pytest

from quorate.base.effects import Effect, Persist, Send, SendWhenDurable
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Accept, Accepted, Nack, Prepare, Promise, SlotState
from quorate.base.records import Promised, Vote
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.proposer import Phase1, Pipeline
from quorate.paxos.quorum import phase2_size

NODES = (NodeId("a"), NodeId("b"), NodeId("c"))
VOTERS = frozenset(NODES)
SLOT, NONE = Slot(1), Slot(0)
MAJORITIES = [frozenset(pair) for pair in combinations(NODES, 2)] + [VOTERS]


def ballot(number: int) -> Ballot:
    return Ballot(number, NODES[number % 3])


class World:
    """Three acceptors, and every vote that was ever cast."""

    def __init__(self) -> None:
        self.acceptors = {node: Acceptor(NONE, 10) for node in NODES}
        self.votes: dict[tuple[Ballot, bytes], set[NodeId]] = {}

    def prepare(self, number: int, whom: frozenset[NodeId]) -> Phase1:
        """1a to each, 1b back from each that promises."""
        phase1 = Phase1(ballot(number), SLOT)
        for node in sorted(whom):
            request = Prepare(ballot(number), SLOT)
            for effect in self.acceptors[node].on_prepare(NODES[0], request, {}):
                if isinstance(effect, SendWhenDurable) and isinstance(effect.message, Promise):
                    phase1.on_promise(node, effect.message)
        return phase1

    def accept(self, number: int, value: bytes, whom: frozenset[NodeId]) -> None:
        """2a to each; who votes is noted."""
        for node in sorted(whom):
            request = Accept(ballot(number), SLOT, NONE, value)
            effects = self.acceptors[node].on_accept(NODES[0], request)
            if any(isinstance(effect, SendWhenDurable) for effect in effects):
                self.votes.setdefault((ballot(number), value), set()).add(node)

    def propose(self, number: int, own_value: bytes, first: frozenset[NodeId]) -> bytes | None:
        """What a proposer may propose after phase 1 with these acceptors."""
        phase1 = self.prepare(number, first)
        if not phase1.is_enough(VOTERS):
            return None
        return phase1.batch_for(SLOT) if phase1.slot_last else own_value

    def chosen(self) -> set[bytes]:
        return {
            value
            for (_, value), voted in self.votes.items()
            if len(voted & VOTERS) >= phase2_size(len(VOTERS))
        }


def kinds(effects: list[Effect]) -> list[type]:
    return [
        type(effect.message) if isinstance(effect, SendWhenDurable | Send) else type(effect)
        for effect in effects
    ]


def test_p1_an_acceptor_accepts_the_first_proposal_it_receives() -> None:
    effects = Acceptor(NONE, 10).on_accept(NODES[1], Accept(ballot(1), SLOT, NONE, b"v"))
    assert kinds(effects) == [Persist, Accepted]


def test_p1a_it_accepts_a_numbered_proposal_unless_it_answered_a_prepare_above_it() -> None:
    for promised, number in product(range(1, 5), repeat=2):
        acceptor = Acceptor(NONE, 10)
        acceptor.on_prepare(NODES[0], Prepare(ballot(promised), SLOT), {})
        effects = acceptor.on_accept(NODES[0], Accept(ballot(number), SLOT, NONE, b"v"))
        assert (Accepted in kinds(effects)) == (number >= promised)


def test_different_proposals_have_different_numbers() -> None:
    assert len({Ballot(number, node) for number in range(3) for node in NODES}) == 9
    assert Ballot(2, NODES[0]) > Ballot(1, NODES[2])


def test_a_value_is_chosen_when_a_majority_has_accepted_one_proposal() -> None:
    for count in range(4):
        for voted in combinations(NODES, count):
            pipeline = Pipeline(ballot(1), SLOT)
            pipeline.open(b"v", VOTERS, 0.0, 1.0)
            results = [pipeline.on_accepted(node, SLOT) for node in voted]
            assert (b"v" in results) == (count >= 2)


def test_an_acceptor_must_be_able_to_accept_more_than_one_proposal() -> None:
    acceptor = Acceptor(NONE, 10)
    for number in (1, 2):
        effects = acceptor.on_accept(NODES[0], Accept(ballot(number), SLOT, NONE, b"v"))
        assert Accepted in kinds(effects)


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_p2_once_a_value_is_chosen_every_higher_proposal_chosen_has_it(
    order: tuple[int, ...],
) -> None:
    """P2, P2a, P2b: chosen, accepted, issued; over all majorities and who receives the votes."""
    for firsts in product(MAJORITIES, repeat=3):
        for seconds in product(MAJORITIES, repeat=3):
            world = World()
            for number, first, second in zip(order, firsts, seconds, strict=True):
                before = world.chosen()
                value = world.propose(number, b"%d" % number, first)
                if value is None:
                    continue
                assert not before or before == {value}, "P2b: issued with the chosen value"
                world.accept(number, value, second)
                assert len(world.chosen()) <= 1


def test_p2c_the_value_of_the_highest_ballot_a_majority_accepted_is_taken() -> None:
    for reported in product((0, 1, 2), repeat=2):
        phase1 = Phase1(ballot(5), SLOT)
        for node, number in zip(NODES, reported, strict=False):
            held = (SlotState(SLOT, ballot(number), b"%d" % number),) if number else ()
            phase1.on_promise(node, Promise(ballot(5), SLOT, NONE, 0, 1, held, SLOT))
        assert phase1.is_enough(VOTERS)
        if max(reported):
            assert phase1.batch_for(SLOT) == b"%d" % max(reported)
        else:
            assert phase1.slot_last == 0, "nobody accepted any: the proposer is free"


def test_phase_1a_a_proposer_asks_a_majority_for_a_promise_before_it_proposes() -> None:
    world = World()
    assert world.propose(1, b"v", frozenset(NODES[:1])) is None
    assert world.propose(2, b"v", frozenset(NODES[:2])) == b"v"


def test_phase_1b_an_acceptor_promises_and_reports_the_highest_proposal_it_accepted() -> None:
    acceptor = Acceptor(NONE, 10)
    acceptor.on_accept(NODES[0], Accept(ballot(1), SLOT, NONE, b"old"))
    acceptor.on_accept(NODES[0], Accept(ballot(2), SLOT, NONE, b"new"))
    effects = acceptor.on_prepare(NODES[0], Prepare(ballot(3), SLOT), {})
    assert kinds(effects) == [Persist, Promise]
    reply = effects[-1]
    assert isinstance(reply, SendWhenDurable)
    assert isinstance(reply.message, Promise)
    assert reply.message.held == (SlotState(SLOT, ballot(2), b"new"),)


def test_phase_1b_a_prepare_not_above_the_promise_gets_none() -> None:
    acceptor = Acceptor(NONE, 10)
    acceptor.on_prepare(NODES[0], Prepare(ballot(3), SLOT), {})
    assert kinds(acceptor.on_prepare(NODES[0], Prepare(ballot(2), SLOT), {})) == [Nack]


def test_phase_2a_a_proposer_with_a_majority_sends_its_value_to_acceptors() -> None:
    world = World()
    value = world.propose(1, b"v", MAJORITIES[0])
    assert value == b"v"
    world.accept(1, value, MAJORITIES[1])
    assert world.chosen() == {b"v"}


def test_phase_2b_an_acceptor_votes_unless_it_promised_more() -> None:
    world = World()
    value = world.propose(1, b"v", VOTERS)
    assert value is not None
    world.prepare(2, frozenset(NODES[:2]))
    world.accept(1, value, VOTERS)
    assert world.chosen() == set()
    assert world.votes == {(ballot(1), b"v"): {NODES[2]}}


def test_a_proposer_may_abandon_a_proposal_and_go_on_with_a_higher_number() -> None:
    world = World()
    world.propose(1, b"abandoned", VOTERS)
    value = world.propose(4, b"v", VOTERS)
    assert value == b"v"
    world.accept(4, value, VOTERS)
    assert world.chosen() == {b"v"}


def test_an_acceptor_remembers_across_failures_what_it_promised_and_accepted() -> None:
    acceptor, again = Acceptor(NONE, 10), Acceptor(NONE, 10)
    effects = acceptor.on_accept(NODES[0], Accept(ballot(1), SLOT, NONE, b"v"))
    effects += acceptor.on_prepare(NODES[0], Prepare(ballot(4), SLOT), {})
    for effect in effects:
        if isinstance(effect, Persist):
            assert isinstance(effect.record, Promised | Vote)
            again.remember(effect.record)
    assert (again.promised, again.votes) == (acceptor.promised, acceptor.votes)
