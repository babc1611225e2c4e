"""A disk in memory that executes the operations of the journal, and fails on request.

What is written is seen at once and survives a killed process; it survives a power cut for sure
only once synced. Until then each 512-byte sector, and each change of a name, may or may not
have reached the disk, independent of all others. Real disks do less, so code that relies on an
order without a sync is found.
"""

from collections.abc import Sequence

from quorate.base.errors import StorageError, invariant
from quorate.base.ports import Rng
from quorate.wire.fileops import Create, FileOp, Remove, Rename, Sync, SyncDirectory, Write

SECTOR_BYTES = 512


class _Content:
    """The bytes of one file, whatever it is called."""

    def __init__(self, size: int) -> None:
        self.current = bytearray(size)
        self.unsynced: dict[int, bytes] = {}  # sector -> what is durable there
        self.lost: dict[int, bytes] = {}  # the same, but a failed sync has marked it clean


class SimDisk:
    """The directory of one log.

    Args:
        capacity_bytes: What fits; None: everything.

    Attributes:
        sync_failures: So many of the next syncs fail: what they should have written is still
            seen, and no later sync writes it, as on ext4, XFS and Btrfs.
        syncs: How many have succeeded.
    """

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.sync_failures = 0
        self.syncs = 0
        self._names: dict[str, _Content] = {}
        self._durable_names: dict[str, _Content] = {}
        self._unsynced_names: list[tuple[FileOp, _Content]] = []

    @property
    def files(self) -> dict[str, int]:
        """Name and size of each file, as a running process sees them."""
        return {name: len(content.current) for name, content in sorted(self._names.items())}

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file, as a running process sees them."""
        return bytes(self._names[name].current[offset : offset + length])

    def obey(self, operations: Sequence[FileOp]) -> None:
        """Do these operations, in order.

        Raises:
            StorageError: `corrupt`: a sync failed; `disk_full`. Those before it are done, it and
                those behind it are not.
        """
        for operation in operations:
            self.do(operation)

    def do(self, operation: FileOp) -> None:
        """Do one operation; a simulation may let time pass, or stop the node, between two."""
        match operation:
            case Create(name, size):
                self._create(operation, name, size)
            case Write(name, offset, buffers):
                self._write(self._names[name], offset, b"".join(buffers))
            case Sync(name):
                self._sync(self._names[name])
            case Rename(old, new):
                invariant(new not in self._names, f"{new} is free")
                content = self._names.pop(old)
                self._names[new] = content
                self._unsynced_names.append((operation, content))
            case SyncDirectory():
                self._durable_names = dict(self._names)
                self._unsynced_names.clear()
            case Remove(name):
                self._unsynced_names.append((operation, self._names.pop(name)))

    def copied(self) -> "SimDisk":
        """What a copy of the directory made now would hold, on a disk that has it all."""
        copy = SimDisk(self.capacity_bytes)
        for name, content in self._names.items():
            copy._names[name] = _Content(0)
            copy._names[name].current = bytearray(content.current)
        copy._durable_names = dict(copy._names)
        return copy

    def kill(self) -> None:
        """The process ends, the operating system runs on: nothing is lost."""

    def power_cut(self, rng: Rng) -> None:
        """Everything ends; of what was not synced, any part may be gone."""
        names = self._durable_names
        for change, content in self._unsynced_names:
            if rng.random() < 0.5:
                _change(names, change, content)
        for _, content in sorted(names.items()):
            self._lose(content, rng)
        self._names = dict(names)
        self._durable_names = dict(names)
        self._unsynced_names.clear()

    def bit_flip(self, rng: Rng) -> tuple[str, int]:
        """Turn one bit of one file over, durably; return the file and the offset."""
        names = sorted(name for name, content in self._names.items() if content.current)
        name = names[rng.randrange(len(names))]
        offset = rng.randrange(len(self._names[name].current))
        self.flip(name, offset, rng.randrange(8))
        return name, offset

    def flip(self, name: str, offset: int, bit: int = 0) -> None:
        """Turn this bit over, durably."""
        content = self._names[name]
        content.current[offset] ^= 1 << bit
        sector, place = divmod(offset, SECTOR_BYTES)
        for durable in (content.unsynced, content.lost):
            if sector in durable:
                old = bytearray(durable[sector])
                old[place] ^= 1 << bit
                durable[sector] = bytes(old)

    def _create(self, operation: FileOp, name: str, size: int) -> None:
        used = sum(len(content.current) for content in self._names.values())
        if self.capacity_bytes is not None and used + size > self.capacity_bytes:
            raise StorageError("disk_full", f"no space for {name}")
        content = self._names[name] = _Content(size)
        self._unsynced_names.append((operation, content))

    def _write(self, content: _Content, offset: int, data: bytes) -> None:
        end = offset + len(data)
        invariant(end <= len(content.current), "a write stays inside its file")
        for sector in range(offset // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            if sector not in content.unsynced:
                begin = sector * SECTOR_BYTES
                durable = content.lost.pop(sector, None)
                content.unsynced[sector] = (
                    bytes(content.current[begin : begin + SECTOR_BYTES])
                    if durable is None
                    else durable
                )
        content.current[offset:end] = data

    def _sync(self, content: _Content) -> None:
        if self.sync_failures:
            self.sync_failures -= 1
            content.lost.update(content.unsynced)
            content.unsynced.clear()
            raise StorageError("corrupt", "the disk failed to sync")
        content.unsynced.clear()
        self.syncs += 1

    def _lose(self, content: _Content, rng: Rng) -> None:
        share = rng.random() * 1.5 - 0.25  # now and then all of it, now and then nothing
        for sector, durable in [*content.lost.items(), *content.unsynced.items()]:
            if sector in content.lost or rng.random() < share:
                begin = sector * SECTOR_BYTES
                content.current[begin : begin + len(durable)] = durable
        content.unsynced.clear()
        content.lost.clear()


def _change(names: dict[str, _Content], change: FileOp, content: _Content) -> None:
    """Let one change of a name reach the disk, if what it rests on has reached it."""
    match change:
        case Create(name):
            names[name] = content
        case Rename(old, new) if names.get(old) is content:
            del names[old]
            names[new] = content
        case Remove(name) if names.get(name) is content:
            del names[name]
        case _:
            pass
