"""Accounts: the bytes that a node holds in memory for its callers, whatever protocol they use.

A caller, such as a client address, has one account, from which each engine of a protocol takes for
what it holds: requests, responses, reads that wait. An account that is spent, or a node whose
accounts together are, refuses what would make it hold more.

The last quarter of what there is for all is kept for callers that hold little: each may have its
share of it, at most 1 MiB, and less the more callers there are. So a few that hold much cannot shut
the others out, and many that hold little cannot exceed the limit.
"""

from quorate.base.config import Limits

SHARE_BYTES_MAX = 1024 * 1024
"""The share of a caller in what is kept for those that hold little, however few there are."""

_KEPT_PART = 4  # one of so many parts of the limit is kept for them


class Account:
    """What is held for one caller. Made by `Accounts.open`.

    Attributes:
        caller: Its name, such as an address.
        held_bytes: What is held for it.
    """

    __slots__ = ("_accounts", "_users", "caller", "held_bytes")

    def __init__(self, accounts: "Accounts", caller: str) -> None:
        self._accounts = accounts
        self._users = 0
        self.caller = caller
        self.held_bytes = 0

    @property
    def is_spent(self) -> bool:
        """Whether nothing more should be held for this caller."""
        return not self._may_hold(self.held_bytes + 1, self._accounts.held_bytes + 1)

    def _may_hold(self, caller_bytes: int, all_bytes: int) -> bool:
        """Whether so much may be held for this caller, if it is so much for all then."""
        accounts = self._accounts
        return caller_bytes <= accounts.caller_bytes_max and (
            all_bytes <= accounts.open_bytes_max
            or (all_bytes <= accounts.held_bytes_max and caller_bytes <= accounts.share_bytes)
        )

    def take(self, size: int, *, is_forced: bool = False) -> bool:
        """Count bytes as held; False, and nothing is counted, if that would be too much.

        Args:
            size: How many.
            is_forced: They are held already, whatever the limit says.
        """
        accounts = self._accounts
        caller_bytes, all_bytes = self.held_bytes + size, accounts.held_bytes + size
        if not is_forced and not self._may_hold(caller_bytes, all_bytes):
            return False
        self.held_bytes = caller_bytes
        accounts.count_held(size)
        return True

    def give_back(self, size: int) -> None:
        """Bytes are not held any more."""
        self.held_bytes -= size
        self._accounts.count_held(-size)

    def count_users(self, more: int) -> int:
        """So many more connections or requests use it, or fewer; returns how many do."""
        self._users += more
        return self._users


class Accounts:
    """The accounts of all callers of one node.

    Args:
        held_bytes_max: For all callers together.
        caller_bytes_max: For one of them.

    Attributes:
        held_bytes_max, caller_bytes_max: See above.
        held_bytes: What all accounts hold. Above `held_bytes_max` only by what was forced.
        open_bytes_max: Up to here it does not matter who holds it.
    """

    def __init__(
        self,
        held_bytes_max: int = Limits().http_held_bytes_max,
        caller_bytes_max: int = Limits().http_client_bytes_max,
    ) -> None:
        self.held_bytes_max = held_bytes_max
        self.caller_bytes_max = caller_bytes_max
        self.open_bytes_max = held_bytes_max - held_bytes_max // _KEPT_PART
        self.held_bytes = 0
        self._by_caller: dict[str, Account] = {}

    @property
    def share_bytes(self) -> int:
        """What each caller may hold of what is kept for those that hold little."""
        kept_bytes = self.held_bytes_max - self.open_bytes_max
        return min(SHARE_BYTES_MAX, kept_bytes // max(1, len(self._by_caller)))

    def open(self, caller: str) -> Account:
        """The account of a caller; to be closed once for each time that it was opened."""
        account = self._by_caller.get(caller)
        if account is None:
            account = self._by_caller[caller] = Account(self, caller)
        account.count_users(1)
        return account

    def close(self, account: Account) -> None:
        """One user of the account is done, and has given back what it held."""
        if not account.count_users(-1):
            self._by_caller.pop(account.caller, None)

    def count_held(self, more: int) -> None:
        """The accounts hold so many bytes more, or fewer."""
        self.held_bytes += more
