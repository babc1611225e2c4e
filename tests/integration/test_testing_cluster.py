"""A real cluster in one process: real disks, real sockets, real elections."""

import asyncio

import pytest

from quorate.base.commands import KvSet
from quorate.base.errors import QuorateError
from quorate.base.ids import Slot
from quorate.base.outcomes import Outcome
from quorate.base.ports import Local
from quorate.machine.queries import Reader
from quorate.testing import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


async def write(node: Local, key: bytes, value: bytes) -> Outcome:
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def answer(outcome: Outcome | QuorateError) -> None:
        if isinstance(outcome, QuorateError):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)

    node.submit(KvSet(key, value), answer)
    return await done


async def read(node: Local, key: bytes) -> bytes | None:
    done: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def look(stamp: int | QuorateError) -> None:
        if isinstance(stamp, QuorateError):
            done.set_exception(stamp)
        else:
            entry = Reader(node.tables).kv_get(key).value
            done.set_result(None if entry is None else entry.row.value)

    node.read(look)
    return await done


def test_every_node_takes_writes_and_reads_what_another_wrote() -> None:
    async def scenario() -> None:
        async with Cluster(3) as cluster:
            for node in cluster.running:
                key = node.name.encode()
                assert (await write(node.local, key, b"v" + key)).value is True
                for other in cluster.running:
                    assert await read(other.local, key) == b"v" + key

    asyncio.run(scenario())


def test_a_killed_leader_loses_nothing_and_catches_up() -> None:
    async def scenario() -> None:
        async with Cluster(3) as cluster:
            leader = cluster.leader
            assert leader is not None
            other = next(node for node in cluster.running if node is not leader)
            writes = [asyncio.create_task(write(other.local, b"%d" % n, b"v")) for n in range(200)]
            await asyncio.sleep(0)
            await leader.kill()
            outcomes = await asyncio.gather(*writes)
            assert all(outcome.value is True for outcome in outcomes)
            await leader.start()
            await cluster.ready()
            height = other.status.applied
            await cluster.until(lambda: leader.status.applied >= height > Slot(0))
            assert await read(leader.local, b"199") == b"v"
            await cluster.until(
                lambda: len({(n.status.applied, n.status.digest) for n in cluster.running}) == 1
            )

    asyncio.run(scenario())


def test_all_nodes_killed_at_once_remember_everything() -> None:
    async def scenario() -> None:
        async with Cluster(3) as cluster:
            node = cluster.running[0]
            for number in range(50):
                await write(node.local, b"%d" % number, b"v%d" % number)
            nodes = list(cluster.running)
            for one in nodes:
                await one.kill()
            for one in nodes:
                await one.start()
            await cluster.ready()
            for number in range(50):
                assert await read(nodes[number % 3].local, b"%d" % number) == b"v%d" % number

    asyncio.run(scenario())
