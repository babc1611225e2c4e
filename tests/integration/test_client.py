"""The client, async and sync, against three real processes: what it promises when nodes die."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from quorate import (
    AsyncClient,
    AsyncPaxos,
    Client,
    LockHeldError,
    LockLostError,
    OutcomeUnknownError,
    Paxos,
    QuorateError,
    UnavailableError,
)
from quorate.lab.launch import LocalCluster, NodeProcess
from quorate.runtime.reserved import HOST, free_ports
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TTL_S = 10.0  # a holder that waits long for the processor keeps its session
NEVER_S = 3600.0  # what ignores a limit waits for this long
HOLDER = """
import sys
from quorate import Client
client = Client(sys.argv[1].split(","))
with client.election("app/leader", b"first", ttl_s=10.0, lock_delay_s=0.0) as leading:
    print(leading.fence, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalCluster, None, None]:
    directory = tmp_path_factory.mktemp("cluster")
    file = directory / "quorate.json"
    file.write_text(json.dumps({"session_ttl_min": "1s"}))
    cluster = LocalCluster(directory, extra=["-config-file", str(file)])
    cluster.start(HANG_S)
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(processes: LocalCluster) -> LocalCluster:
    """Three nodes that run, and agree on who leads."""
    for node in processes.nodes:
        if not node.is_running():
            node.start()
    processes.wait_for_leader(HANG_S)
    return processes


def addresses(cluster: LocalCluster, first: NodeProcess | None = None) -> list[str]:
    """Where clients reach the nodes, one of them first."""
    found = [node.address for node in cluster.nodes]
    return found if first is None else [first.address, *(set(found) - {first.address})]


def ran(play: Callable[[AsyncClient], Awaitable[None]], endpoints: list[str]) -> None:
    """Let a client do something."""

    async def run() -> None:
        async with AsyncClient(endpoints, deadline_s=HANG_S) as client:
            await play(client)

    asyncio.run(run())


# --- keys and values --------------------------------------------------------------------------


def test_what_one_node_acknowledged_each_node_has(cluster: LocalCluster) -> None:
    async def play(client: AsyncClient) -> None:
        index = await client.kv.put("kv/a", b"1", flags=7)
        for node in cluster.nodes:
            async with AsyncClient(node.address) as other:
                entry = await other.kv.get("kv/a")
                assert entry is not None
                assert (entry.value, entry.flags, entry.modify_index) == (b"1", 7, index)
        assert not await client.kv.cas("kv/a", b"2", index - 1)
        assert await client.kv.cas("kv/a", b"2", index)
        assert await client.kv.cas("kv/b", b"new", 0)
        assert await client.kv.keys("kv/") == ["kv/a", "kv/b"]
        assert [entry.value for entry in await client.kv.tree("kv/")] == [b"2", b"new"]
        done = await client.txn().put("kv/c", b"3").check_absent("kv/d").commit()
        assert done
        assert await client.kv.delete("kv/a")
        assert await client.kv.read("kv/a") is None
        assert await client.kv.delete_tree("kv/")
        assert await client.kv.keys("kv/") == []

    ran(play, addresses(cluster))


def test_the_sync_client_does_the_same(cluster: LocalCluster) -> None:
    with Client(addresses(cluster)) as client:
        index = client.kv.put("sync/a", b"1")
        assert not client.kv.cas("sync/a", b"2", index - 1)
        assert client.kv.cas("sync/a", b"2", index)
        assert client.kv.read("sync/a") == b"2"
        with ThreadPoolExecutor(8) as threads:
            writes = [threads.submit(client.kv.put, f"sync/{n}", b"x") for n in range(50)]
            assert len({write.result() for write in writes}) == 50
        assert len(client.kv.keys("sync/")) == 51
        assert client.kv.delete_tree("sync/")


def test_a_watch_goes_on_when_its_node_dies(cluster: LocalCluster) -> None:
    leader = cluster.wait_for_leader(HANG_S)

    async def play(client: AsyncClient) -> None:
        await client.kv.put("watched", b"0")
        watch = client.kv.watch("watched")
        first = await anext(watch)
        assert first is not None
        assert first.value == b"0"
        following = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)  # it asks, and its node holds the question
        leader.kill()
        async with AsyncClient(addresses(cluster)) as other:
            await other.kv.put("watched", b"1")
        async with asyncio.timeout(HANG_S):
            second = await following
        assert second is not None
        assert second.value == b"1"

    ran(play, addresses(cluster, leader))


# --- fail-over --------------------------------------------------------------------------------


def test_clients_go_on_at_another_node_when_theirs_dies(cluster: LocalCluster) -> None:
    leader = cluster.wait_for_leader(HANG_S)
    written: dict[str, bytes] = {}
    are_some = asyncio.Event()

    async def play(client: AsyncClient) -> None:
        async def write(number: int) -> None:
            for count in range(40):
                key, value = f"over/{number}/{count}", f"{count}".encode()
                try:
                    await client.kv.put(key, value)
                except OutcomeUnknownError:
                    continue  # it was on its way to the node that died
                written[key] = value
                if len(written) >= 40:
                    are_some.set()

        writers = [asyncio.create_task(write(number)) for number in range(8)]
        await are_some.wait()
        leader.kill()
        await asyncio.gather(*writers)
        assert client.endpoint != leader.address
        entries = await client.kv.tree("over/")
        found = {entry.key: entry.value for entry in entries}
        assert written.items() <= found.items()
        assert len(written) > 250

    ran(play, addresses(cluster, leader))


def test_the_sync_client_goes_on_at_another_node(cluster: LocalCluster) -> None:
    leader = cluster.wait_for_leader(HANG_S)
    with Client(addresses(cluster, leader)) as client:
        client.kv.put("sync/over", b"before")
        leader.kill()
        assert client.kv.read("sync/over") == b"before"
        client.kv.put("sync/over", b"after")
        assert client.endpoint != leader.address


def test_deadlines_are_kept_without_a_majority(cluster: LocalCluster) -> None:
    survivor, *others = cluster.nodes

    async def play(client: AsyncClient) -> None:
        await client.kv.put("late", b"before")
        for node in others:
            node.kill()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.kv.put("late", b"x", deadline_s=1.0),
            lambda: client.kv.get("late", deadline_s=1.0),
        ]
        for call in calls:
            began_s = time.monotonic()
            with pytest.raises(QuorateError):
                await call()
            assert time.monotonic() - began_s < HANG_S
        entry = await client.kv.get("late", stale=True)
        assert entry is not None
        assert entry.value == b"before"

    ran(play, [survivor.address])


def test_a_deadline_is_kept_when_nobody_is_there() -> None:
    (port,) = free_ports(1)
    began_s = time.monotonic()
    client = Client(f"{HOST}:{port}", deadline_s=NEVER_S)
    with client, pytest.raises(UnavailableError):
        client.kv.put("nobody", b"x", deadline_s=1.0)
    assert time.monotonic() - began_s < HANG_S


# --- locks ------------------------------------------------------------------------------------


def test_a_lost_lock_cancels_its_body(cluster: LocalCluster) -> None:
    async def play(client: AsyncClient) -> None:
        reasons: list[str] = []
        lock = client.lock("locks/lost", lock_delay_s=0.0, on_lost=reasons.append)
        was_cancelled = False
        fence = 0
        with pytest.raises(LockLostError, match="lock 'locks/lost'"):  # noqa: PT012 - its body
            async with lock as held:
                fence = held.fence
                await client.call("PUT", f"/v1/session/destroy/{held.session}")
                try:
                    await asyncio.sleep(NEVER_S)
                except asyncio.CancelledError:
                    was_cancelled = True
                    raise
        assert was_cancelled
        assert len(reasons) == 1
        async with client.lock("locks/lost", lock_delay_s=0.0) as again:
            assert again.fence > fence > 0

    ran(play, addresses(cluster))


def test_a_lock_whose_session_ends_while_it_waits_is_had_all_the_same(
    cluster: LocalCluster,
) -> None:
    async def play(client: AsyncClient) -> None:
        name = "locks/waited-for"
        async with client.lock(name, lock_delay_s=0.0) as first:
            waiting = asyncio.create_task(client.lock(name, lock_delay_s=0.0).acquire())
            while not (others := await sessions_of(client, name, first.session)):
                pass
            await client.session.destroy(others[0])
        second = await waiting
        assert second.session not in {first.session, *others}
        assert second.fence > first.fence

    async def sessions_of(client: AsyncClient, name: str, without: str) -> list[str]:
        found = await client.session.all()
        return [each.id for each in found if each.name == f"lock {name}" and each.id != without]

    ran(play, addresses(cluster))


def test_a_lost_lock_of_the_sync_client_says_so_when_asked(cluster: LocalCluster) -> None:
    with Client(addresses(cluster)) as client:
        is_lost = threading.Event()
        lock = client.lock(
            "locks/sync", ttl_s=TTL_S, lock_delay_s=0.0, on_lost=lambda _: is_lost.set()
        )
        with pytest.raises(LockLostError), lock as held:  # noqa: PT012 - the lock is the point
            held.check()
            client.session.destroy(held.session)
            assert is_lost.wait(HANG_S)
            held.check()


def test_a_lock_outlives_the_leader_and_the_node_it_was_taken_at(cluster: LocalCluster) -> None:
    leader = cluster.wait_for_leader(HANG_S)

    async def play(client: AsyncClient) -> None:
        async with client.lock("locks/kept", ttl_s=10.0) as held:
            leader.kill()
            async with AsyncClient(addresses(cluster)) as other:
                with pytest.raises(LockHeldError):
                    async with other.lock("locks/kept", wait_s=1.0):
                        pass
            held.check()
            entry = await client.kv.get("locks/kept")
            assert entry is not None
            assert entry.session == held.session

    ran(play, addresses(cluster, leader))


def test_one_holder_at_a_time_and_fences_that_rise(cluster: LocalCluster) -> None:
    fences: list[int] = []
    holders = 0

    async def contend(number: int) -> None:
        nonlocal holders
        node = cluster.nodes[number % 3]
        async with AsyncClient(addresses(cluster, node)) as client:
            for _ in range(4):
                async with client.lock("locks/shared", lock_delay_s=0.0) as held:
                    holders += 1
                    assert holders == 1
                    fences.append(held.fence)
                    await asyncio.sleep(0.005)
                    assert holders == 1
                    holders -= 1

    async def play() -> None:
        await asyncio.gather(*(contend(number) for number in range(6)))

    asyncio.run(play())
    assert len(fences) == 24
    assert fences == sorted(set(fences))


def test_an_election_moves_to_the_next_when_the_leader_dies(cluster: LocalCluster) -> None:
    endpoints = addresses(cluster)
    words = [sys.executable, "-c", HOLDER, ",".join(endpoints)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        fence = int(holder.stdout.readline())

        async def play(client: AsyncClient) -> None:
            election = client.election("app/leader", b"second", ttl_s=TTL_S, lock_delay_s=0.0)
            first = await election.leader()
            assert first is not None
            assert first.value == b"first"
            observed = election.observe()
            assert await anext(observed) == first
            holder.kill()
            async with asyncio.timeout(HANG_S), election as leading:
                assert leading.fence > fence
                second = await election.leader()
                assert second is not None
                assert (second.value, second.session) == (b"second", leading.session)
                while (seen := await anext(observed)) != second:
                    assert seen in (None, first)

        ran(play, endpoints)


# --- Paxos ------------------------------------------------------------------------------------


def test_all_proposers_learn_one_decision_though_the_leader_dies(cluster: LocalCluster) -> None:
    leader = cluster.wait_for_leader(HANG_S)

    async def propose(number: int, names: list[str]) -> list[bytes]:
        async with AsyncClient(addresses(cluster, cluster.nodes[number % 3])) as client:
            paxos = AsyncPaxos(client)
            return [await paxos.propose(name, f"p{number}".encode()) for name in names]

    async def play(client: AsyncClient) -> None:
        paxos = AsyncPaxos(client)
        names = [f"epoch-{number}" for number in range(20)]
        assert await paxos.accept(names[0]) is None
        waiting = asyncio.create_task(paxos.decide(names[-1]))
        proposing = [asyncio.create_task(propose(number, names)) for number in range(6)]
        await paxos.decide(names[2])
        leader.kill()
        acknowledged = await asyncio.gather(*proposing)
        assert all(each == acknowledged[0] for each in acknowledged)
        assert [await paxos.accept(name) for name in names] == acknowledged[0]
        assert await waiting == acknowledged[0][-1]

    ran(play, addresses(cluster))


def test_the_three_verbs_of_the_sync_client(cluster: LocalCluster) -> None:
    with Client(addresses(cluster)) as client, ThreadPoolExecutor(1) as thread:
        paxos = Paxos(client)
        assert paxos.accept("sync-epoch") is None
        waiting = thread.submit(paxos.decide, "sync-epoch")
        assert paxos.propose("sync-epoch", b"ann") == b"ann"
        assert paxos.propose("sync-epoch", b"bob") == b"ann"
        assert paxos.accept("sync-epoch") == b"ann"
        assert waiting.result(HANG_S) == b"ann"
