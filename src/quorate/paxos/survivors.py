"""What is left of the log when a majority is lost for good: which batch counts in each slot.

SRV-1: what a survivor knows to be chosen counts.
SRV-2: of other slots a vote counts whose own leader said that the slot is chosen: it proposed
       this batch and knew it chosen (LRN-2), so the slot is proven. Votes of higher ballots hold
       the same batch, but for logs of builds that did not keep LDR-8. The report of a leader in
       whose ballot no survivor voted proves nothing: it may have learned of the slot from others.
       Without such a vote that of the highest ballot counts, as with a new leader, and is a guess:
       a lost majority may have chosen a batch of a ballot that no survivor voted in.
SRV-3: the log ends before the first slot of which no survivor holds anything.

If the survivors meet every majority, the result holds all that was ever chosen (Lamport, "Paxos
Made Simple", 2.2). If not, what only the lost nodes held is lost.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from quorate.base.ids import NO_BALLOT, Ballot, Slot
from quorate.base.records import Chosen, Promised, Record, Vote


class Survivor(NamedTuple):
    """What one data directory holds: how far its tables are, and its log."""

    applied: Slot
    records: Sequence[Record]


class Surviving(NamedTuple):
    """What counts.

    Attributes:
        base: Whose tables are the newest: a place among the survivors.
        tail: What follows them, without a gap.
        guessed: Slots of the tail that are not proven.
    """

    base: int
    tail: list[Chosen]
    guessed: frozenset[Slot]


def surviving(survivors: Sequence[Survivor]) -> Surviving:
    """Choose what counts.

    Args:
        survivors: At least one; all of one cluster.
    """
    places = range(len(survivors))
    base = max(places, key=lambda place: survivors[place].applied)
    records = [record for each in survivors for record in each.records]
    chosen = {each.slot: each.batch for each in records if isinstance(each, Chosen)}
    votes = _highest(each for each in records if isinstance(each, Vote))
    proven = _proven(records)
    tail: list[Chosen] = []
    guessed: set[Slot] = set()
    slot = Slot(survivors[base].applied + 1)
    while slot in chosen or slot in votes:
        batch = chosen.get(slot, proven.get(slot))
        if batch is None:
            batch = votes[slot].batch
            guessed.add(slot)
        tail.append(Chosen(slot, batch))
        slot = Slot(slot + 1)
    return Surviving(base, tail, frozenset(guessed))


def _highest(votes: Iterable[Vote]) -> dict[Slot, Vote]:
    best: dict[Slot, Vote] = {}
    for vote in votes:
        if vote.slot not in best or best[vote.slot].ballot < vote.ballot:
            best[vote.slot] = vote
    return best


def _proven(records: Sequence[Record]) -> dict[Slot, bytes]:
    """Batches voted for under a ballot whose leader said that their slot is chosen (SRV-2)."""
    known = _watermarks(records)
    votes = (each for each in records if isinstance(each, Vote))
    return {vote.slot: vote.batch for vote in votes if vote.slot <= known[vote.ballot]}


def _watermarks(records: Iterable[Record]) -> dict[Ballot, Slot]:
    """Up to where the leader of each ballot knew every slot chosen, as it said."""
    known: dict[Ballot, Slot] = {}
    for record in records:
        if isinstance(record, Vote | Promised) and record.ballot != NO_BALLOT:
            known[record.ballot] = max(known.get(record.ballot, Slot(0)), record.watermark)
    return known
