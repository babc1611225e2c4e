"""Single-decree Paxos over every interleaving: 3 acceptors, 2 proposers."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from quorate.paxos.synod import Supported, SynodAcceptor, SynodProposer, decide

ACCEPTORS = 3
Holding = tuple[int, Supported | None]


class Try(NamedTuple):
    """One proposer: who promised it what, the value it proposes, whom it has asked to accept."""

    ballot: int
    own_value: str
    promises: frozenset[tuple[int, Supported | None]] = frozenset()
    value: str | None = None
    asked: frozenset[int] = frozenset()


State = tuple[tuple[Holding, ...], tuple[Try, ...]]
START: State = (((0, None),) * ACCEPTORS, (Try(1, "ann"), Try(2, "bob")))


def acceptor_of(holding: Holding) -> SynodAcceptor:
    acceptor = SynodAcceptor()
    acceptor.promised, acceptor.accepted = holding
    return acceptor


def steps(state: State, *, adopts: bool = True) -> Iterator[State]:
    """Every next state; a message that never comes is a step never taken."""
    for p, one in enumerate(state[1]):
        for a in range(ACCEPTORS):
            acceptor = acceptor_of(state[0][a])
            if one.value is None and a not in {who for who, _ in one.promises}:
                granted, accepted = acceptor.prepare(one.ballot)
                if granted:
                    yield after(
                        state, p, one._replace(promises=one.promises | {(a, accepted)}), a, acceptor
                    )
            elif one.value is not None and a not in one.asked:
                acceptor.accept(one.ballot, one.value)
                yield after(state, p, one._replace(asked=one.asked | {a}), a, acceptor)
        if one.value is None:
            proposer = SynodProposer(one.ballot, one.own_value, ACCEPTORS)
            for who, accepted in one.promises:
                proposer.on_promise(who, accepted if adopts else None)
            value = proposer.propose()
            if value is not None:
                yield after(state, p, one._replace(value=value))


def after(
    state: State, p: int, one: Try, a: int = 0, acceptor: SynodAcceptor | None = None
) -> State:
    acceptors, tries = list(state[0]), list(state[1])
    tries[p] = one
    if acceptor is not None:
        acceptors[a] = (acceptor.promised, acceptor.accepted)
    return tuple(acceptors), tuple(tries)


def disagreements(*, adopts: bool) -> tuple[int, int]:
    """(states walked, steps in which a decided value changed)."""
    seen: set[tuple[State, str | None]] = set()
    todo: list[tuple[State, str | None]] = [(START, None)]
    broken = 0
    while todo:
        state, decided = todo.pop()
        if (state, decided) in seen:
            continue
        seen.add((state, decided))
        now = decide([accepted for _, accepted in state[0]], ACCEPTORS)
        if decided is not None and now is not None and now != decided:
            broken += 1
        todo += [(new, now or decided) for new in steps(state, adopts=adopts)]
    return len(seen), broken


def test_no_interleaving_decides_two_values() -> None:
    walked, broken = disagreements(adopts=True)
    assert walked > 500
    assert broken == 0


def test_a_proposer_that_does_not_adopt_is_caught() -> None:
    assert disagreements(adopts=False)[1] > 0


@pytest.mark.parametrize(
    ("supports", "decided"),
    [
        ([None, None, None], None),
        ([Supported(1, "a"), None, None], None),
        ([Supported(1, "a"), Supported(1, "a"), None], "a"),
        ([Supported(1, "a"), Supported(2, "a"), None], None),
        ([Supported(1, "a"), Supported(2, "b"), Supported(2, "b")], "b"),
    ],
)
def test_a_value_is_decided_by_a_majority_under_one_ballot(
    supports: list[Supported | None], decided: str | None
) -> None:
    assert decide(supports, ACCEPTORS) == decided
