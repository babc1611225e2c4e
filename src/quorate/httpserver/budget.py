"""Budget: the bytes that a node holds in memory for clients of its HTTP gateway.

It counts requests that are being read or that wait, answers that wait to be sent or that a client
does not read, and what handlers register for a request (`Request.hold`). Every connection has a
small allowance that is not counted, so that an ordinary request costs only a comparison; beyond it
a connection takes from the account of its client's address, in large steps.

An account that is spent (`quorate.accounts`: other protocols take from the same ones) refuses what
would make it hold more: a body that comes, a read that would wait, a long answer. A write that was
begun is always answered: a refusal would say that it did not happen.
"""

from collections import Counter

import msgspec

from quorate.accounts import Account, Accounts
from quorate.base import measured
from quorate.base.metrics import Metric
from quorate.httpserver.config import ServerConfig

FREE_BYTES = 8192
"""The part of what a connection holds that is not counted."""

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
    """The connections of all clients of one node, with their accounts; shared by its listeners.

    Args:
        accounts: Of all callers of the node.
        connections_max: Of all clients together.
        connections_per_client_max: Of one address.

    Attributes:
        accounts: See above. More than `held_bytes_max` is held only by answers that were made
            already: one long one, and those to writes that were begun.
        connections: How many there are.
        coming: Those that were accepted and have not entered yet.
        counters: What was refused.
    """

    def __init__(
        self,
        accounts: Accounts,
        connections_max: int,
        connections_per_client_max: int,
    ) -> None:
        self.accounts = accounts
        self._connections_max = connections_max
        self._connections_per_client_max = connections_per_client_max
        self._by_client: Counter[str] = Counter()
        self.connections = 0
        self.coming: set[object] = set()
        self.counters = BudgetCounters()

    @property
    def held_bytes(self) -> int:
        """What is held for all callers."""
        return self.accounts.held_bytes

    @property
    def is_crowded(self) -> bool:
        """Whether the number of connections has reached its limit."""
        return self.connections + len(self.coming) >= self._connections_max

    def limit_clients(self, connections_per_client_max: int) -> None:
        """Change the limit of connections of one address; existing ones stay."""
        self._connections_per_client_max = connections_per_client_max

    def enter(self, host: str) -> Account | None:
        """Count a connection; None if its address has too many."""
        if self._by_client[host] >= self._connections_per_client_max:
            self.note_turned_away()
            return None
        self._by_client[host] += 1
        self.connections += 1
        return self.accounts.open(host)

    def leave(self, account: Account) -> None:
        """A connection is gone, and has given back what it held."""
        self._by_client[account.caller] -= 1
        if not self._by_client[account.caller]:
            del self._by_client[account.caller]
        self.connections -= 1
        self.accounts.close(account)

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
            measured.HTTP_HELD_LIMIT_BYTES.of(self.accounts.held_bytes_max),
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
        Accounts(config.held_bytes_max, config.client_bytes_max),
        config.connections_max,
        config.connections_per_client_max,
    )
