"""Tail: the newest chosen batches, kept in memory for peers that lag.

A peer that needs older ones takes a snapshot. So a slow peer costs no memory beyond a fixed limit,
and nothing here reads a disk.
"""

from collections import deque
from collections.abc import Mapping

from quorate.base.errors import invariant
from quorate.base.ids import Slot


class Tail:
    """Batches of the slots `slot_first` … `slot_last`, without a hole.

    Args:
        slot_last: The slot before the first one that will be added.
        bytes_max: Oldest batches go when the sum of sizes passes this.
        slots_max: The same, in slots.

    Attributes:
        bytes: The sum of sizes of the batches kept.
    """

    def __init__(self, slot_last: Slot, bytes_max: int, slots_max: int) -> None:
        self.slot_last = slot_last
        self._batches: deque[bytes] = deque()
        self.bytes = 0
        self._bytes_max = bytes_max
        self._slots_max = slots_max

    def __len__(self) -> int:
        return len(self._batches)

    def is_beyond(self, size: int, slots: int) -> bool:
        """Whether so many bytes, or slots, are more than is kept."""
        return size > self._bytes_max or slots > self._slots_max

    @property
    def slot_first(self) -> Slot:
        """The oldest slot kept; `slot_last + 1` when empty."""
        return Slot(self.slot_last - len(self._batches) + 1)

    def add(self, slot: Slot, batch: bytes) -> None:
        """Append the batch of the next slot."""
        invariant(slot == self.slot_last + 1, "the tail has no holes")
        self.slot_last = slot
        self._batches.append(batch)
        self.bytes += len(batch)
        while self._batches and (
            self.bytes > self._bytes_max or len(self._batches) > self._slots_max
        ):
            self.bytes -= len(self._batches.popleft())

    def get(self, slot: Slot) -> bytes | None:
        """The batch of a slot, or None if it is not kept. Cost: O(distance to an end)."""
        place = slot - self.slot_first
        return self._batches[place] if 0 <= place < len(self._batches) else None

    def run(self, slot_first: Slot, slot_last: Slot, bytes_max: int) -> list[bytes]:
        """Batches from `slot_first` on, at most to `slot_last`, at most `bytes_max`.

        Returns:
            At least one batch if `slot_first` is kept, whatever its size; else none.
        """
        batches: list[bytes] = []
        size = 0
        for slot in range(slot_first, min(slot_last, self.slot_last) + 1):
            batch = self.get(Slot(slot))
            if batch is None or (batches and size + len(batch) > bytes_max):
                break
            batches.append(batch)
            size += len(batch)
        return batches

    def newest_of(self, batches: Mapping[Slot, bytes]) -> dict[Slot, bytes]:
        """Of batches older than those kept, the newest ones that the limits allow."""
        newest: dict[Slot, bytes] = {}
        size, count_max = self.bytes, self._slots_max - len(self._batches)
        for slot in sorted((slot for slot in batches if slot < self.slot_first), reverse=True):
            size += len(batches[slot])
            if size > self._bytes_max or len(newest) >= count_max:
                break
            newest[slot] = batches[slot]
        return newest

    def restart(self, slot_last: Slot) -> None:
        """Forget everything; the next batch will be that of `slot_last + 1`."""
        self.slot_last = slot_last
        self._batches.clear()
        self.bytes = 0
