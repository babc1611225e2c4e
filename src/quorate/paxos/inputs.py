"""Inputs: what a leader sends in each turn and is not decided by Paxos."""

import msgspec

from quorate.base.ids import Slot


class TurnInputs(msgspec.Struct, frozen=True, gc=False):
    """What the batches and heartbeats of a turn carry; the node sets it.

    Attributes:
        log_time_ms: Log time.
        agreed_slot: The newest checkpoint that most voters agree on; 0 if there is none.
        agreed_digest: Of the tables, there.
    """

    log_time_ms: int
    agreed_slot: Slot
    agreed_digest: int


NO_INPUTS = TurnInputs(0, Slot(0), 0)
