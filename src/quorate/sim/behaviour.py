"""Behaviour of a host, besides its settings."""

import msgspec


class Behaviour(msgspec.Struct, frozen=True):
    """How a host behaves; drawn from the seed."""

    flush_share: float = 0.8  # of events after which the turn ends at once
    flush_s: float = 0.002  # else it ends within this
    snapshot_s: float = 5.0  # mean time between snapshots
    is_checking_turns: bool = False  # `end_turn` is tried also where `is_turn_due` is false
    expect: int = 0
    is_alone: bool = False
    seeds: tuple[str, ...] = ()  # hosts to join
