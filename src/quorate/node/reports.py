"""Reports: what the disks of members are known to hold is written to the log now and then.

A leader adds it to a batch that is sent anyway, at most once a second. When no batch is sent and
there is something new, an empty batch carries it: so the replicated state lags by little more than
that, and an idle cluster writes nothing.
"""

from collections.abc import Callable

from quorate.base.batches import Batch, Shown, encode_batch
from quorate.base.effects import Effect
from quorate.base.ids import NodeId
from quorate.base.ports import Rng
from quorate.paxos.leadership import Leadership
from quorate.paxos.recall import Recall, Replicated

REPORT_S = 1.0
"""Between two reports."""


class Reports:
    """The reports of one node, while it leads.

    Args:
        me: Our id.
        incarnation: Of this node.
        rng: For the epoch, which distinguishes two processes of one incarnation.
        wall_ms: For the time of an empty batch.
    """

    def __init__(self, me: NodeId, incarnation: int, rng: Rng, wall_ms: Callable[[], int]) -> None:
        self._me = me
        self._incarnation = incarnation
        self._epoch = 1 + rng.randrange(1 << 62)
        self._wall_ms = wall_ms
        self._due_s = float("-inf")

    def recall(self, replicated: Replicated) -> Recall:
        """The memory of a new replica."""
        return Recall(self._me, self._incarnation, self._epoch, replicated)

    def take(self, leadership: Leadership, now_s: float) -> tuple[Shown, ...]:
        """The report for a batch that is sent now; mostly none."""
        if now_s < self._due_s or not leadership.recall.has_news():
            return ()
        self._due_s = now_s + REPORT_S
        return leadership.recall.report(leadership.ballot)

    def tick(self, leadership: Leadership, log_time_ms: int, now_s: float) -> list[Effect]:
        """Propose an empty batch if there is something new and no other batch is in flight."""
        pipeline = leadership.pipeline
        if (
            now_s < self._due_s
            or pipeline is None
            or pipeline.in_flight
            or leadership.capacity() == 0
        ):
            return []
        shown = self.take(leadership, now_s)
        if not shown:
            return []
        batch = Batch(leadership.ballot, log_time_ms, self._wall_ms(), (), None, shown)
        return leadership.propose(encode_batch(batch), now_s, is_awaited=False)
