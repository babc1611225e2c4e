"""Sessions, which hold locks."""

from quorate.client import arguments, bodies
from quorate.client.durations import spell
from quorate.client.requests import ClientRequest, Lane, head, query, session_path
from quorate.client.structs import Behavior, Session
from quorate.client.sync.requester import Requester


class Sessions:
    """Operations on sessions. `client.lock` makes and renews its own.

    Raises (every method):
        TypeError: An argument is of another type; the text names it.
        UnavailableError: Definite: it was not executed before the deadline.
        OutcomeUnknownError: Indefinite, `create`, `renew` and `destroy`: it may have been executed.
            After `create` a session with an unknown id may exist; with a TTL it ends by itself.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._requester!r}>"

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
            name: A description.
            ttl_s: It ends unless renewed within this, at the latest after twice as long: 10 to
                86,400, or 0 for never.
            behavior: What happens to its keys when it ends.
            lock_delay_s: How long its keys cannot be acquired after it was invalidated, at most 60.
            node: The node it is bound to; empty: the one that executes the request.
            node_checks: Checks that invalidate it. Consul's default, `serfHealth`, would make it
                depend on the health of the node that the client uses; here the default is none.
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
        return bodies.session_id(self._requester.call(request, deadline_s))

    def renew(
        self, session: str, *, deadline_s: float | None = None, attempt_s: float | None = None
    ) -> Session | None:
        """Restart the TTL; None if the session has ended.

        Args:
            session: Its id.
            deadline_s: Seconds from now; the client's own if None.
            attempt_s: How long one node may take before the next is tried.
        """
        request = ClientRequest(
            head("PUT", session_path("renew", session)),
            is_repeatable=True,
            is_write=True,
            accepts=404,
        )
        attempt_s = arguments.limit("attempt_s", attempt_s)
        found = bodies.sessions(self._requester.call(request, deadline_s, attempt_s))
        return found[0] if found else None

    def destroy(self, session: str, *, deadline_s: float | None = None) -> None:
        """End a session; its keys are released or deleted. Nothing happens if it has ended."""
        request = ClientRequest(
            head("PUT", session_path("destroy", session)), is_repeatable=True, is_write=True
        )
        bodies.written(self._requester.call(request, deadline_s))

    def info(
        self, session: str, *, stale: bool = False, deadline_s: float | None = None
    ) -> Session | None:
        """Read a session; None if it does not exist."""
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
        return bodies.sessions(self._requester.call(request, deadline_s))
