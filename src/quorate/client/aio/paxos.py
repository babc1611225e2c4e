"""Paxos by its three verbs, over a cluster."""

from quorate.base.errors import OutcomeUnknownError, UnavailableError
from quorate.client.aio.client import AsyncClient
from quorate.client.aio.watching import PATIENCE_S
from quorate.client.structs import KvEntry

PREFIX = "paxos/"


class AsyncPaxos:
    """Decide values, each once and for ever: whatever is proposed, all learn the same one.

        paxos = AsyncPaxos(client)
        assert await paxos.propose("epoch-7/owner", b"ann") == await paxos.decide("epoch-7/owner")

    It is thin: an instance of Paxos is a key that is written only while it does not exist, and
    the cluster's log, itself chosen by Multi-Paxos, orders the proposals; the first one in it is
    the decision. So nothing else may write or delete keys below the prefix.

    Args:
        client: A client of the cluster.
        prefix: Where the decisions are kept.

    Source: Lamport, "Paxos Made Simple" (2001). `quorate.paxos.synod` is the protocol itself.
    """

    def __init__(self, client: AsyncClient, *, prefix: str = PREFIX) -> None:
        self._client = client
        self._prefix = prefix

    async def propose(self, name: str, value: bytes, *, deadline_s: float | None = None) -> bytes:
        """Try to have a value decided.

        Safe to call again after any error: what is decided stays.

        Returns:
            The decided value, ours or another's.

        Raises:
            UnavailableError: Nothing was heard within the deadline. A try of ours may still
                become the decision if this comes from OutcomeUnknownError.
        """
        kv = self._client.kv
        key = self._prefix + name
        until_s = self._client.now_s() + (
            self._client.deadline_s if deadline_s is None else deadline_s
        )
        unknown: OutcomeUnknownError | None = None
        while (rest_s := until_s - self._client.now_s()) > 0:
            try:
                if await kv.cas(key, value, 0, deadline_s=rest_s):
                    return value
            except OutcomeUnknownError as error:  # if it took place, the read below shows it
                unknown = error
            entry = await kv.get(key, deadline_s=max(until_s - self._client.now_s(), 0.0))
            if entry is not None:
                return entry.value
        raise UnavailableError("unreachable", f"no decision for {name!r} in time") from unknown

    async def accept(self, name: str, *, deadline_s: float | None = None) -> bytes | None:
        """What a quorum has accepted for this name so far: the decided value, or None.

        It is linearizable: if it is None, nothing had been decided when the call began.
        """
        entry: KvEntry | None = await self._client.kv.get(
            self._prefix + name, deadline_s=deadline_s
        )
        return None if entry is None else entry.value

    async def decide(self, name: str, *, patience_s: float = PATIENCE_S) -> bytes:
        """Wait until a value is decided, however long that takes.

        Args:
            name: What is to be decided.
            patience_s: How long no node may answer.

        Raises:
            UnavailableError: No node answered for so long.
        """
        watch = self._client.kv.watch(self._prefix + name, patience_s=patience_s)
        while True:
            entry = await watch.__anext__()
            if entry is not None:
                return entry.value
