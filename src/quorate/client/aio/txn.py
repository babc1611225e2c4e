"""Transactions: several operations, all or nothing."""

from typing import Self

from quorate.base.errors import RequestError
from quorate.client import arguments, bodies
from quorate.client.aio.requester import AsyncRequester
from quorate.client.arguments import FLAGS_MAX, Data
from quorate.client.requests import ClientRequest, head, lane_of
from quorate.client.structs import TxnDone

OPERATIONS_MAX = 128


class AsyncTxn:
    """Collects operations, which `commit` executes all at once, or not at all.

        done = await client.txn().check_index("a", 7).put("b", b"2").delete("c").commit()
        if not done:
            print(done.faults)

    Each operation sees the effects of those before it. Keys need not be valid in a path.

    Raises (every method):
        TypeError, RequestError: An argument is of another type or out of range; the text names it.
    """

    def __init__(self, requester: AsyncRequester) -> None:
        self._requester = requester
        self._operations: list[dict[str, dict[str, object]]] = []
        self._is_write = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._operations)} operations>"

    # --- writes -------------------------------------------------------------------------------

    def put(self, key: str, value: Data, *, flags: int = 0) -> Self:
        """Write a key."""
        return self._add(
            "set",
            key,
            writes=True,
            Value=arguments.data("value", value),
            Flags=arguments.whole("flags", flags, 0, FLAGS_MAX),
        )

    def cas(self, key: str, value: Data, index: int, *, flags: int = 0) -> Self:
        """Write a key; fail the transaction unless its `modify_index` is `index` (0: absent)."""
        return self._add(
            "cas",
            key,
            writes=True,
            Value=arguments.data("value", value),
            Flags=arguments.whole("flags", flags, 0, FLAGS_MAX),
            Index=arguments.whole("index", index),
        )

    def delete(self, key: str, *, index: int | None = None) -> Self:
        """Remove a key; with `index`, fail the transaction unless this is its `modify_index`."""
        if index is None:
            return self._add("delete", key, writes=True)
        return self._add("delete-cas", key, writes=True, Index=arguments.whole("index", index))

    def delete_tree(self, prefix: str) -> Self:
        """Remove all keys that begin with a prefix, which must not be empty."""
        return self._add("delete-tree", prefix, writes=True)

    def acquire(self, key: str, value: Data, session: str, *, flags: int = 0) -> Self:
        """Acquire a key for a session and write it; fail the transaction if another holds it."""
        return self._add(
            "lock",
            key,
            writes=True,
            Value=arguments.data("value", value),
            Flags=arguments.whole("flags", flags, 0, FLAGS_MAX),
            Session=arguments.filled("session", session),
        )

    def release(self, key: str, value: Data, session: str, *, flags: int = 0) -> Self:
        """Release a key and write it; fail the transaction if the session does not hold it."""
        return self._add(
            "unlock",
            key,
            writes=True,
            Value=arguments.data("value", value),
            Flags=arguments.whole("flags", flags, 0, FLAGS_MAX),
            Session=arguments.filled("session", session),
        )

    # --- reads and conditions -----------------------------------------------------------------

    def get(self, key: str) -> Self:
        """Read a key; fail the transaction if it does not exist."""
        return self._add("get", key)

    def get_or_empty(self, key: str) -> Self:
        """Read a key; if it does not exist, its entry has an empty value and index 0."""
        return self._add("get-or-empty", key)

    def get_tree(self, prefix: str) -> Self:
        """Read all keys that begin with a prefix, which must not be empty."""
        return self._add("get-tree", prefix)

    def check_index(self, key: str, index: int) -> Self:
        """Fail the transaction unless the key's `modify_index` is this."""
        return self._add("check-index", key, Index=arguments.whole("index", index))

    def check_session(self, key: str, session: str) -> Self:
        """Fail the transaction unless this session holds the key: fences writes under a lock."""
        return self._add("check-session", key, Session=arguments.filled("session", session))

    def check_absent(self, key: str) -> Self:
        """Fail the transaction if the key exists."""
        return self._add("check-not-exists", key)

    # --- execution ----------------------------------------------------------------------------

    async def commit(self, *, deadline_s: float | None = None) -> TxnDone:
        """Execute the transaction.

        Returns:
            True in a condition if it took place; else `faults` has the operations that failed.

        Raises:
            RequestError: `too_large`: more than 128 operations, or more than 512 KiB.
            UnavailableError: Definite: it was not executed before the deadline.
            OutcomeUnknownError: Indefinite, if it writes: it may or may not have been executed.
        """
        if len(self._operations) > OPERATIONS_MAX:
            raise RequestError(
                "too_large",
                f"a transaction has {len(self._operations)} operations, at most {OPERATIONS_MAX}",
            )
        body = arguments.json("key", self._operations)
        request = ClientRequest(
            head("PUT", b"/v1/txn"),
            body,
            lane_of(body),
            is_repeatable=not self._is_write,
            accepts=409,
        )
        return bodies.txn(await self._requester.call(request, deadline_s))

    def _add(self, verb: str, key: str, *, writes: bool = False, **fields: object) -> Self:
        name = "prefix" if verb.endswith("-tree") else "key"
        named = arguments.filled(name, key)
        arguments.data(name, named)  # else the whole transaction would fail when it is sent
        self._operations.append({"KV": {"Verb": verb, "Key": named, **fields}})
        self._is_write = self._is_write or writes
        return self
