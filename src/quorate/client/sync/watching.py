"""Watches: the successive states of a key or keys, by blocking queries.

WCH-1: the first state is returned at once; the last one is never missed, those in between may be.
WCH-2: the same state is not returned twice in a row.
WCH-3: if the index decreases (a restored or another cluster), the watch starts from the beginning.
WCH-4: that no node replies is noticed within `patience_s`: each query waits for a part of it only.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from quorate.base.errors import PeerError
from quorate.client.arguments import seconds
from quorate.client.replies import Reply
from quorate.client.requests import ClientRequest
from quorate.client.retry import WAIT_SPREAD
from quorate.client.sync.requester import Requester

State = TypeVar("State")

WAIT_S = 15.0  # a node that failed silently is noticed after this and the slack
SLACK_S = 8.0  # a node holds a read without a leader for up to 7 s
WATCH_TIMEOUT_S = 60.0


class Watch(Generic[State]):
    """An endless iterator over states; leave the loop to end it.

    Args:
        requester: Executes the queries.
        ask: Makes the request that waits for something newer than an index (0: do not wait),
            for some seconds.
        read: Makes the state from a reply.
        patience_s: How long no node may reply; infinity for ever.
        subject: What is watched, for messages.

    Raises:
        TypeError, RequestError: `patience_s` is no number above zero.

    Attributes:
        index: Of the last state; 0 before the first one.
    """

    def __init__(
        self,
        requester: Requester,
        ask: Callable[[int, float], ClientRequest],
        read: Callable[[Reply], State],
        patience_s: float,
        subject: str,
    ) -> None:
        self.index = 0
        self._subject = subject
        self._requester = requester
        self._ask = ask
        self._read = read
        self._timeout_s = seconds("patience_s", patience_s, 0.001)
        self._seen: list[State] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._subject}, index {self.index}>"

    def __reduce__(self) -> str:
        raise TypeError("a watch cannot be pickled; begin one in each process")

    def __iter__(self) -> "Watch[State]":
        return self

    def __next__(self) -> State:
        """Wait for the next state.

        Raises:
            UnavailableError: No node replied for `patience_s`. The watch can be continued.
            PeerError: The reply has no index, so it is not from a key-value store.
        """
        while True:
            state = self.look()
            if self.index and [state] != self._seen:
                self._seen = [state]
                return state

    def look(self, wait_s: float = WAIT_S, *, deadline_s: float | None = None) -> State:
        """Query the state: once it has changed since the last query, or after `wait_s`.

        Args:
            wait_s: How long to wait for a change.
            deadline_s: Seconds from now; None: the `patience_s` of the watch.

        Raises:
            UnavailableError, PeerError: As `__next__`.
        """
        limit_s = self._timeout_s
        if deadline_s is None:
            wait_s = min(wait_s, limit_s / 3)
        else:
            limit_s = min(limit_s, deadline_s)
        request = self._ask(self.index, wait_s)
        attempt_s = request.wait_s * WAIT_SPREAD + SLACK_S
        reply = self._requester.call(request, limit_s, attempt_s)
        if reply.index < 1:
            raise PeerError(
                "remote",
                "the reply to a blocking read has no X-Consul-Index: "
                "is this the HTTP API of Quorate or Consul?",
            )
        self.index = reply.index if reply.index >= self.index else 0
        return self._read(reply)
