"""Operator: members of the cluster, their votes, and leadership."""

from quorate.client import arguments, bodies
from quorate.client.membership import OVERVIEW, SERVERS, ClusterOverview, ConfiguredServer
from quorate.client.sync.client import Client


class Operator:
    """Membership of a cluster, for the programs that run it.

        Operator(client).remove(member)

    Args:
        client: A client of the cluster.

    Raises (every method):
        UnavailableError: Definite: it was not executed before the deadline.
        OutcomeUnknownError: Indefinite, `promote`, `remove` and `transfer`: it may have been
            executed.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"

    def overview(self, *, deadline_s: float | None = None) -> ClusterOverview:
        """The cluster as the node that answers knows it, also while there is no leader."""
        reply = self._client.call("GET", "/v1/operator/cluster", deadline_s=deadline_s)
        found = bodies.decoded(OVERVIEW, reply)
        found.members.sort(key=lambda each: each.name)
        return found

    def servers(self, *, deadline_s: float | None = None) -> list[ConfiguredServer]:
        """The members of the configuration in force; a linearizable read."""
        path = "/v1/operator/raft/configuration"
        reply = self._client.call("GET", path, deadline_s=deadline_s)
        return bodies.decoded(SERVERS, reply).servers

    def promote(self, member: str, *, deadline_s: float | None = None) -> None:
        """Make a learner a voter; nothing happens if it is one.

        Args:
            member: Its id.
            deadline_s: Seconds from now; the client's own if None.

        Raises:
            ConflictError: It has not caught up yet, or another change is in progress.
            NotFoundError: There is no such member.
        """
        self._change("PUT", "peer", arguments.filled("member", member), deadline_s)

    def remove(self, member: str, *, deadline_s: float | None = None) -> None:
        """Remove a member for good; when this returns, it may be shut down.

        Args:
            member: Its id.
            deadline_s: Seconds from now; the client's own if None.

        Raises:
            NotFoundError: There is no such member.
        """
        self._change("DELETE", "peer", arguments.filled("member", member), deadline_s)

    def transfer(self, member: str = "", *, deadline_s: float | None = None) -> None:
        """Transfer leadership.

        Args:
            member: The id of the next leader; empty: the best one.
            deadline_s: Seconds from now; the client's own if None.

        Raises:
            NotFoundError: There is no other voter that is alive, or no such member.
        """
        self._change("POST", "transfer-leader", arguments.text("member", member), deadline_s)

    def _change(self, method: str, name: str, member: str, deadline_s: float | None) -> None:
        path = f"/v1/operator/raft/{name}"
        self._client.call(method, path, deadline_s=deadline_s, id=member or None)
