"""Status: what the nodes say of themselves. Answered by one node, without asking others."""

from quorate.client import bodies
from quorate.client.requests import ClientRequest, Lane, head
from quorate.client.structs import MemberInfo
from quorate.client.sync.road import Road


class Status:
    """The cluster as one node sees it.

    Raises (every method):
        UnavailableError: No node answered within the deadline.
    """

    def __init__(self, road: Road) -> None:
        self._road = road

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._road!r}>"

    def leader(self, *, deadline_s: float | None = None) -> str:
        """The leader's address between nodes; empty if none is known."""
        return bodies.name(self._road.call(_ask(b"/v1/status/leader"), deadline_s))

    def peers(self, *, deadline_s: float | None = None) -> list[str]:
        """The addresses between nodes of all that vote."""
        return bodies.names(self._road.call(_ask(b"/v1/status/peers"), deadline_s))

    def members(self, *, deadline_s: float | None = None) -> list[MemberInfo]:
        """All nodes, the dead ones too, with their state."""
        return bodies.members(self._road.call(_ask(b"/v1/agent/members"), deadline_s))


def _ask(path: bytes) -> ClientRequest:
    return ClientRequest(head("GET", path), lane=Lane.LOCAL, is_repeatable=True)
