"""Reports: what members have shown their disks to hold goes into the log now and then.

A leader puts it into a batch that leaves anyway, at most once a second. When nothing leaves any
more and there are news, an empty batch takes them: so the replicated state lags by little more
than that, and an idle cluster writes nothing.
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
        incarnation: Which of our lives this is.
        rng: Chance for what tells two lives of one number apart.
        wall_ms: For the time stamp of an empty batch.
    """

    def __init__(self, me: NodeId, incarnation: int, rng: Rng, wall_ms: Callable[[], int]) -> None:
        self._me = me
        self._incarnation = incarnation
        self._life = 1 + rng.randrange(1 << 62)
        self._wall_ms = wall_ms
        self._due_s = float("-inf")

    def recall(self, replicated: Replicated) -> Recall:
        """The memory of a new replica."""
        return Recall(self._me, self._incarnation, self._life, replicated)

    def take(self, leadership: Leadership, now_s: float) -> tuple[Shown, ...]:
        """What a batch that leaves now should say; mostly nothing."""
        if now_s < self._due_s or not leadership.recall.has_news():
            return ()
        self._due_s = now_s + REPORT_S
        return leadership.recall.report(leadership.ballot)

    def tick(self, leadership: Leadership, log_time_ms: int, now_s: float) -> list[Effect]:
        """Propose an empty batch if there are news and nothing else is on the way."""
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
