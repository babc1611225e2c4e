"""Status: the cluster as the node in use sees it; no other node is involved."""

from quorate.client import bodies
from quorate.client.requests import ClientRequest, Lane, head
from quorate.client.structs import MemberInfo
from quorate.client.sync.requester import Requester


class Status:
    """The cluster as the node in use sees it.

    Raises (every method):
        UnavailableError: No node replied within the deadline.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._requester!r}>"

    def leader(self, *, deadline_s: float | None = None) -> str:
        """The leader's address for other nodes; empty if none is known."""
        return bodies.name(self._requester.call(_ask(b"/v1/status/leader"), deadline_s))

    def peers(self, *, deadline_s: float | None = None) -> list[str]:
        """The addresses, for other nodes, of all voters."""
        return bodies.names(self._requester.call(_ask(b"/v1/status/peers"), deadline_s))

    def members(self, *, deadline_s: float | None = None) -> list[MemberInfo]:
        """All nodes, failed ones included, with their status."""
        return bodies.members(self._requester.call(_ask(b"/v1/agent/members"), deadline_s))


def _ask(path: bytes) -> ClientRequest:
    return ClientRequest(head("GET", path), lane=Lane.LOCAL, is_repeatable=True)
