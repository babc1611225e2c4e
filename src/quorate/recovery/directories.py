"""Recovery of a cluster whose majority is lost for good: data directories in, a new one out.

Offline, and on copies: the directories of the survivors are not changed. Pure code
(`paxos.survivors`, `node.recovering`), which the simulator runs as well, decides which of their
records count, and what the new log contains. Data that only the lost nodes had is lost. Writes
whose outcome was unknown may have taken place.

RCV-1: no node starts in a new directory that is not complete: the first records of a new log are a
    whole cluster without keys. It is made in a folder of that directory, and `node.json`, without
    which there is no node, is moved out of the folder last.
"""

import fcntl
import random
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from quorate.base.batches import Member
from quorate.base.effects import Persist
from quorate.base.errors import ConflictError, RequestError, StorageError
from quorate.base.ids import Slot
from quorate.base.records import Bootstrapped
from quorate.node.recovering import Replayed, new_log, replayed, state_of
from quorate.paxos.survivors import Survivor, surviving
from quorate.runtime.faultlog import silent_log
from quorate.runtime.fileops import storage_error, sync_directory
from quorate.runtime.storage import Storage, StorageSettings

_UNFINISHED = "unfinished-recovery"
_NODE = "node.json"


class Recovered(msgspec.Struct, frozen=True):
    """The new cluster of one node."""

    member: Member
    cluster_id: str
    slot: Slot  # the last one of the old cluster that it contains
    index: int  # continues from here
    keys: int
    guessed: int  # slots whose chosen value no survivor knew


def recover(paths: Sequence[Path], into: Path) -> Recovered:
    """Build a new cluster from the surviving data directories of an old one.

    Args:
        paths: Data directories of nodes that do not run; all that survived.
        into: The new data directory: missing or empty. Copies are made beside it meanwhile.

    Raises:
        StorageError: A directory is in use, is no data directory, or is damaged; `into` is not
            empty, or lies in one of `paths`, which are only read.
        ConflictError: `precondition`: they are not all of one cluster.
        RequestError: `bad_request`: one of them belongs to no cluster, or two are of one node.
    """
    _check_paths(paths, into)
    work = into.with_name(f"{into.name}.work")
    if work.exists():
        raise StorageError("foreign", f"{work} is left over from another recovery: remove it")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        storages: list[Storage] = []
        survivors: list[Survivor] = []
        clusters: set[str] = set()
        for number, path in enumerate(paths):
            storage = Storage(_copied(path, work / str(number)), StorageSettings(), silent_log())
            stack.callback(storage.close, is_clean=False)
            records = list(storage.wal.records())
            bootstraps = [
                each for each in records if isinstance(each, Bootstrapped) and each.complete
            ]
            if not bootstraps:
                raise RequestError("bad_request", f"{path}: this node never belonged to a cluster")
            for other, known in zip(paths, storages, strict=False):
                if known.directory.node_id == storage.directory.node_id:
                    text = f"{other} and {path} are copies of one node: name only the newest"
                    raise RequestError("bad_request", text)
            storages.append(storage)
            survivors.append(Survivor(state_of(storage.tables).applied, records))
            clusters.add(bootstraps[-1].cluster_id)
        if len(clusters) > 1:
            raise ConflictError(
                "precondition", f"the directories belong to different clusters: {sorted(clusters)}"
            )
        return _recovered(storages, survivors, into)


def _check_paths(paths: Sequence[Path], into: Path) -> None:
    """Refuse what can be refused before anything is copied."""
    if (into / _UNFINISHED).exists() and not (into / _NODE).exists():
        text = f"{into} is left over from a recovery that was interrupted: remove it"
        raise StorageError("foreign", text)
    if into.exists() and not (into.is_dir() and not any(into.iterdir())):
        raise StorageError("foreign", f"{into} is not empty: name a directory that does not exist")
    place = into.resolve()
    for path in paths:  # a copy of what holds the copy has no end
        if not (path / _NODE).exists():
            raise StorageError("foreign", f"{path} is no data directory of Quorate")
        if place.is_relative_to(path.resolve()):
            raise StorageError("foreign", f"{into} lies in {path}, which is only read")
    known: dict[tuple[int, int], Path] = {}
    for path in paths:
        found = path.stat()
        identity = (found.st_dev, found.st_ino)  # however the path is spelled
        if identity in known:
            text = f"{known[identity]} and {path} are the same directory: name each survivor once"
            raise RequestError("bad_request", text)
        known[identity] = path


def _call(callback: Callable[..., object], *arguments: object) -> None:
    callback(*arguments)


def _ignore(_: object) -> None:
    """Nobody waits for the log: its mark is compared at the end."""


def _recovered(storages: Sequence[Storage], survivors: Sequence[Survivor], into: Path) -> Recovered:
    found = surviving(survivors)
    base = storages[found.base]
    rng = random.Random()  # noqa: S311 - the node that replays sends nothing
    own, incarnation = base.directory.node_id, base.directory.incarnation
    survivor, cluster = survivors[found.base], base.directory.cluster
    old = replayed(own, incarnation, survivor, base.tables, found, rng, cluster=cluster)
    unfinished = into / _UNFINISHED
    try:
        try:
            into.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, f"making {into}") from error
        member, cluster_id = _written(old, unfinished)
        _finish(unfinished, into)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    applied, index = old.state.applied, old.state.index
    return Recovered(member, cluster_id, applied, index, old.keys, len(found.guessed))


def _written(old: Replayed, path: Path) -> tuple[Member, str]:
    """Write a data directory with a new cluster that has this state.

    Returns:
        Its only member, and its id.
    """
    cluster_id = str(uuid.uuid4())
    storage = Storage(path, StorageSettings(), silent_log())
    try:
        list(storage.wal.records())
        member = msgspec.structs.replace(old.member, id=storage.directory.node_id)
        incarnation, wall_ms = storage.directory.incarnation, int(time.time() * 1000)
        name = str(uuid.uuid4())
        records = list(new_log(member, incarnation, cluster_id, old, name, wall_ms))
        storage.wal.start(_call, _ignore, _ignore, _ignore)
        storage.log_started()
        for record in records:
            storage.wal.append([Persist(record)])
    finally:
        storage.close(is_clean=True)
    if storage.wal.mark != len(records):
        raise StorageError("disk_full", f"{path.parent} could not be written; make space there")
    return member, cluster_id


def _finish(unfinished: Path, into: Path) -> None:
    """Make a complete directory the new one (RCV-1)."""
    try:
        for name in sorted(each.name for each in unfinished.iterdir() if each.name != _NODE):
            (unfinished / name).rename(into / name)
        sync_directory(into)
        (unfinished / _NODE).rename(into / _NODE)
        unfinished.rmdir()
        sync_directory(into)
    except OSError as error:
        raise storage_error(error, f"finishing {into}") from error


def _copied(path: Path, target: Path) -> Path:
    """Copy a directory while no process can use it, without changing it."""
    with ExitStack() as stack:
        with suppress(FileNotFoundError):  # it is itself a copy
            lock = stack.enter_context((path / "lock").open("rb"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = lock.read().decode(errors="replace").strip() or "unknown"
                text = f"{path} is used by process {pid}: stop every node of the old cluster"
                raise StorageError("locked", text) from None
        try:
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("lock", "*.new"))
        except OSError as error:
            reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
            raise StorageError("disk_full", f"copying {path} to {target}: {reason}") from error
    return target
