"""Sharing: what all listeners of one node have in common, so that their limits are the node's."""

from typing import NamedTuple

from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.transfers import Snapshots
from quorate.httpserver.budget import Budget, budget_of
from quorate.httpserver.slices import SliceQueue
from quorate.httpserver.spool import Space
from quorate.serving.evaluations import Evaluations


class Shared(NamedTuple):
    """See above.

    Attributes:
        budget: Of memory and connections.
        snapshots: The files being saved and put back.
        slices: Long answers, made a piece at a time.
        evaluations: What blocking queries that ask for the same share.
    """

    budget: Budget
    snapshots: Snapshots
    slices: SliceQueue
    evaluations: Evaluations


def shared(config: HttpConfig) -> Shared:
    """What the listeners with this configuration share."""
    budget = budget_of(config)
    space = Space(config.spool_dir, config.free_bytes_min, "a snapshot")
    return Shared(budget, Snapshots(space, config.snapshots_max), SliceQueue(), Evaluations())
