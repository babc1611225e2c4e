"""Gate: which SendWhenDurable may leave.

A SendWhenDurable is held until every Persist requested before it is durable. The runtime never sees
one: it becomes a Send, or a message to this node itself. So one pure class enforces the order.

GAT-1: a SendWhenDurable leaves only when `Persisted(mark)` has come with mark >= the number of
    records asked for when the SendWhenDurable was issued.
GAT-2: Replies leave in the order in which they were issued.
"""

from collections import deque

from quorate.base.errors import invariant
from quorate.base.ids import NodeId
from quorate.base.messages import Message


class Gate:
    """Counts records asked for and durable, and holds what waits."""

    def __init__(self) -> None:
        self.asked = 0
        self.durable = 0
        self._held: deque[tuple[int, NodeId, Message]] = deque()

    @property
    def is_open(self) -> bool:
        """Everything asked for is durable: a SendWhenDurable need not wait."""
        return self.durable == self.asked

    def ask(self) -> None:
        """One more record was asked for."""
        self.asked += 1

    def hold(self, to: NodeId, message: Message) -> bool:
        """Keep a message until the records asked for so far are durable; False if they are."""
        if self.durable == self.asked:
            return False
        self._held.append((self.asked, to, message))
        return True

    def on_persisted(self, mark: int) -> list[tuple[NodeId, Message]]:
        """The first `mark` records are durable; what may leave now, in order.

        Raises:
            InvariantError: The disk claims more than was asked for, or less than before.
        """
        if not self.durable <= mark <= self.asked:
            invariant(mark >= self.durable, "GAT-1: what was durable stays so")
            invariant(mark <= self.asked, "GAT-1: only what was asked for becomes durable")
        self.durable = mark
        free: list[tuple[NodeId, Message]] = []
        while self._held and self._held[0][0] <= mark:
            _, to, message = self._held.popleft()
            free.append((to, message))
        return free
