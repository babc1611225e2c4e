"""Single decisions by the cluster, with the operations of Paxos."""

from quorate.base.errors import (
    NotFoundError,
    OutcomeUnknownError,
    QuorateError,
    UnavailableError,
)
from quorate.client import arguments
from quorate.client.arguments import Data
from quorate.client.holding import GRACE_S
from quorate.client.structs import KvEntry
from quorate.client.sync.client import Client
from quorate.client.sync.watching import WAIT_S, WATCH_TIMEOUT_S

PREFIX = "paxos/"


class Paxos:
    """Decide values, each once and for ever: of all proposals, every client learns the same one.

        paxos = Paxos(client)
        assert paxos.propose("epoch-7/owner", b"ann") == paxos.decide("epoch-7/owner")

    An instance is a key that is written only if it does not exist; the cluster's log, which
    Multi-Paxos replicates, orders the proposals, and the first one is the decision. So nothing else
    may write or delete keys below the prefix.

    Args:
        client: A client of the cluster.
        prefix: Where the decisions are kept.

    Source: Lamport, "Paxos Made Simple" (2001). `quorate.paxos.synod` is the protocol itself.
    """

    def __init__(self, client: Client, *, prefix: str = PREFIX) -> None:
        self._client = arguments.instance("client", client, Client)
        self._prefix = arguments.text("prefix", prefix)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} below {self._prefix!r} of {self._client!r}>"

    def propose(self, name: str, value: Data, *, deadline_s: float | None = None) -> bytes:
        """Try to have a value decided.

        It may be called again after any error: a decision does not change.

        Returns:
            The decided value, this or another one.

        Raises:
            UnavailableError: Definite: the value was not proposed within the deadline.
            OutcomeUnknownError: Indefinite: the value may be the decision, or become it.
        """
        kv = self._client.kv
        key = self._key(name)
        ours = arguments.data("value", value)
        wait_s = self._limit(deadline_s)
        until_s = self._client.now_s() + wait_s
        unknown: OutcomeUnknownError | None = None
        try:
            while (rest_s := until_s - self._client.now_s()) > 0:
                try:
                    if kv.cas(key, ours, 0, deadline_s=rest_s):
                        return ours
                except OutcomeUnknownError as error:  # if it took place, the read below shows it
                    unknown = error
                entry = kv.get(key, deadline_s=max(until_s - self._client.now_s(), 0.0))
                if entry is not None:
                    return entry.value
        except QuorateError as error:  # an earlier try may still take effect
            raise unknown or error from None
        raise unknown or UnavailableError(
            "unreachable", f"no decision for {name!r} within {wait_s:g} s"
        )

    def accept(self, name: str, *, deadline_s: float | None = None) -> bytes | None:
        """The value that a quorum has accepted for this name: the decided one, or None.

        It is linearizable: if it is None, nothing was decided when the call began.
        """
        entry: KvEntry | None = self._client.kv.get(self._key(name), deadline_s=deadline_s)
        return None if entry is None else entry.value

    def decide(
        self, name: str, *, deadline_s: float | None = None, patience_s: float = WATCH_TIMEOUT_S
    ) -> bytes:
        """Wait until a value is decided.

        Args:
            name: What is to be decided.
            deadline_s: Seconds from now; the client's own if None, infinity for ever.
            patience_s: How long no node may reply.

        Raises:
            NotFoundError: Nothing was decided within the deadline.
            UnavailableError: No node replied within the deadline, or for `patience_s`.
        """
        key = self._key(name)
        wait_s = self._limit(deadline_s)
        until_s = self._client.now_s() + wait_s
        watch = self._client.kv.watch(key, patience_s=patience_s)
        while True:
            rest_s = max(until_s - self._client.now_s(), 0.0)
            look_s = min(rest_s, WAIT_S, patience_s / 3)
            grace_s = look_s / 16 + GRACE_S if watch.index else 0.0  # the first look does not wait
            limit_s = min(rest_s + grace_s, patience_s)
            try:
                entry = watch.look(look_s, deadline_s=limit_s)
            except UnavailableError:
                if not watch.index or rest_s > look_s:
                    raise
                entry = None  # a node has replied before: nothing was decided then
            if entry is not None:
                return entry.value
            if self._client.now_s() >= until_s:
                raise NotFoundError(
                    "not_found", f"nothing was decided for {name!r} in {wait_s:g} s"
                )

    def _key(self, name: str) -> str:
        return self._prefix + arguments.filled("name", name)

    def _limit(self, deadline_s: float | None) -> float:
        if deadline_s is None:
            return self._client.deadline_s
        return arguments.seconds("deadline_s", deadline_s)
