"""Synod: single-decree Paxos, the textbook one, small enough to read in one sitting.

Some acceptors shall decide one value, although proposers compete, messages are lost, duplicated and
reordered, and any node may stop. A proposer asks a majority to *prepare*; adopts the value of the
highest ballot that any of them has accepted, if one has; and *proposes* it. A value is *decided*
when a majority has accepted it under one ballot, and then every later proposer adopts it.

The decision function is f(x) = argmax over values v of the sum over acceptors i of p_i(v), where
p_i(v) is 1 if acceptor i supports v under the newest ballot seen, else 0: the value with most
support, decided once that support is a majority.

`tests/unit/paxos/test_synod.py` walks through every interleaving for 3 acceptors and 2 proposers.
The log in `paxos.replica` is this, for many slots at once with one prepare.

Source: Lamport, "Paxos Made Simple" (2001), section 2.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from quorate.base.batches import majority

BallotNumber = int


class Supported(msgspec.Struct, frozen=True, order=True):
    """A value with the ballot under which it was accepted."""

    ballot: BallotNumber
    value: str


class SynodAcceptor:
    """One acceptor: its promise and the last value it accepted."""

    def __init__(self) -> None:
        self.promised: BallotNumber = 0
        self.accepted: Supported | None = None

    def prepare(self, ballot: BallotNumber) -> tuple[bool, Supported | None]:
        """Promise to ignore lower ballots; tell what was accepted. False: promised higher."""
        if ballot < self.promised:
            return False, None
        self.promised = ballot
        return True, self.accepted

    def accept(self, ballot: BallotNumber, value: str) -> bool:
        """Support a value, unless a higher ballot was promised."""
        if ballot < self.promised:
            return False
        self.promised = ballot
        self.accepted = Supported(ballot, value)
        return True


class SynodProposer:
    """One try of one proposer, under a ballot that no other one uses."""

    def __init__(self, ballot: BallotNumber, value: str, acceptors: int) -> None:
        self.ballot = ballot
        self.own_value = value
        self._majority = majority(acceptors)
        self._promises: dict[int, Supported | None] = {}

    def on_promise(self, acceptor: int, accepted: Supported | None) -> None:
        """Note a promise."""
        self._promises[acceptor] = accepted

    def propose(self) -> str | None:
        """The value to propose: adopted if any promise reported one, else its own.

        None while there is no majority of promises.
        """
        if len(self._promises) < self._majority:
            return None
        reported = [supported for supported in self._promises.values() if supported is not None]
        return max(reported).value if reported else self.own_value


def decide(supports: Iterable[Supported | None], acceptors: int) -> str | None:
    """f(x): the value with most support under one ballot, if a majority of acceptors gives it."""
    counts = Counter(supported for supported in supports if supported is not None)
    if not counts:
        return None
    (best, support), *_ = counts.most_common(1)
    return best.value if support >= majority(acceptors) else None
