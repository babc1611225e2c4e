"""`quorate cluster recover`: a new cluster out of what survived."""

import asyncio
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from quorate.base.command import Command
from quorate.base.config import ClusterConfig, NodeSettings, local
from quorate.base.context import PLAIN
from quorate.base.effects import Persist
from quorate.base.errors import ConflictError, QuorateError, RequestError, StorageError
from quorate.base.outcomes import Outcome
from quorate.base.txn import TxnOp
from quorate.cli.main import main
from quorate.kv.commands import KvSet
from quorate.kv.queries import kv_keys
from quorate.machine.commands import Txn
from quorate.machine.queries import Reader
from quorate.recovery.directories import recover
from quorate.runtime.datadir import open_datadir
from quorate.runtime.faultlog import silent_log
from quorate.runtime.server import NodeServer, ServerSettings, start_server
from quorate.runtime.storage import StorageSettings
from quorate.runtime.wal import Wal, WalSettings
from quorate.wire.journal import Layout

pytestmark = pytest.mark.integration

LOG = silent_log()
SMALL = StorageSettings(WalSettings(layout=Layout(segment_bytes=4 * 1024 * 1024)), 16 * 1024 * 1024)


async def started(
    directory: Path,
    name: str,
    listener: socket.socket,
    join: Sequence[str] = (),
    expect: int = 0,
    cluster: ClusterConfig | None = None,
) -> NodeServer:
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    node = local() if cluster is None else NodeSettings(cluster=cluster)
    settings = ServerSettings(
        directory,
        name,
        address,
        join=tuple(join),
        expect=expect,
        is_alone=cluster is not None,
        node=node,
        storage=SMALL,
    )
    return await start_server(settings, listener, LOG)


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


async def written(body: NodeServer, command: Command) -> Outcome:
    """Have a command applied, however long the cluster takes to find itself."""
    while True:
        answer: asyncio.Future[Outcome | QuorateError] = asyncio.get_running_loop().create_future()
        body.local.submit(PLAIN, command, answer.set_result)
        match await answer:
            case Outcome() as outcome:
                return outcome
            case _:
                await asyncio.sleep(0.05)


async def three_that_wrote(directory: Path, count: int) -> None:
    """Three nodes write some keys, then all die at once."""
    listeners = [listening() for _ in range(3)]
    peers = [f"127.0.0.1:{each.getsockname()[1]}" for each in listeners]
    bodies = await asyncio.gather(
        *(
            started(directory / f"n{number}", f"n{number}", listener, peers, 3)
            for number, listener in enumerate(listeners)
        )
    )
    for number in range(count):
        await written(bodies[number % 3], KvSet(f"k/{number:03d}".encode(), b"v" * 1000, 0))
    for body in bodies:
        await body.close(is_clean=False)


async def keys_of(directory: Path) -> list[str]:
    """Start a node alone and read all keys, after one more write."""
    body = await started(directory, "new", listening())
    await written(body, KvSet(b"k/after", b"1", 0))
    found = kv_keys(Reader(body.local.tables), b"k/", b"").value
    await body.stop()
    return [key.decode() for key in found]


def test_one_survivor_of_three_becomes_a_cluster_with_every_key(tmp_path: Path) -> None:
    asyncio.run(three_that_wrote(tmp_path, 60))
    before = {path: path.read_bytes() for path in (tmp_path / "n2").rglob("*.json")}

    made = recover([tmp_path / "n2"], tmp_path / "new")

    assert made.member.name == "n2"
    assert {path: path.read_bytes() for path in (tmp_path / "n2").rglob("*.json")} == before
    assert not (tmp_path / "new.work").exists()
    keys = asyncio.run(keys_of(tmp_path / "new"))
    assert keys == [*(f"k/{number:03d}" for number in range(60)), "k/after"]


def test_what_one_survivor_lacks_another_has(tmp_path: Path) -> None:
    asyncio.run(three_that_wrote(tmp_path, 20))
    made = recover([tmp_path / "n0", tmp_path / "n1"], tmp_path / "new")
    assert made.keys == 20


async def one_that_refused_a_transaction(directory: Path) -> None:
    """A cluster of one with a limit of its own; its tables must be made anew from the log."""
    body = await started(
        directory, "n0", listening(), cluster=ClusterConfig(txn_result_bytes_max=9)
    )
    await written(body, KvSet(b"k/0", b"v" * 10, 0))
    refused = await written(body, Txn((TxnOp("set", b"k/1", b"v"), TxnOp("get-tree", b"k/"))))
    assert refused.value.faults
    await body.close(is_clean=False)
    (directory / "tables.json").unlink()


def test_the_log_is_applied_under_the_settings_of_the_old_cluster(tmp_path: Path) -> None:
    asyncio.run(one_that_refused_a_transaction(tmp_path / "n0"))
    recover([tmp_path / "n0"], tmp_path / "new")
    assert asyncio.run(keys_of(tmp_path / "new")) == ["k/0", "k/after"]


def test_directories_of_two_clusters_are_not_mixed(tmp_path: Path) -> None:
    asyncio.run(three_that_wrote(tmp_path / "a", 1))
    asyncio.run(three_that_wrote(tmp_path / "b", 1))
    with pytest.raises(ConflictError, match="different clusters"):
        recover([tmp_path / "a/n0", tmp_path / "b/n0"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    async def attempt() -> None:
        body = await started(tmp_path / "n0", "n0", listening())
        try:
            with pytest.raises(StorageError, match="is used by process"):
                recover([tmp_path / "n0"], tmp_path / "new")
        finally:
            await body.close()

    asyncio.run(attempt())


def test_an_interrupted_recovery_leaves_nothing_that_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first records of the new log are a whole cluster, without a key."""
    asyncio.run(three_that_wrote(tmp_path, 3))
    into, left = tmp_path / "new", tmp_path / "left"
    append, rename = Wal.append, Path.rename
    found: list[str] = []

    def start() -> None:
        """What a node says that finds the new directory as it is now."""
        shutil.rmtree(left, ignore_errors=True)
        shutil.copytree(into, left)
        with pytest.raises(StorageError) as refused:
            open_datadir(left)
        with pytest.raises(StorageError, match=r"is left over|is not empty"):
            recover([tmp_path / "n1"], left)
        found.append(refused.value.code)

    def appended(wal: Wal, effects: Sequence[Persist]) -> Any:
        start()
        return append(wal, effects)

    def renamed(path: Path, target: Path) -> Path:
        if target.parent == into:
            start()
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Wal, "append", appended)
        patched.setattr(Path, "rename", renamed)
        recover([tmp_path / "n1"], into)
    assert len(found) > 8
    assert set(found) <= {"foreign", "corrupt"}
    assert asyncio.run(keys_of(into)) == ["k/000", "k/001", "k/002", "k/after"]
    assert not (into / "unfinished-recovery").exists()


@pytest.mark.parametrize("how", [OSError(28, "full"), KeyboardInterrupt()])
def test_a_recovery_that_fails_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: BaseException
) -> None:
    asyncio.run(three_that_wrote(tmp_path, 1))
    into = tmp_path / "new"
    into.mkdir()

    def fails(*_: object) -> None:
        raise how

    with monkeypatch.context() as patched:
        patched.setattr(Wal, "append", fails)
        with pytest.raises(type(how)):
            recover([tmp_path / "n1"], into)
    assert recover([tmp_path / "n1"], into).keys == 1


def test_a_copy_that_fails_is_named_by_its_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library collects those of all files."""
    asyncio.run(three_that_wrote(tmp_path, 1))

    def fails(*_: object, **__: object) -> None:
        raise shutil.Error([(name, name, "No space left on device") for name in ("a", "b")])

    monkeypatch.setattr(shutil, "copytree", fails)
    with pytest.raises(StorageError) as refused:
        recover([tmp_path / "n1"], tmp_path / "new")
    assert refused.value.text.count("No space left on device") == 1


def test_a_file_is_no_new_directory(tmp_path: Path) -> None:
    asyncio.run(three_that_wrote(tmp_path, 1))
    (tmp_path / "file").write_text("mine")
    for into in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(StorageError):
            recover([tmp_path / "n0"], into)
    assert (tmp_path / "file").read_text() == "mine"


def test_the_new_directory_must_be_blank_and_the_old_ones_real(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    with pytest.raises(StorageError, match="is not empty"):
        recover([tmp_path], tmp_path / "full")
    with pytest.raises(StorageError, match="no data directory"):
        recover([tmp_path / "full"], tmp_path / "new")


@pytest.mark.parametrize("again", ["n1", "n0/../n1", "link"])
def test_a_survivor_that_is_named_twice_is_refused(tmp_path: Path, again: str) -> None:
    for name in ("n0", "n1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "node.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "n1")
    paths = [tmp_path / name for name in ("n1", "n0", again)]
    with pytest.raises(RequestError, match=r"n1 and .* are the same directory"):
        recover(paths, tmp_path / "new")
    path = tmp_path / "n1"
    with pytest.raises(RequestError, match="are the same directory"):
        recover([path, path], tmp_path / "new")


def test_two_copies_of_one_survivor_are_refused(tmp_path: Path) -> None:
    asyncio.run(three_that_wrote(tmp_path, 1))
    shutil.copytree(tmp_path / "n0", tmp_path / "copy")
    with pytest.raises(RequestError, match=r"n0 and .*copy are copies of one node"):
        recover([tmp_path / "n1", tmp_path / "n0", tmp_path / "copy"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("into", ["n1/new", "n1/deep/new", "link/new", "n0/../n1/new"])
def test_nothing_is_written_into_a_survivor(tmp_path: Path, into: str) -> None:
    for name in ("n0", "n1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "node.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "n1")
    with pytest.raises(StorageError, match="which is only read"):
        recover([tmp_path / "n0", tmp_path / "n1"], tmp_path / into)
    assert [file.name for file in (tmp_path / "n1").iterdir()] == ["node.json"]


def test_the_new_directory_may_lie_beside_one_whose_name_begins_its_own(tmp_path: Path) -> None:
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1/node.json").write_text("{")
    with pytest.raises(StorageError) as refused:
        recover([tmp_path / "n1"], tmp_path / "n1-new")
    assert "which is only read" not in str(refused.value)


def test_the_command_says_what_is_wrong_and_that_nothing_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["cluster", "recover", f"-data-dir={tmp_path}", f"-into={tmp_path / 'new'}"])
    said = capsys.readouterr().err
    assert code == 1
    assert "Error! Nothing was recovered: " in said
    assert "no data directory of Quorate" in said
