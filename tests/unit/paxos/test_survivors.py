"""Which batch counts in each slot when a majority is lost for good."""

import pytest

from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.records import Chosen, Promised, Record, Vote
from quorate.paxos.survivors import Surviving, Survivor, surviving


def ballot(number: int) -> Ballot:
    return Ballot(number, NodeId("n"))


def vote(slot: int, round_: int, batch: str, watermark: int = 0) -> Vote:
    return Vote(ballot(round_), Slot(slot), Slot(watermark), batch.encode())


def chosen(slot: int, batch: str) -> Chosen:
    return Chosen(Slot(slot), batch.encode())


def found(*logs: list[Record], applied: int = 0) -> Surviving:
    return surviving([Survivor(Slot(applied), log) for log in logs])


def batches(result: Surviving) -> str:
    return b"".join(each.batch for each in result.tail).decode()


def test_the_newest_tables_are_the_base_and_what_follows_them_is_the_tail() -> None:
    log: list[Record] = [chosen(slot, "abcd"[slot - 1]) for slot in range(1, 5)]
    result = surviving([Survivor(Slot(1), log), Survivor(Slot(2), []), Survivor(Slot(0), [])])
    assert (result.base, batches(result)) == (1, "cd")


def test_what_one_lacks_another_has() -> None:
    assert batches(found([chosen(1, "a"), chosen(3, "c")], [chosen(2, "b")])) == "abc"


def test_what_is_chosen_counts_more_than_any_vote() -> None:
    result = found([chosen(1, "a")], [vote(1, 9, "x")])
    assert (batches(result), result.guessed) == ("a", frozenset())


@pytest.mark.parametrize("is_turned", [False, True])
def test_of_votes_that_of_the_highest_ballot_counts(is_turned: bool) -> None:
    logs: list[list[Record]] = [[vote(1, 2, "a")], [vote(1, 3, "b")]]
    result = found(*(reversed(logs) if is_turned else logs))
    assert batches(result) == "b"
    assert result.guessed == {1}


def test_a_vote_is_proven_by_what_the_leader_of_its_ballot_knew() -> None:
    result = found([vote(1, 2, "a"), vote(2, 2, "b", watermark=1)])
    assert batches(result) == "ab"
    assert result.guessed == {2}


def test_a_promise_that_says_what_its_leader_knew_proves_as_much() -> None:
    log: list[Record] = [vote(1, 2, "a"), Promised(ballot(2), Slot(1))]
    assert found(log).guessed == frozenset()


def test_a_vote_is_proven_by_a_lower_one_whose_leader_knew_that_it_was_chosen() -> None:
    """Later leaders propose what was chosen."""
    log: list[Record] = [vote(1, 2, "a"), Promised(ballot(2), Slot(1)), vote(1, 3, "a")]
    assert found(log).guessed == frozenset()


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_vote_that_is_proven_counts_more_than_a_higher_one_that_is_not(is_turned: bool) -> None:
    """Before LDR-8 a leader reported what others had chosen under a ballot that is lost here."""
    logs: list[list[Record]] = [[vote(1, 2, "a"), Promised(ballot(2), Slot(1))], [vote(1, 3, "x")]]
    result = found(*(reversed(logs) if is_turned else logs))
    assert (batches(result), result.guessed) == ("a", frozenset())


def test_the_report_of_a_leader_proves_nothing_where_no_survivor_voted_in_its_ballot() -> None:
    """It may have fetched the slot, chosen under a ballot above that of an older vote."""
    assert found([Promised(ballot(2), Slot(1)), vote(1, 3, "a")]).guessed == {1}
    assert found([vote(1, 2, "a"), Promised(ballot(3), Slot(1))]).guessed == {1}


def test_the_log_ends_before_the_first_slot_of_which_no_survivor_holds_anything() -> None:
    assert batches(found([chosen(1, "a"), chosen(3, "c")])) == "a"
    assert batches(found([])) == ""


def test_what_the_tables_hold_is_not_in_the_tail() -> None:
    assert batches(found([chosen(1, "a"), chosen(2, "b")], applied=2)) == ""
