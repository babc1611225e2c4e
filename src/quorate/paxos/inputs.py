"""Inputs: what a leader is given in each turn, for it is not a matter of Paxos."""

import msgspec

from quorate.base.ids import Slot


class TurnInputs(msgspec.Struct, frozen=True, gc=False):
    """What a leader says in the batches and heartbeats of a turn, and does not know by itself.

    Attributes:
        stamp_ms: Logged time.
        agreed_slot: The newest checkpoint that most voters agree on; 0 if there is none.
        agreed_digest: Of the tables, there.
    """

    stamp_ms: int
    agreed_slot: Slot
    agreed_digest: int


NO_INPUTS = TurnInputs(0, Slot(0), 0)
