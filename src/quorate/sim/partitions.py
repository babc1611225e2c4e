"""Partitions: ways to partition a network. Each gives the directed pairs that are cut.

Among them the three of Omni-Paxos (2023): *quorum loss*, all are linked to one hub only, which is
not the leader; *constrained*, the leader is isolated and the others reach only a hub; *chained*,
all in a row with the leader at an end.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

Pairs = list[tuple[str, str]]


def both(pairs: Pairs) -> Pairs:
    """Cut each pair in both directions."""
    return pairs + [(other, one) for one, other in pairs]


def between(some: Sequence[str], others: Sequence[str]) -> Pairs:
    """Nothing passes between two groups."""
    return both([(one, other) for one in some for other in others])


def without(names: Sequence[str], kept: Pairs) -> Pairs:
    """Everything is cut but these links, given in either direction."""
    links = set(both(kept))
    return [(a, b) for a in names for b in names if a != b and (a, b) not in links]


def halves(names: Sequence[str], leader: str) -> Pairs:
    """Two groups, the leader in the smaller."""
    order = _leader_first(names, leader)
    middle = len(order) // 2
    return between(order[:middle], order[middle:])


def isolated(names: Sequence[str], leader: str) -> Pairs:
    """The leader is cut off in both directions."""
    return between([leader], [name for name in names if name != leader])


def inbound_cut(names: Sequence[str], leader: str) -> Pairs:
    """The leader receives nothing; what it sends arrives."""
    return [(name, leader) for name in names if name != leader]


def outbound_cut(names: Sequence[str], leader: str) -> Pairs:
    """The leader receives everything; what it sends is lost."""
    return [(leader, name) for name in names if name != leader]


def single(names: Sequence[str], leader: str) -> Pairs:
    """One link of the leader is gone."""
    order = _leader_first(names, leader)
    return both([(order[0], order[1])]) if len(order) > 1 else []


def ring(names: Sequence[str], leader: str) -> Pairs:
    """Each reaches its two neighbours only: overlapping majorities of five."""
    return without(names, list(zip(names, [*names[1:], names[0]], strict=True)))


def bridge(names: Sequence[str], leader: str) -> Pairs:
    """Two groups that share one node."""
    order = _leader_first(names, leader)
    middle = len(order) // 2
    return between(order[:middle], order[middle + 1 :])


def quorum_loss(names: Sequence[str], leader: str) -> Pairs:
    """All are linked to one hub only, and the leader is not the hub."""
    hub = _leader_first(names, leader)[-1]
    return without(names, [(hub, name) for name in names if name != hub])


def constrained(names: Sequence[str], leader: str) -> Pairs:
    """The leader is isolated; the others reach only a hub."""
    order = _leader_first(names, leader)
    return without(names, [(order[-1], name) for name in order[1:-1]])


def chained(names: Sequence[str], leader: str) -> Pairs:
    """All in a row, the leader at one end."""
    order = _leader_first(names, leader)
    return without(names, list(pairwise(order)))


def _leader_first(names: Sequence[str], leader: str) -> list[str]:
    return [leader, *[name for name in names if name != leader]] if leader in names else list(names)


PARTITIONS: dict[str, Callable[[Sequence[str], str], Pairs]] = {
    partition.__name__: partition
    for partition in (
        halves,
        isolated,
        inbound_cut,
        outbound_cut,
        single,
        ring,
        bridge,
        quorum_loss,
        constrained,
        chained,
    )
}
