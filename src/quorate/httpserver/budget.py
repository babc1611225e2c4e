"""Budget: the bytes that a node holds in memory for clients of its HTTP gateway.

It counts requests that are being read or that wait, answers that wait to be sent or that a client
does not read, and what handlers register for a request (`Request.hold`). Every connection has a
small allowance that is not counted, so that an ordinary request costs only a comparison; beyond it
a connection takes from the account of its client's address, in large steps.

While an account, or all accounts together, have reached their limit (they are spent), what would
hold more is refused: a body that arrives, a read that would wait, a long answer. A write that was
begun is always answered: a refusal would say that it did not happen.

The last quarter of the limit for all is reserved for clients that hold little: each may have a
share of it, at most 1 MiB, and less the more clients there are. So a few clients that hold much
cannot exclude the others, and many that hold little cannot exceed the limit.
"""

import msgspec

from quorate.base import measured
from quorate.base.metrics import Metric
from quorate.httpserver.config import ServerConfig

FREE_BYTES = 8192
"""The part of what a connection holds that is not counted."""

SHARE_BYTES_MAX = 1024 * 1024
"""The largest share of a client in the part that is reserved for those that hold little."""

_KEPT_PART = 4  # one in this many parts of the limit is reserved for them

STEP_BYTES = 32 * 1024
"""Connections take and give back in steps of this size."""

REQUEST_BYTES = 512
"""Counted for each request that is not finished, besides its bytes."""

HEADER_BYTES = 128
"""Counted for each header line of such a request, besides its bytes."""


class BudgetCounters(msgspec.Struct):
    """Since the start of the gateway.

    Attributes:
        requests_refused: Answered 429 because an account was spent.
        connections_refused: Refused because there were too many, of one address or of all.
        accepts_failed: The system had no file descriptor for a connection.
    """

    requests_refused: int = 0
    connections_refused: int = 0
    accepts_failed: int = 0


class Account:
    """What is held for one client address. Made by `Budget.enter`.

    Attributes:
        host: The address.
        connections: How many it has.
        held_bytes: What is held for it beyond the allowance of its connections.
    """

    __slots__ = ("_budget", "connections", "held_bytes", "host")

    def __init__(self, budget: "Budget", host: str) -> None:
        self._budget = budget
        self.host = host
        self.connections = 0
        self.held_bytes = 0

    def count_connections(self, more: int) -> None:
        """Add to the number of connections; negative to subtract."""
        self.connections += more

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be held for this client."""
        return not self._may_hold(self.held_bytes + 1, self._budget.held_bytes + 1)

    def _may_hold(self, client_bytes: int, all_bytes: int) -> bool:
        """Whether this client may hold so many bytes if all clients then hold `all_bytes`."""
        budget = self._budget
        return client_bytes <= budget.client_bytes_max and (
            all_bytes <= budget.open_bytes_max
            or (all_bytes <= budget.held_bytes_max and client_bytes <= budget.share_bytes)
        )

    def take(self, size: int, *, is_forced: bool = False) -> bool:
        """Count bytes as held; False, and nothing is counted, if that would exceed a limit.

        Args:
            size: How many.
            is_forced: They are held already, so they are counted beyond the limit, too.
        """
        budget = self._budget
        client_bytes, all_bytes = self.held_bytes + size, budget.held_bytes + size
        if not is_forced and not self._may_hold(client_bytes, all_bytes):
            return False
        self.held_bytes = client_bytes
        budget.count_held(size)
        return True

    def give_back(self, size: int) -> None:
        """Subtract bytes that are no longer held."""
        self.held_bytes -= size
        self._budget.count_held(-size)


class ConnectionMemory:
    """What one connection holds; it takes from its account in steps, beyond the allowance only.

    Args:
        account: The account of its client.

    Attributes:
        account: See above.
        held_bytes: By whole requests, their answers, and the transport. Add and subtract freely;
            with more than `allowed_bytes`, ask whether it `fits`.
        allowed_bytes: The allowance, and what was taken from the account.
    """

    __slots__ = ("account", "allowed_bytes", "held_bytes")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.held_bytes = 0
        self.allowed_bytes = FREE_BYTES

    def fits(self, reading_bytes: int = 0) -> bool:
        """Have all that is held counted; False if that would exceed a limit.

        Args:
            reading_bytes: Held by a request that is not whole.
        """
        held_bytes = self.held_bytes + reading_bytes
        return held_bytes <= self.allowed_bytes or self._recount(held_bytes, is_forced=False)

    def recount(self, reading_bytes: int = 0) -> None:
        """Count what is held, also beyond the limit; give back what is no longer held."""
        self._recount(self.held_bytes + reading_bytes, is_forced=True)

    def hold(self, size: int) -> None:
        """Count bytes that are held already; fewer if negative."""
        self.held_bytes += size
        if self.held_bytes > self.allowed_bytes or size < 0:
            self.recount()

    def end(self) -> None:
        """The connection has ended."""
        self.held_bytes = 0
        self.recount()

    def _recount(self, held_bytes: int, *, is_forced: bool) -> bool:
        taken_bytes = max(0, held_bytes - FREE_BYTES)
        if not is_forced:  # a step taken for a refusal would allow more to be held
            taken_bytes += -taken_bytes % STEP_BYTES
        allowed_bytes = FREE_BYTES + taken_bytes
        lacking_bytes = allowed_bytes - self.allowed_bytes
        if lacking_bytes > 0 and not self.account.take(lacking_bytes, is_forced=is_forced):
            return False
        if lacking_bytes < 0:
            self.account.give_back(-lacking_bytes)
        self.allowed_bytes = allowed_bytes
        return True


class Budget:
    """The accounts of all client addresses of one node; its listeners share one budget.

    Args:
        held_bytes_max: For all clients together.
        client_bytes_max: For one address.
        connections_max: Of all clients together.
        connections_per_client_max: Of one address.

    Attributes:
        held_bytes: What all accounts hold. Above `held_bytes_max` only by answers that were made
            already: one long one, and those to writes that were begun.
        open_bytes_max: Up to here it does not matter who holds it.
        connections: How many there are.
        coming: Those that were accepted and have not entered yet.
        counters: What was refused.
    """

    def __init__(
        self,
        held_bytes_max: int,
        client_bytes_max: int,
        connections_max: int,
        connections_per_client_max: int,
    ) -> None:
        self.held_bytes_max = held_bytes_max
        self.open_bytes_max = held_bytes_max - held_bytes_max // _KEPT_PART
        self.client_bytes_max = client_bytes_max
        self._connections_max = connections_max
        self._connections_per_client_max = connections_per_client_max
        self._accounts: dict[str, Account] = {}
        self.held_bytes = 0
        self.connections = 0
        self.coming: set[object] = set()
        self.counters = BudgetCounters()

    @property
    def share_bytes(self) -> int:
        """What each client may hold of what is kept for those that hold little."""
        kept_bytes = self.held_bytes_max - self.open_bytes_max
        return min(SHARE_BYTES_MAX, kept_bytes // max(1, len(self._accounts)))

    @property
    def is_crowded(self) -> bool:
        """Whether the number of connections has reached its limit."""
        return self.connections + len(self.coming) >= self._connections_max

    def limit_clients(self, connections_per_client_max: int) -> None:
        """Change the limit of connections of one address; existing ones stay."""
        self._connections_per_client_max = connections_per_client_max

    def enter(self, host: str) -> Account | None:
        """Count a connection; None if its address has too many."""
        account = self._accounts.get(host)
        if account is None:
            account = self._accounts[host] = Account(self, host)
        if account.connections >= self._connections_per_client_max:
            self.note_turned_away()
            return None
        account.count_connections(1)
        self.connections += 1
        return account

    def leave(self, account: Account) -> None:
        """A connection has ended, and has given back what it held."""
        account.count_connections(-1)
        self.connections -= 1
        if not account.connections:
            self._accounts.pop(account.host, None)

    def count_held(self, more: int) -> None:
        """Add to the bytes that the accounts hold; negative to subtract."""
        self.held_bytes += more

    def note_refused(self) -> None:
        """A request was answered 429."""
        self.counters.requests_refused += 1

    def note_turned_away(self) -> None:
        """A connection was refused because there were too many."""
        self.counters.connections_refused += 1

    def note_accept_failed(self) -> None:
        """The system had no file descriptor for a connection."""
        self.counters.accepts_failed += 1

    def metrics(self) -> list[Metric]:
        """What is held, and what was refused."""
        counters = self.counters
        return [
            measured.HTTP_CONNECTIONS.of(self.connections),
            measured.HTTP_HELD_BYTES.of(self.held_bytes),
            measured.HTTP_HELD_LIMIT_BYTES.of(self.held_bytes_max),
            measured.HTTP_REQUESTS_REFUSED_TOTAL.of(
                counters.requests_refused,
            ),
            measured.HTTP_CONNECTIONS_REFUSED_TOTAL.of(
                counters.connections_refused,
            ),
            measured.HTTP_ACCEPT_FAILURES_TOTAL.of(
                counters.accepts_failed,
            ),
        ]


def budget_of(config: ServerConfig) -> Budget:
    """The budget that a configuration describes."""
    return Budget(
        config.held_bytes_max,
        config.client_bytes_max,
        config.connections_max,
        config.connections_per_client_max,
    )
