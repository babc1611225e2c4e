"""Sharing: what all listeners of one node share, so that limits hold for the node."""

from typing import NamedTuple

from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.transfers import Snapshots
from quorate.httpserver.budget import Budget, budget_of
from quorate.httpserver.slices import SliceQueue
from quorate.httpserver.spool import Space
from quorate.serving.evaluations import Evaluations


class Shared(NamedTuple):
    """Shared by the listeners of a node.

    Attributes:
        budget: Limits memory and connections.
        snapshots: Limits snapshots that are saved and restored.
        slices: Runs long work a step at a time.
        evaluations: Results that equal blocking queries share.
    """

    budget: Budget
    snapshots: Snapshots
    slices: SliceQueue
    evaluations: Evaluations


def shared(config: HttpConfig) -> Shared:
    """Make what the listeners with this configuration share."""
    budget = budget_of(config)
    space = Space(config.spool_dir, config.free_bytes_min, "a snapshot")
    return Shared(budget, Snapshots(space, config.snapshots_max), SliceQueue(), Evaluations())
