"""The client: endpoints in, everything else from here."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from quorate.base.errors import RequestError
from quorate.client.blocking import Transport
from quorate.client.endpoints import Ring
from quorate.client.holding import LockPlan, Lost
from quorate.client.replies import Reply
from quorate.client.requests import Lane, Request, head, query
from quorate.client.sync.elections import Election
from quorate.client.sync.kv import Kv
from quorate.client.sync.locks import Lock
from quorate.client.sync.road import Road
from quorate.client.sync.session import Sessions
from quorate.client.sync.snapshot import Snapshots
from quorate.client.sync.status import Status
from quorate.client.sync.txn import Txn
from quorate.client.transport import Settings

DEADLINE_S = 10.0  # longer than an election, and than a node holds what finds no leader
ATTEMPT_S = 3.0


class Client:
    """A guest of a cluster.

        with Client(["10.0.0.1:8500", "10.0.0.2:8500"]) as client:
            client.kv.put("colour", b"green")

    Any node serves any request. One is used until it fails, then the next in the order given.
    What surely did not happen is tried again until the deadline; a write that may have happened
    is not, it raises OutcomeUnknownError.

    Args:
        endpoints: Nodes, as `host:port` or `http://host:port`; several in a list.
        deadline_s: For calls that set none.
        attempt_s: How long a read waits for one node before it asks the next.
        token: Access token sent with every request; empty for none.
        pipes: Connections per node that concurrent calls share.

    Raises:
        RequestError: An endpoint makes no sense, or a number is out of range.

    Attributes:
        kv: Keys and values.
        session: Sessions.
        status: What the nodes say of themselves.
        snapshot: Backups.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str] = "127.0.0.1:8500",
        *,
        deadline_s: float = DEADLINE_S,
        attempt_s: float = ATTEMPT_S,
        token: str = "",
        pipes: int = 2,
    ) -> None:
        if deadline_s <= 0 or attempt_s <= 0 or pipes < 1:
            raise RequestError("bad_request", "deadline_s, attempt_s and pipes must be above zero")
        if not token.isprintable():
            raise RequestError("bad_request", "a token has only printable characters")
        ring = Ring([endpoints] if isinstance(endpoints, str) else endpoints)
        self._transport = Transport(Settings(token=token, pipes=pipes, stalled=ring.leave))
        self._road = Road(ring, self._transport, deadline_s, attempt_s)
        self._ring = ring
        self.deadline_s = deadline_s
        self.now_s = self._transport.now_s
        self.kv = Kv(self._road)
        self.session = Sessions(self._road)
        self.status = Status(self._road)
        self.snapshot = Snapshots(self._road)

    @property
    def endpoint(self) -> str:
        """The node in use now, as `host:port`."""
        return self._ring.current.name

    def txn(self) -> Txn:
        """Begin a transaction."""
        return Txn(self._road)

    def lock(
        self,
        name: str,
        *,
        value: bytes = b"",
        ttl_s: float = 15.0,
        wait_s: float = float("inf"),
        lock_delay_s: float = 15.0,
        on_lost: Lost | None = None,
    ) -> Lock:
        """Make a lock, to be held by a `with` block.

        Args:
            name: The key that is the lock.
            value: Written to it while held, for people.
            ttl_s: After a crash the lock is free when this, and at most twice this, has passed
                since the last renewal: 10 to 86,400.
            wait_s: How long to wait for it; 0: only try.
            lock_delay_s: How long it stays taken after a session ended by itself, so that a
                holder cut off can notice; 0 to 60.
            on_lost: Called with the reason when it is lost while held.
        """
        return Lock(
            self.kv,
            self.session,
            LockPlan(name, value, ttl_s, wait_s, lock_delay_s, on_lost),
        )

    def election(
        self,
        name: str,
        value: bytes,
        *,
        ttl_s: float = 15.0,
        wait_s: float = float("inf"),
        lock_delay_s: float = 15.0,
        on_lost: Lost | None = None,
    ) -> Election:
        """Stand for leadership: a lock whose value tells the others who leads.

        Args:
            name: The key that the election is about.
            value: What others shall read while we lead, such as our address.
            ttl_s: See `lock`.
            wait_s: See `lock`.
            lock_delay_s: See `lock`.
            on_lost: See `lock`.
        """
        return Election(
            self.kv,
            self.session,
            LockPlan(name, value, ttl_s, wait_s, lock_delay_s, on_lost),
        )

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        deadline_s: float | None = None,
        attempt_s: float | None = None,
        **parameters: str | int | bool | None,
    ) -> Reply:
        """Ask for something that has no method here.

        Args:
            method: `GET`, `PUT` or `DELETE`.
            path: Quoted, from `/v1/` on.
            body: Sent as it is.
            deadline_s: Seconds from now.
            attempt_s: How long one node may take, for `GET`; None: until the deadline.
            parameters: The query; True is a name without value, None and False are left out.

        Returns:
            The reply, whose status is 200.

        Raises:
            QuorateError: Any other status, by what it means; no answer, as everywhere.
        """
        request = Request(
            head(method, path.encode("ascii"), query(**parameters)),
            body,
            Lane.ALONE,
            is_repeatable=method == "GET",
        )
        return self._road.call(request, deadline_s, attempt_s)

    def close(self) -> None:
        """Drop all connections; calls under way fail. Locks held end with their TTL."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
