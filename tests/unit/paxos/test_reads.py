"""Read rounds: what an answer confirms, and what it does not."""

from quorate.base.ids import NodeId, Slot
from quorate.paxos.reads import ReadRequest, ReadRounds

ANN, BOB, CY, DAN = NodeId("ann"), NodeId("bob"), NodeId("cy"), NodeId("dan")
VOTERS = frozenset({ANN, BOB, CY})


def opened(*asks: int) -> tuple[ReadRounds, list[int]]:
    """One round per request, at slots 1, 2 and so on."""
    rounds, counters = ReadRounds(), list[int]()
    for slot, number in enumerate(asks, start=1):
        rounds.add(ReadRequest(ANN, number))
        counters.append(rounds.begin(Slot(slot), slot * 10, float(slot), VOTERS))
    return rounds, counters


def test_a_round_is_confirmed_only_by_a_quorum_of_answers_to_its_own_token() -> None:
    rounds, (first, second) = opened(7, 8)
    assert rounds.on_answer(ANN, first) is None
    assert rounds.on_answer(ANN, second) is None
    confirmed = rounds.on_answer(BOB, first)
    assert confirmed is not None
    assert (confirmed.requests, confirmed.slot) == ([ReadRequest(ANN, 7)], 1)


def test_a_later_round_confirms_the_requests_of_all_before_it_at_its_own_index() -> None:
    rounds, (_, second, third) = opened(7, 8, 9)
    rounds.on_answer(ANN, second)
    confirmed = rounds.on_answer(CY, second)
    assert confirmed is not None
    assert [each.number for each in confirmed.requests] == [7, 8]
    assert (confirmed.slot, confirmed.log_time_ms) == (2, 20)
    rounds.on_answer(ANN, third)
    confirmed = rounds.on_answer(CY, third)
    assert confirmed is not None
    assert [each.number for each in confirmed.requests] == [9]


def test_a_late_answer_to_a_finished_round_confirms_nothing() -> None:
    rounds, (first, second) = opened(7, 8)
    rounds.on_answer(ANN, first)
    rounds.on_answer(BOB, first)
    assert rounds.on_answer(CY, first) is None
    assert rounds.on_answer(CY, second) is None


def test_the_quorum_is_that_of_the_configuration_when_the_round_was_sent() -> None:
    rounds = ReadRounds()
    rounds.add(ReadRequest(ANN, 1))
    old = rounds.begin(Slot(1), 0, 0.0, VOTERS)
    rounds.begin(Slot(9), 0, 0.0, frozenset({CY, DAN}))
    assert rounds.on_answer(CY, old) is None
    assert rounds.on_answer(DAN, old) is None
    assert rounds.on_answer(BOB, old) is not None


def test_a_token_is_never_used_again() -> None:
    rounds, counters = opened(1, 2, 3)
    rounds.on_answer(ANN, counters[-1])
    rounds.on_answer(BOB, counters[-1])
    assert rounds.begin(Slot(4), 0, 0.0, VOTERS) not in counters


def test_a_round_is_due_when_something_waits_or_rides_unanswered() -> None:
    rounds = ReadRounds()
    assert not rounds.is_due(0.0, 0.1)
    rounds.add(ReadRequest(ANN, 1))
    assert rounds.has_waiting
    assert rounds.is_due(0.0, 0.1)
    rounds.begin(Slot(1), 0, 0.0, VOTERS)
    assert not rounds.is_due(0.05, 0.1)
    rounds.add(ReadRequest(BOB, 2))
    assert not rounds.is_due(0.05, 0.1), "it rides in the next round"
    assert rounds.is_due(0.1, 0.1)
    rounds.begin(Slot(1), 0, 0.1, VOTERS)
    assert not rounds.is_due(0.15, 0.1)
    assert rounds.is_due(0.2, 0.1), "a round that stays unanswered is followed by another"


def test_requests_that_wait_while_only_heartbeats_are_open_need_not_wait_longer() -> None:
    rounds = ReadRounds()
    rounds.begin(Slot(1), 0, 0.0, VOTERS)
    rounds.add(ReadRequest(ANN, 1))
    assert rounds.is_due(0.0, 0.1)
