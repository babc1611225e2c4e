"""Watching: the states of something, one after another, by blocking reads.

W1: the first state comes at once; the last one is never missed, those between may be.
W2: no state is given twice in a row.
W3: an index that goes back (a restored or another cluster) makes the watch begin anew.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from quorate.base.errors import PeerError
from quorate.client.replies import Reply
from quorate.client.requests import Request
from quorate.client.sync.road import Road

State = TypeVar("State")

WAIT_S = 15.0  # a node that died without a word is noticed after this and the slack
SLACK_S = 8.0  # a node holds a read that finds no leader for up to 7 s
PATIENCE_S = 60.0


class Watch(Generic[State]):
    """An endless iterator over states; leave the loop to end it.

    Args:
        road: The way to the cluster.
        ask: Makes the request that waits for something newer than an index (0: do not wait),
            for some seconds.
        read: Makes the state from a reply.
        patience_s: How long no node may answer; infinity for ever.
    """

    def __init__(
        self,
        road: Road,
        ask: Callable[[int, float], Request],
        read: Callable[[Reply], State],
        patience_s: float,
    ) -> None:
        self.index = 0
        self._road = road
        self._ask = ask
        self._read = read
        self._patience_s = patience_s
        self._seen: list[State] = []

    def __iter__(self) -> "Watch[State]":
        return self

    def __next__(self) -> State:
        """Wait for the next state.

        Raises:
            UnavailableError: No node answered for `patience_s`. The watch can go on after it.
            PeerError: The node answers without an index, so it cannot be watched.
        """
        while True:
            state = self.look()
            if self.index and [state] != self._seen:
                self._seen = [state]
                return state

    def look(self, wait_s: float = WAIT_S) -> State:
        """The state when it has changed since the last look, or after `wait_s` as it is then.

        Raises:
            UnavailableError, PeerError: As `__next__`.
        """
        attempt_s = wait_s * 17 / 16 + SLACK_S  # nodes spread the ends of waits by a sixteenth
        request = self._ask(self.index, wait_s)
        reply = self._road.call(request, attempt_s + self._patience_s, attempt_s)
        if reply.index < 1:
            raise PeerError("remote", "the reply to a blocking read has no X-Consul-Index")
        self.index = reply.index if reply.index >= self.index else 0
        return self._read(reply)
