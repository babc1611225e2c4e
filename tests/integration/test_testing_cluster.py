"""What `quorate.testing` promises to those who test their services with it."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorate import Consul, OutcomeUnknownError, QuorateError, UnavailableError
from quorate.base.errors import NotFoundError, RequestError
from quorate.client import Client, LoadReport
from quorate.testing import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with Cluster(3) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    shared.reset()
    return shared


def refused(call: Callable[[], object]) -> QuorateError:
    with pytest.raises(QuorateError) as caught:
        call()
    return caught.value


# --- services ---------------------------------------------------------------------------------


def test_services_are_registered_monitored_and_given_tasks(cluster: Cluster) -> None:
    one, other = (Consul(address) for address in cluster.endpoints[:2])
    with one, other:
        monitor = one.monitor("web")
        with one.register("web", port=81, load=0.25) as first:
            change = next(monitor)
            assert (change.kind, change.instance.port) == ("placed", 81)
            assert change.now is not None
            assert (change.now.status, change.now.load) == ("passing", LoadReport(cpu=0.25))
            assert other.distribute("web", lambda instance: instance.port) == 81
            with other.register("web", port=82, load=LoadReport(memory=0.5)):
                assert next(monitor).instance.node == cluster.nodes[1].name
                found = [one.distribute("web", lambda each: each.port) for _ in range(20)]
                assert set(found) <= {81, 82}
                first.report(0.75)
                change = next(monitor)
                assert (change.kind, change.instance.port) == ("load", 81)
            change = next(monitor)
            assert (change.kind, change.instance.port) == ("removed", 82)


# --- clients ----------------------------------------------------------------------------------


def test_every_node_takes_writes_and_reads_what_another_wrote(cluster: Cluster) -> None:
    for node in cluster.nodes:
        cluster.client(node).kv.put(node.name, node.name.encode())
        for other in cluster.nodes:
            assert cluster.client(other.name).kv.read(node.name) == node.name.encode()


def test_a_client_goes_on_when_the_leader_dies(cluster: Cluster) -> None:
    client = cluster.client()
    client.kv.put("a", b"1")
    dead = cluster.leader()
    cluster.kill(dead)
    leader = cluster.leader()
    assert leader is not dead
    assert client.kv.read("a") == b"1"
    client.kv.put("a", b"2")
    cluster.start(dead)
    cluster.wait_until_ready()
    assert cluster.client(dead).kv.read("a") == b"2"


def test_the_async_form_has_the_same_verbs_and_leaves_the_loop_free() -> None:
    async def play() -> None:
        async with Cluster(3) as cluster, cluster.async_client() as client:
            await client.kv.put("a", b"1")
            first = await cluster.leader()
            await cluster.kill(first)
            assert await cluster.leader() is not first
            assert await client.kv.read("a") == b"1"
            await cluster.start(first)
            await cluster.partition("n1")
            await cluster.heal()
            await cluster.pause("n2")
            await cluster.resume("n2")
            await cluster.stop("n3")
            await cluster.restart("n3")
            await cluster.wait_until_ready()
            await cluster.reset()
            assert await client.kv.read("a") is None

    asyncio.run(play())


def test_every_verb_of_the_sync_form_is_one_of_the_async_form() -> None:
    async def play() -> None:
        async with Cluster(1) as cluster:
            names = {name for name in dir(Cluster) if not name.startswith("_")}
            assert names - set(dir(cluster)) == {"aio", "open", "close"}

    asyncio.run(play())


# --- faults -----------------------------------------------------------------------------------


def test_a_killed_node_refuses_connections_and_comes_back_at_the_same_place(
    cluster: Cluster,
) -> None:
    node = cluster.nodes[0]
    cluster.kill(node)
    assert not node.is_running
    assert isinstance(refused(lambda: cluster.client(node).status.leader(deadline_s=0.2)),
                      UnavailableError)  # fmt: skip
    assert refused(lambda: node.status).code == "stopping"
    cluster.start("n1")
    cluster.start("n1")  # it runs: nothing happens
    cluster.wait_until_ready()
    assert node.is_running
    assert cluster.client(node).status.leader() != ""


def test_a_stopped_leader_hands_over(cluster: Cluster) -> None:
    leader = cluster.leader()
    ballot = leader.status.ballot
    cluster.stop(leader)
    assert leader.failure == ""
    assert cluster.leader().status.ballot > ballot


def test_a_paused_node_keeps_its_connections_and_answers_nothing(cluster: Cluster) -> None:
    node = next(node for node in cluster.nodes if node is not cluster.leader())
    client = cluster.client(node)
    client.kv.put("a", b"1")
    cluster.pause(node)
    assert node.is_running
    assert node.is_paused
    with pytest.raises(OutcomeUnknownError):
        client.kv.put("a", b"2", deadline_s=0.3)  # sent, and never answered
    cluster.resume(node)
    cluster.client(node).kv.put("a", b"3")
    assert not node.is_paused


def test_a_paused_leader_is_replaced_and_follows_when_it_goes_on(cluster: Cluster) -> None:
    old = cluster.leader()
    cluster.pause(old)
    new = cluster.leader()
    assert new is not old
    cluster.client(new).kv.put("a", b"1")
    cluster.resume(old)
    assert cluster.client(old).kv.read("a") == b"1"
    cluster.wait_until_ready()


def test_a_paused_node_can_be_killed_and_stopped(cluster: Cluster) -> None:
    cluster.pause("n1")
    cluster.kill("n1")
    assert not cluster.node("n1").is_running
    cluster.pause("n1")
    cluster.resume("n1")  # both do nothing to a node that is down
    cluster.start("n1")
    assert not cluster.node("n1").is_paused


def test_a_leader_alone_on_its_side_loses_its_office_and_loses_no_write(cluster: Cluster) -> None:
    old = cluster.leader()
    alone = cluster.client(old)
    alone.kv.put("a", b"1")
    cluster.partition(old)
    new = cluster.leader()
    assert new is not old
    cluster.client(new).kv.put("a", b"2")
    refused(lambda: alone.kv.read("a", deadline_s=0.3))  # it knows nobody who would confirm it
    cluster.heal()
    cluster.wait_until_ready()
    assert alone.kv.read("a") == b"2"


def test_three_nodes_all_apart_have_no_leader(cluster: Cluster) -> None:
    cluster.partition("n1", ["n2"], [cluster.node("n3")])
    assert "no leader within" in refused(lambda: cluster.leader(0.0)).text
    cluster.heal()
    cluster.wait_until_ready()


def test_a_node_that_starts_during_a_partition_stays_on_its_side(cluster: Cluster) -> None:
    cluster.kill("n1")
    cluster.partition("n1")
    cluster.start("n1")
    cluster.client("n2").kv.put("a", b"1")
    assert cluster.node("n1").status.leader is None
    cluster.heal()
    cluster.wait_until_ready()
    assert cluster.client("n1").kv.read("a") == b"1"


def test_a_paused_node_is_cut_off_before_it_goes_on(cluster: Cluster) -> None:
    cluster.pause("n1")
    cluster.partition("n1")
    new = cluster.leader()
    cluster.client(new).kv.put("a", b"1")
    cluster.resume("n1")
    entry = cluster.client("n1").kv.get("a", stale=True)
    assert entry is None
    cluster.heal()
    assert cluster.client("n1").kv.read("a") == b"1"


def test_what_makes_no_sense_is_refused(cluster: Cluster) -> None:
    with pytest.raises(RequestError, match="two groups"):
        cluster.partition(["n1", "n2"], ["n2"])
    with pytest.raises(NotFoundError, match="'n4'"):
        cluster.kill("n4")
    with pytest.raises(RequestError, match="at least one"):
        Cluster(0)


def test_too_few_nodes_are_named_when_a_leader_is_waited_for(cluster: Cluster) -> None:
    cluster.kill("n1")
    cluster.kill("n2")
    text = refused(lambda: cluster.leader(0.0)).text
    assert "n1" in text
    assert "down" in text


# --- as new -----------------------------------------------------------------------------------


def test_a_reset_leaves_no_key_no_session_no_lock_and_no_lock_delay(cluster: Cluster) -> None:
    client = cluster.client()
    session = client.session.create(ttl_s=60, lock_delay_s=60)
    assert client.kv.acquire("lock", b"", session)
    client.session.destroy(session)  # now the lock-delay of a minute runs
    client.session.create(ttl_s=60)
    client.call("PUT", "/v1/agent/service/register", b'{"Name": "web"}')
    assert b"web" in client.call("GET", "/v1/agent/services").body
    cluster.reset()
    client = cluster.client()
    assert client.kv.keys("") == []
    assert client.session.all() == []
    assert b"web" not in client.call("GET", "/v1/agent/services").body
    session = client.session.create(ttl_s=60)
    assert client.kv.acquire("lock", b"", session)


def test_a_reset_mends_every_fault_and_closes_the_clients(cluster: Cluster) -> None:
    client = cluster.client()
    cluster.partition("n1")
    cluster.pause("n2")
    cluster.kill("n3")
    cluster.reset()
    assert [(node.is_running, node.is_paused) for node in cluster.nodes] == [(True, False)] * 3
    assert {cluster.client(node).kv.keys("") == [] for node in cluster.nodes} == {True}
    refused(lambda: client.kv.read("a", deadline_s=0.1))


def test_a_cluster_that_cannot_come_back_is_made_anew(tmp_path: Path) -> None:
    with Cluster(3, directory=tmp_path) as cluster:
        cluster.client().kv.put("a", b"1")
        endpoints = cluster.endpoints
        for node in cluster.nodes:
            cluster.kill(node)
            for file in (tmp_path / node.name / "wal").iterdir():
                file.write_bytes(b"nothing that anybody wrote" * 1000)
        cluster.reset()
        assert cluster.endpoints == endpoints
        assert cluster.client().kv.keys("") == []
        cluster.client().kv.put("a", b"2")


# --- what is left -----------------------------------------------------------------------------


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith("quorate")}


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    threads = set(threading.enumerate())
    gc.collect()
    descriptors = set(Path("/proc/self/fd").iterdir())
    with Cluster(3) as cluster:
        assert len(files_of(tmp_path)) == 1
        cluster.client().kv.put("a", b"1")
        cluster.kill("n1")
        cluster.pause("n2")
    assert files_of(tmp_path) == set()
    assert set(threading.enumerate()) <= threads
    gc.collect()
    assert set(Path("/proc/self/fd").iterdir()) <= descriptors


def test_a_node_that_is_killed_while_it_starts_ends() -> None:
    with Cluster(1) as cluster:
        [node] = cluster.nodes
        cluster.kill(node)
        node.begin()
        cluster.kill(node)
        assert not node.is_running
        cluster.start(node)
        cluster.wait_until_ready()


def test_an_opening_that_is_cancelled_leaves_nothing_running() -> None:
    async def play() -> None:
        cluster = Cluster(1)
        entering = asyncio.create_task(cluster.__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert cluster.nodes
        assert not any(node.is_running for node in cluster.nodes)

    asyncio.run(play())


def test_a_cluster_is_open_once_at_a_time_and_forgets_its_partition() -> None:
    cluster = Cluster(3)
    with cluster:
        with pytest.raises(RequestError, match="open"):
            cluster.open()
        cluster.partition("n1", "n2", "n3")
    with cluster:
        assert cluster.leader().is_running


def test_a_directory_that_was_given_stays_with_what_was_written(tmp_path: Path) -> None:
    with Cluster(1, directory=tmp_path) as cluster:
        cluster.client().kv.put("a", b"1")
    with Cluster(1, directory=tmp_path) as cluster:
        assert cluster.client().kv.read("a") == b"1"
        cluster.client().kv.put("b", b"2")
        cluster.reset()  # to what it had when it was opened
        assert cluster.client().kv.keys("") == ["a"]


def test_the_event_loop_of_the_caller_is_the_one_it_chose() -> None:
    async def play() -> type[asyncio.AbstractEventLoop]:
        async with Cluster(1) as cluster, cluster.async_client() as client:
            await client.kv.put("a", b"1")
            return type(asyncio.get_running_loop())

    assert "uvloop" not in asyncio.run(play()).__module__
    loop = asyncio.new_event_loop()
    loop.close()
    assert "uvloop" not in type(loop).__module__


def test_a_start_costs_less_than_a_second_of_processor_time() -> None:
    used_s = time.process_time()
    with Cluster(3):
        assert time.process_time() - used_s < 1.0


def test_clusters_beside_each_other_do_not_meet() -> None:
    with Cluster(1) as one, Cluster(1) as other, one.client() as client:
        client.kv.put("a", b"1")
        assert other.client().kv.keys("") == []
        assert not set(one.endpoints) & set(other.endpoints)


def test_a_client_made_by_hand_reaches_it(cluster: Cluster) -> None:
    with Client(cluster.endpoints) as client:
        client.kv.put("a", b"1")
