"""Sessions: promises to be alive, on which locks rest."""

from quorate.client import arguments, bodies
from quorate.client.durations import spell
from quorate.client.requests import ClientRequest, Lane, head, query, session_path
from quorate.client.structs import Behavior, Session
from quorate.client.sync.road import Road


class Sessions:
    """Sessions, one call each. `client.lock` keeps one alive by itself.

    Raises (every method):
        TypeError: An argument is of another type; the text names it.
        UnavailableError: Definite: it was not done, and the deadline came.
        OutcomeUnknownError: Indefinite, `create`, `renew` and `destroy`: it may have been done.
            After `create` a session may exist that nobody knows; with a TTL it ends by itself.
    """

    def __init__(self, road: Road) -> None:
        self._road = road

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._road!r}>"

    def create(
        self,
        name: str = "",
        *,
        ttl_s: float = 0.0,
        behavior: Behavior = "release",
        lock_delay_s: float = 15.0,
        node: str = "",
        node_checks: tuple[str, ...] = (),
        deadline_s: float | None = None,
    ) -> str:
        """Make a session.

        Args:
            name: For people.
            ttl_s: It ends unless renewed within this, at the latest after twice as long: 10 to
                86,400, or 0 for never.
            behavior: What becomes of its keys when it ends.
            lock_delay_s: How long nobody can take its keys when it ended by itself, at most 60.
            node: The node it is bound to; empty: the one that answers.
            node_checks: Checks that end it. Consul's default, `serfHealth`, would tie it to the
                health of the node that happens to answer, so here the default is none.
            deadline_s: Seconds from now; the client's own if None.

        Returns:
            Its id.

        Raises:
            RequestError: A value is out of range.
            ConflictError: The node or a check is unknown, or the check is critical.
        """
        arguments.one_of("behavior", behavior, ("release", "delete"))
        delay_s = arguments.seconds("lock_delay_s", lock_delay_s, *arguments.LOCK_DELAY_S)
        body: dict[str, object] = {
            "Name": arguments.text("name", name),
            "Behavior": behavior,
            "LockDelay": spell(delay_s),
            "NodeChecks": arguments.texts("node_checks", node_checks),
        }
        if ttl_s != 0:
            body["TTL"] = spell(arguments.seconds("ttl_s", ttl_s, *arguments.TTL_S))
        if arguments.text("node", node):
            body["Node"] = node
        request = ClientRequest(head("PUT", b"/v1/session/create"), arguments.json("name", body))
        return bodies.session_id(self._road.call(request, deadline_s))

    def renew(
        self, session: str, *, deadline_s: float | None = None, attempt_s: float | None = None
    ) -> Session | None:
        """Start the TTL anew; None if the session has ended.

        Args:
            session: Its id.
            deadline_s: Seconds from now; the client's own if None.
            attempt_s: How long one node may take before the next is asked.
        """
        request = ClientRequest(
            head("PUT", session_path("renew", session)),
            is_repeatable=True,
            is_write=True,
            accepts=404,
        )
        attempt_s = arguments.limit("attempt_s", attempt_s)
        found = bodies.sessions(self._road.call(request, deadline_s, attempt_s))
        return found[0] if found else None

    def destroy(self, session: str, *, deadline_s: float | None = None) -> None:
        """End a session now; what it holds is released or deleted. Harmless if it has ended."""
        request = ClientRequest(
            head("PUT", session_path("destroy", session)), is_repeatable=True, is_write=True
        )
        bodies.written(self._road.call(request, deadline_s))

    def info(
        self, session: str, *, stale: bool = False, deadline_s: float | None = None
    ) -> Session | None:
        """Look at a session; None if there is no such one."""
        found = self._read(session_path("info", session), stale, deadline_s)
        return found[0] if found else None

    def all(
        self, *, node: str = "", stale: bool = False, deadline_s: float | None = None
    ) -> list[Session]:
        """All sessions, or those of one node, ordered by id."""
        path = b"/v1/session/list" if node == "" else session_path("node", node, "node")
        return self._read(path, stale, deadline_s)

    def _read(self, path: bytes, stale: bool, deadline_s: float | None) -> list[Session]:
        lane = Lane.LOCAL if arguments.flag("stale", stale) else Lane.SHARED
        request = ClientRequest(
            head("GET", path, query(stale=stale)), lane=lane, is_repeatable=True
        )
        return bodies.sessions(self._road.call(request, deadline_s))
