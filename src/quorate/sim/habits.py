"""Habits: how a host behaves."""

import msgspec


class Habits(msgspec.Struct, frozen=True):
    """How a host behaves; drawn by the seed."""

    flush_share: float = 0.8  # of events after which the turn ends at once
    flush_s: float = 0.002  # else it ends within this
    snapshot_s: float = 5.0  # mean time between snapshots
    is_checking_turns: bool = False  # `flush` is tried where `is_turn_due` says that it need not be
    expect: int = 0
    is_alone: bool = False
    seeds: tuple[str, ...] = ()  # hosts to join
