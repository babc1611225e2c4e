"""The data directory: the identity and incarnation of a node, and whether its tables are complete.

```text
lock             held while a process uses the directory; holds its pid
node.json        id, incarnation, format, cluster settings; replaced atomically at every start
tables.json      "running", "clean" or "broken", and in which boot of the system that was so
wal/             the log, see `runtime.wal`
set-aside-TIME/  what was here before, see `runtime.setaside`
```

Other packages keep their files beside these. The id is generated here, once, and never configured:
an empty directory has no identity. The incarnation is incremented durably at every start, before
anything else, so that two runs of a node are never taken for one.

The tables survive a killed process, but are not synced: after a crash of the system they must
be built again. `tables_trusted` says which it was: they are complete after a clean stop, or if the
system still runs that ran when they were last written.
"""

import contextlib
import fcntl
import os
import secrets
import time
import uuid
from collections.abc import Generator
from pathlib import Path

import msgspec

from quorate.base.config import ClusterConfig
from quorate.base.errors import StorageError
from quorate.base.formats import DIRECTORY
from quorate.base.ids import NodeId
from quorate.runtime import setaside
from quorate.runtime.fileops import opened, storage_error, sync_directory, write_all

FORMAT = DIRECTORY.newest
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HARMLESS = frozenset({"lost+found", "lock", "node.json.new", *setaside.ENTRIES})  # in a blank one


class Identification(msgspec.Struct, frozen=True):
    """The content of node.json. Unknown fields are dropped: a newer format has a higher number."""

    format: int
    id: NodeId
    incarnation: int
    created: str
    log_begun: bool = False
    log_begun_in: int = 0  # older versions drop it
    cluster: dict[str, int] = {}  # a `ClusterConfig`; older versions drop it


class TablesMark(msgspec.Struct, frozen=True):
    """The content of tables.json."""

    state: str  # "running", "clean" or "broken"
    boot_id: str


class DataDir:
    """A data directory that this process holds. Made by `open_datadir`.

    Attributes:
        path: The directory.
        node_id: The id of its node.
        incarnation: The number of this run, from 1.
        nonce: Drawn for this run, 63 bits: in handshakes, and as the epoch of the log.
        log_begun: There is, or was, a log here.
        log_begun_in: The newest incarnation that is known to have begun the log; 0: unknown.
        known_cluster: The settings under which the newest run applies batches; None: unknown.
        cluster: The same; the defaults if unknown.
    """

    def __init__(
        self, path: Path, lock: int, node: Identification, boot_id: str, *, is_trusted: bool
    ) -> None:
        self.path = path
        self.nonce = secrets.randbits(63)
        self._lock = lock
        self._node = node
        self._boot_id = boot_id
        self._is_trusted = is_trusted

    @property
    def node_id(self) -> NodeId:
        """The id that was generated with this directory."""
        return self._node.id

    @property
    def incarnation(self) -> int:
        """The number of this run of the node, from 1."""
        return self._node.incarnation

    @property
    def log_begun(self) -> bool:
        """Whether a log was begun here, in this run or an earlier one."""
        return self._node.log_begun

    @property
    def log_begun_in(self) -> int:
        """The newest incarnation whose log is known to be durable: an older log is an old copy."""
        return self._node.log_begun_in

    @property
    def known_cluster(self) -> ClusterConfig | None:
        """The settings under which the newest run applies batches; None: unknown."""
        known = ClusterConfig.__struct_fields__
        stored = {name: value for name, value in self._node.cluster.items() if name in known}
        return ClusterConfig(**stored) if self._node.cluster else None

    @property
    def cluster(self) -> ClusterConfig:
        """The settings under which the newest run applies batches; the defaults if unknown."""
        return self.known_cluster or ClusterConfig()

    @property
    def wal(self) -> Path:
        """The directory of the log; it exists."""
        return self.path / "wal"

    def tables_trusted(self) -> bool:
        """Whether the tables found at start hold all that was committed to them."""
        return self._is_trusted

    def mark_log_begun(self, cluster: ClusterConfig | None = None) -> None:
        """Record that this run has a log. To be called once its begin is durable.

        Args:
            cluster: The settings under which this run applies batches; None: see `open_datadir`.

        Raises:
            StorageError: It could not be written.
        """
        incarnation = self._node.incarnation
        self._node = msgspec.structs.replace(self._node, log_begun=True, log_begun_in=incarnation)
        if cluster is not None:
            self._node = msgspec.structs.replace(
                self._node, cluster=msgspec.structs.asdict(cluster)
            )
        _write_json(self.path, "node.json", self._node)

    def mark_running(self) -> None:
        """Remember that the tables are written without a sync. Before the first transaction.

        Raises:
            StorageError: It could not be written.
        """
        _write_json(self.path, "tables.json", TablesMark("running", self._boot_id))

    def mark_broken(self) -> None:
        """Remember that the tables are not to be trusted, nor what is made in their place yet.

        Raises:
            StorageError: It could not be written.
        """
        _write_json(self.path, "tables.json", TablesMark("broken", ""))

    def mark_clean(self) -> None:
        """Remember that the tables are whole. After a sync of them, behind the last transaction.

        Raises:
            StorageError: It could not be written.
        """
        _write_json(self.path, "tables.json", TablesMark("clean", self._boot_id))

    def close(self) -> None:
        """Let another process have the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def open_datadir(
    path: Path, *, boot_id: str | None = None, cluster: ClusterConfig | None = None
) -> DataDir:
    """Lock a data directory, initialise it if it is empty, and increment its incarnation.

    Args:
        path: It is made if it is missing, with its parents.
        boot_id: Names this run of the operating system; None: as the system says. "": unknown,
            then tables are trusted only after a clean stop.
        cluster: The settings under which this run applies batches; None: it applies none as a node
            of the cluster. Stored now only if no settings are stored yet: these may still be
            refused (`node.settings`), and `mark_log_begun` stores them when they are accepted.

    Raises:
        StorageError: `locked`, `foreign`, `version`, `permission`, `disk_full`, `corrupt`; the
            text says what to do. Nothing was changed but the lock.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _locked(path)
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(
            "foreign", f"{path} is a file, or lies below one: name a directory"
        ) from error
    except OSError as error:
        raise storage_error(error, f"opening the data directory {path}") from error
    try:
        setaside.finish(path)
        node = _next_incarnation(path)
        if cluster is not None and not node.cluster:
            node = msgspec.structs.replace(node, cluster=msgspec.structs.asdict(cluster))
        _write_json(path, "node.json", node)
        with _reported(f"making the directory of the log in {path}"):
            (path / "wal").mkdir(mode=0o700, exist_ok=True)
            sync_directory(path)
        boot = system_boot_id() if boot_id is None else boot_id
        return DataDir(path, lock, node, boot, is_trusted=_is_trusted(path, boot))
    except BaseException:
        os.close(lock)
        raise


def is_blank(path: Path) -> bool:
    """Whether no node has used a data directory yet."""
    return not (path / "node.json").exists()


def renew_datadir(path: Path) -> Path:
    """Set the content of a data directory aside, so that the next start mints a new id in it.

    Returns:
        Where its content is now.

    Raises:
        StorageError: `locked`, or see `setaside.set_aside`.
    """
    try:
        lock = _locked(path)
    except OSError as error:
        raise storage_error(error, f"opening the data directory {path}") from error
    try:
        return setaside.set_aside(path)
    finally:
        os.close(lock)


def system_boot_id() -> str:
    """Identifies this run of the operating system; "" if unknown."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:  # not Linux, or hidden: then only a clean stop is trusted
        return ""


def _locked(path: Path) -> int:
    """The descriptor that holds the lock; it is free again when the process ends, however."""
    descriptor = opened(path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StorageError(
            "locked",
            f"the data directory {path} is used by process {pid}: stop that one, or give this "
            "node a directory of its own",
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _next_incarnation(path: Path) -> Identification:
    with _reported(f"reading {path}"):
        names = sorted(entry.name for entry in path.iterdir())
        found = [name for name in names if not name.startswith(setaside.PREFIX)]
        data = (path / "node.json").read_bytes() if "node.json" in found else None
    if data is None:
        return _first_incarnation(path, [name for name in found if name not in _HARMLESS])
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("format")
        if isinstance(version, int):
            DIRECTORY.check(str(path), version)
        node = msgspec.json.decode(data, type=Identification)
    except ValueError as error:  # msgspec's own errors are ValueErrors
        raise StorageError(
            "corrupt",
            f"{path / 'node.json'} cannot be read ({error}): put back a copy of exactly this "
            "file, or remove the node from the cluster and start it with an empty directory",
        ) from error
    return msgspec.structs.replace(node, format=FORMAT, incarnation=node.incarnation + 1)


def _first_incarnation(path: Path, others: list[str]) -> Identification:
    if {"wal", "tables.json"} & set(others):
        raise StorageError(
            "corrupt",
            f"{path} holds the log of a node, but node.json is missing: without it the node has "
            "lost its name. Put it back, or remove the node from the cluster and start it with "
            "an empty directory",
        )
    if others:
        shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        raise StorageError(
            "foreign",
            f"{path} is no data directory of Quorate, and not empty ({shown}): name an empty "
            "or a missing directory",
        )
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Identification(FORMAT, NodeId(str(uuid.uuid4())), 1, created)


def _is_trusted(path: Path, boot_id: str) -> bool:
    try:
        with _reported(f"reading {path / 'tables.json'}"):
            mark = msgspec.json.decode((path / "tables.json").read_bytes(), type=TablesMark)
    except (StorageError, ValueError) as error:
        if isinstance(error, StorageError) and error.code == "too_many_files":
            raise  # says nothing about the tables
        return False  # missing or damaged: nothing says that they are whole
    return mark.state == "clean" or (mark.boot_id == boot_id != "")


def _write_json(path: Path, name: str, content: msgspec.Struct) -> None:
    """Replace a file as a whole, durably."""
    target = path / name
    with _reported(f"writing {target}"):
        fresh = target.with_name(f"{name}.new")
        descriptor = opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(descriptor, 0, [msgspec.json.encode(content) + b"\n"])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.rename(target)
        sync_directory(path)


@contextlib.contextmanager
def _reported(what: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, what) from error
