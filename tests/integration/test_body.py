"""Whole nodes in one loop: real disks, real sockets, no processes."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from quorate.base.command import Command
from quorate.base.context import PLAIN, RequestContext
from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.ids import Slot
from quorate.base.outcomes import Outcome
from quorate.base.subjects import exactly
from quorate.kv.commands import KvDelete, KvSet
from quorate.kv.queries import kv_get
from quorate.kv.subjects import of_key
from quorate.machine.queries import Reader
from tests.integration.oneloop import Cluster, ClusterNode
from tests.limits import HANG_S

pytestmark = pytest.mark.integration


async def done(node: ClusterNode, command: Command) -> Outcome:
    """Submit and wait."""
    answer: asyncio.Future[Outcome | QuorateError] = asyncio.get_running_loop().create_future()
    node.local.submit(PLAIN, command, answer.set_result)
    got = await answer
    if isinstance(got, QuorateError):
        raise got
    return got


async def value(node: ClusterNode, key: bytes) -> bytes | None:
    """A linearizable read."""
    answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def look(point: int | QuorateError) -> None:
        if isinstance(point, QuorateError):
            answer.set_exception(point)
            return
        entry = kv_get(Reader(node.local.tables), key).value
        answer.set_result(None if entry is None else entry.row.value)

    node.local.read(PLAIN, look)
    return await answer


def played(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the loop that ships."""
    uvloop.run(play())


def test_what_one_node_acknowledged_every_node_has() -> None:
    async def play() -> None:
        async with Cluster(3) as cluster:
            for number, node in enumerate(cluster.nodes):
                await done(node, KvSet(b"k%d" % number, b"v%d" % number))
            for node in cluster.nodes:
                assert [await value(node, b"k%d" % n) for n in range(3)] == [b"v0", b"v1", b"v2"]

    played(play)


def test_a_killed_leader_costs_no_acknowledged_write_and_comes_back() -> None:
    async def play() -> None:
        async with Cluster(3) as cluster:
            leader = cluster.leader
            assert leader is not None
            others = [node for node in cluster.nodes if node is not leader]
            for number in range(50):
                await done(leader, KvSet(b"a%d" % number, b"x" * 2000))
            await leader.kill()
            for number in range(50):
                await done(others[0], KvSet(b"b%d" % number, b"y"))
            await leader.start()
            await cluster.ready()
            for number in range(50):
                assert await value(leader, b"a%d" % number) == b"x" * 2000
                assert await value(leader, b"b%d" % number) == b"y"
            slot = others[0].status.applied
            await cluster.until(lambda: all(n.status.applied >= slot for n in cluster.nodes))
            assert len({node.status.digest for node in cluster.nodes}) == 1

    played(play)


def test_all_nodes_killed_at_once_remember_everything(tmp_path: Path) -> None:
    async def play() -> None:
        async with Cluster(3, directory=tmp_path) as cluster:
            for number in range(30):
                await done(cluster.nodes[0], KvSet(b"k%d" % number, b"v"))
            await done(cluster.nodes[1], KvDelete(b"k0"))
            await asyncio.gather(*(node.kill() for node in cluster.nodes))
            await asyncio.gather(*(node.start() for node in cluster.nodes))
            await cluster.ready()
            assert await value(cluster.nodes[2], b"k0") is None
            assert await value(cluster.nodes[2], b"k29") == b"v"

    played(play)


def test_tables_that_are_lost_are_made_anew(tmp_path: Path) -> None:
    async def play() -> None:
        async with Cluster(1, directory=tmp_path) as cluster:
            node = cluster.nodes[0]
            for number in range(30):
                await done(node, KvSet(b"k%d" % number, b"v%d" % number))
            await node.kill()
            (tmp_path / "n1/tables/tables.mdb").unlink()
            await node.start()
            await cluster.ready()
            assert await value(node, b"k29") == b"v29"

    played(play)


def test_a_clean_stop_hands_leadership_over_first() -> None:
    async def play() -> None:
        async with Cluster(3) as cluster:
            leader = cluster.leader
            assert leader is not None
            await done(leader, KvSet(b"k", b"v"))
            rest = [node for node in cluster.nodes if node is not leader]
            await leader.stop()
            assert not leader.is_running
            assert await value(rest[0], b"k") == b"v"
            assert [node for node in rest if node.status.role == "leader"]
            with pytest.raises(UnavailableError):
                _ = leader.local

    played(play)


def test_a_watcher_is_woken_by_a_write_on_another_node() -> None:
    async def play() -> None:
        async with Cluster(3) as cluster:
            woken = asyncio.Event()
            cluster.nodes[0].local.watch(PLAIN, [exactly(of_key(b"k"))], woken.set)
            await done(cluster.nodes[1], KvSet(b"other", b"v"))
            assert not woken.is_set()
            await done(cluster.nodes[2], KvSet(b"k", b"v"))
            async with asyncio.timeout(HANG_S):
                await woken.wait()

    played(play)


def test_without_a_majority_writes_are_refused_and_go_on_with_one() -> None:
    async def play() -> None:
        async with Cluster(3) as cluster:
            first, second, third = cluster.nodes
            await second.kill()
            await third.kill()
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            context = RequestContext(deadline_s=first.local.now_s + 1.0)
            first.local.submit(context, KvSet(b"k", b"v"), answer.set_result)
            assert isinstance(await answer, QuorateError)
            await second.start()
            await cluster.ready()
            await done(first, KvSet(b"k2", b"v"))

    played(play)


def corrupt(path: Path) -> None:
    """Damage the row in place, also under the eyes of a node that runs."""
    data = path.read_bytes()
    assert b"precious" in data
    with path.open("r+b") as file:
        file.write(data.replace(b"precious", b"damaged!"))


def test_a_row_damaged_while_a_node_is_down_is_whole_again_when_it_runs(tmp_path: Path) -> None:
    async def play() -> None:
        async with Cluster(1, directory=tmp_path) as cluster:
            node = cluster.nodes[0]
            await done(node, KvSet(b"key", b"precious" * 20))
            await node.stop()
            corrupt(tmp_path / "n1/tables/tables.mdb")
            await node.start()
            await cluster.ready()
            assert await value(node, b"key") == b"precious" * 20

    played(play)


def test_a_damaged_row_ends_the_node_and_the_next_incarnation_has_whole_tables(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        async with Cluster(1, directory=tmp_path) as cluster:
            node = cluster.nodes[0]
            await done(node, KvSet(b"key", b"precious" * 20))
            corrupt(tmp_path / "n1/tables/tables.mdb")
            looked: list[Any] = []
            node.local.read(
                PLAIN, lambda _: looked.append(kv_get(Reader(node.local.tables), b"key"))
            )
            await cluster.until(lambda: not node.is_running)
            assert looked == []
            assert list((tmp_path / "n1").glob("flight-*.jsonl"))
            await node.kill()
            await node.start()
            await cluster.ready()
            assert await value(node, b"key") == b"precious" * 20

    played(play)


def test_writes_under_way_when_the_leader_dies_are_all_done_once() -> None:
    async def play() -> None:
        async with Cluster(3) as cluster:
            leader = cluster.leader
            assert leader is not None
            other = next(node for node in cluster.running if node is not leader)
            writes = [asyncio.create_task(done(other, KvSet(b"%d" % n, b"v"))) for n in range(200)]
            await asyncio.sleep(0)
            await leader.kill()
            outcomes = await asyncio.gather(*writes)
            assert all(outcome.value is True for outcome in outcomes)
            await leader.start()
            await cluster.ready()
            height = other.status.applied
            await cluster.until(lambda: leader.status.applied >= height > Slot(0))
            assert await value(leader, b"199") == b"v"
            await cluster.until(
                lambda: len({(n.status.applied, n.status.digest) for n in cluster.running}) == 1
            )

    played(play)
