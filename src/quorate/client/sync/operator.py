"""Operator: members of the cluster, their votes, and leadership."""

from quorate.client import arguments, bodies
from quorate.client.requests import ClientRequest, Lane, head, query
from quorate.client.structs import OVERVIEW, SERVERS, ClusterOverview, ConfiguredServer
from quorate.client.sync.requester import Requester


class Operator:
    """Membership, for the programs that run a cluster.

    Raises (every method):
        UnavailableError: Definite: it was not executed before the deadline.
        OutcomeUnknownError: Indefinite, `promote`, `remove` and `transfer`: it may have been
            executed.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._requester!r}>"

    def overview(self, *, deadline_s: float | None = None) -> ClusterOverview:
        """The cluster as the node in use sees it, also while there is no leader."""
        request = ClientRequest(
            head("GET", b"/v1/operator/cluster"), lane=Lane.LOCAL, is_repeatable=True
        )
        found = bodies.decoded(OVERVIEW, self._requester.call(request, deadline_s))
        found.members.sort(key=lambda each: each.name)
        return found

    def servers(self, *, deadline_s: float | None = None) -> list[ConfiguredServer]:
        """The members of the configuration in force; a linearizable read."""
        request = ClientRequest(
            head("GET", b"/v1/operator/raft/configuration"), lane=Lane.EXCLUSIVE, is_repeatable=True
        )
        return bodies.decoded(SERVERS, self._requester.call(request, deadline_s)).servers

    def promote(self, member: str, *, deadline_s: float | None = None) -> None:
        """Make a learner a voter; nothing happens if it is one.

        Args:
            member: Its id.
            deadline_s: Seconds from now; the client's own if None.

        Raises:
            ConflictError: It has not caught up yet, or another change is in progress.
            NotFoundError: There is no such member.
        """
        self._change("PUT", b"/v1/operator/raft/peer", member, deadline_s)

    def remove(self, member: str, *, deadline_s: float | None = None) -> None:
        """Remove a member for good; when this returns, it may be shut down.

        Args:
            member: Its id.
            deadline_s: Seconds from now; the client's own if None.

        Raises:
            NotFoundError: There is no such member.
        """
        self._change("DELETE", b"/v1/operator/raft/peer", member, deadline_s)

    def transfer(self, member: str = "", *, deadline_s: float | None = None) -> None:
        """Transfer leadership.

        Args:
            member: The id of the next leader; empty: the best one.
            deadline_s: Seconds from now; the client's own if None.

        Raises:
            NotFoundError: There is no other voter that is alive, or no such member.
        """
        self._change("POST", b"/v1/operator/raft/transfer-leader", member, deadline_s)

    def _change(self, method: str, path: bytes, member: str, deadline_s: float | None) -> None:
        what = query(id=arguments.text("member", member) or None)
        self._requester.call(
            ClientRequest(head(method, path, what), lane=Lane.EXCLUSIVE), deadline_s
        )
