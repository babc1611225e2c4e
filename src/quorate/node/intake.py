"""Intake: bundles that wait at a serving leader for a slot.

INT-1: each origin's stream is FIFO without a gap: a bundle is taken only if it follows the last one
    of that origin proposed in this ballot; the first time, the last one applied.
INT-2: what is taken twice changes nothing; the machine would skip it anyway.

The leader never decodes a command.
"""

from collections import deque
from collections.abc import Callable

from quorate.base.batches import Bundle
from quorate.base.config import ClusterConfig
from quorate.base.ids import NodeId
from quorate.base.messages import ForwardGap


class Intake:
    """The queue of one leadership.

    Args:
        cluster: Caps of a batch.
        last_applied: (incarnation, sequence) of an origin as applied; (0, 0) if none.
    """

    def __init__(
        self, cluster: ClusterConfig, last_applied: Callable[[NodeId], tuple[int, int]]
    ) -> None:
        self._cluster = cluster
        self._last_applied = last_applied
        self._last: dict[NodeId, tuple[int, int]] = {}
        self._queue: deque[Bundle] = deque()

    def __bool__(self) -> bool:
        return bool(self._queue)

    def offer(self, bundle: Bundle) -> ForwardGap | None:
        """Take a bundle if it fits (INT-1); a ForwardGap names the one that would."""
        incarnation, sequence = self._last.get(bundle.origin) or self._last_applied(bundle.origin)
        is_next = bundle.incarnation == incarnation and bundle.sequence == sequence + 1
        is_first = bundle.incarnation > incarnation and bundle.sequence == 1
        if is_next or is_first:
            self._last[bundle.origin] = (bundle.incarnation, bundle.sequence)
            self._queue.append(bundle)
            return None
        if bundle.incarnation > incarnation:
            return ForwardGap(bundle.incarnation, 1)
        if bundle.incarnation == incarnation and bundle.sequence > sequence:
            return ForwardGap(incarnation, sequence + 1)
        return None

    def take(self) -> tuple[Bundle, ...]:
        """Bundles for one batch, in order, up to the caps; one larger bundle stands alone."""
        taken: list[Bundle] = []
        count = size = 0
        while self._queue:
            bundle = self._queue[0]
            count += bundle.count
            size += len(bundle.body)
            is_over = (
                count > self._cluster.batch_commands_max or size > self._cluster.batch_bytes_max
            )
            if taken and is_over:
                break
            taken.append(self._queue.popleft())
        return tuple(taken)
