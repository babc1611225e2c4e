"""What goes with every request from its gateway to the node: who asks, and under which terms.

A gateway makes one `RequestContext` per request, or takes a shared one where nothing is special;
whatever decides on a request gets it.
"""

from enum import Enum
from math import inf

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """On whose behalf something is asked: what access control will decide by.

    Attributes:
        name: For logs and errors.
    """

    name: str = "anonymous"


class Consistency(Enum):
    """How new a read must be."""

    DEFAULT = "default"  # linearizable
    CONSISTENT = "consistent"  # the same, and the caller said so
    STALE = "stale"  # what this node has


ANONYMOUS = Principal()
"""A principal that did not say who it is."""

NODE = Principal("this node")
"""What a node asks of itself."""


class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """Who asks, and how.

    Attributes:
        principal: Who.
        consistency: How new a read must be.
        age_s_max: Of a stale read: only from tables that are surely not older than this.
        deadline_s: Monotonic time of the node after which nobody waits for the answer: what was
            not proposed by then never is, and no read is confirmed any more.
        trace_id: What the caller calls this request, in logs; "" if it has no name.
    """

    principal: Principal = ANONYMOUS
    consistency: Consistency = Consistency.DEFAULT
    age_s_max: float = inf
    deadline_s: float = inf
    trace_id: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether a read may be answered without asking anybody."""
        return self.consistency is Consistency.STALE


PLAIN = RequestContext()
"""Nobody asks for anything special."""

PLAIN_STALE = RequestContext(consistency=Consistency.STALE)
"""Likewise, for a read of what this node has."""

PLAIN_CONSISTENT = RequestContext(consistency=Consistency.CONSISTENT)
"""Likewise, said to be consistent."""

OWN = RequestContext(NODE)
"""The node asks itself."""
