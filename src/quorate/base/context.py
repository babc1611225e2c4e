"""The context of a request, from its gateway to the node: the principal and the conditions.

A gateway makes one `RequestContext` per request, or uses a shared one; every function that decides
on a request gets it.
"""

from enum import Enum
from math import inf

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """On whose behalf a request is made: access control will decide by it.

    Attributes:
        name: For logs and errors.
    """

    name: str = "anonymous"


class Consistency(Enum):
    """How new a read must be."""

    DEFAULT = "default"  # linearizable
    CONSISTENT = "consistent"  # the same, requested explicitly
    STALE = "stale"  # the tables of this node


ANONYMOUS = Principal()
"""A principal that has not identified itself."""

NODE = Principal("this node")
"""The node itself."""


class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """The context of one request.

    Attributes:
        principal: Who.
        consistency: How new a read must be.
        age_s_max: Of a stale read: only from tables that are surely not older than this.
        deadline_s: Monotonic time of the node after which the caller does not wait any more: what
            was not proposed by then never is, and no read is confirmed.
        trace_id: The caller's id of this request, for logs; "" if none.
    """

    principal: Principal = ANONYMOUS
    consistency: Consistency = Consistency.DEFAULT
    age_s_max: float = inf
    deadline_s: float = inf
    trace_id: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether a read needs no confirmation."""
        return self.consistency is Consistency.STALE

    @property
    def is_common(self) -> bool:
        """Nobody is named, and it has no terms but its consistency: others may have the same."""
        return (
            self.principal is ANONYMOUS
            and self.age_s_max == inf
            and self.deadline_s == inf
            and not self.trace_id
        )


PLAIN = RequestContext()
"""The default for all fields."""

PLAIN_STALE = RequestContext(consistency=Consistency.STALE)
"""Likewise, for a stale read."""

PLAIN_CONSISTENT = RequestContext(consistency=Consistency.CONSISTENT)
"""Likewise, consistent by request."""

OWN = RequestContext(NODE)
"""A request of the node itself."""
