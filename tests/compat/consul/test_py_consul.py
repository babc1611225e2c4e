"""Somebody else's client: py-consul, unmodified."""

import threading
from collections.abc import Iterator

import consul
import pytest

from quorate.cli.launch import HOST
from tests.compat.consul.servers import started

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def client() -> Iterator[consul.Consul]:
    with started({}) as server:
        yield consul.Consul(host=HOST, port=server.port)


def test_keys_are_written_read_listed_and_removed(client: consul.Consul) -> None:
    assert client.kv.put("py/a", "1", flags=7)
    index, row = client.kv.get("py/a")
    assert (row["Value"], row["Flags"], int(index)) == (b"1", 7, row["ModifyIndex"])
    assert client.kv.put("py/a", "2", cas=row["ModifyIndex"])
    assert client.kv.put("py/a", "3", cas=row["ModifyIndex"]) is False
    assert client.kv.put("py/b/c", "4")
    assert client.kv.get("py/", keys=True, separator="/")[1] == ["py/a", "py/b/"]
    assert [row["Key"] for row in client.kv.get("py/", recurse=True)[1]] == ["py/a", "py/b/c"]
    assert client.kv.delete("py/", recurse=True)
    assert client.kv.get("py/a")[1] is None


def test_a_lock_is_taken_by_one_session_only(client: consul.Consul) -> None:
    first = client.session.create(ttl=10, lock_delay=0)
    second = client.session.create(ttl=10, lock_delay=0)
    assert client.kv.put("py/lock", "", acquire=first)
    assert client.kv.put("py/lock", "", acquire=second) is False
    assert client.session.renew(first)["ID"] == first
    assert client.session.destroy(first)
    assert client.kv.put("py/lock", "", acquire=second)
    assert client.session.destroy(second)


def test_a_blocking_read_comes_back_with_the_change(client: consul.Consul) -> None:
    client.kv.put("py/watched", "old")
    index, _ = client.kv.get("py/watched")
    writer = threading.Timer(0.2, client.kv.put, ("py/watched", "new"))
    writer.start()
    _, row = client.kv.get("py/watched", index=index, wait="5s")
    writer.join()
    assert row["Value"] == b"new"


def test_a_transaction_is_all_or_nothing(client: consul.Consul) -> None:
    done = client.txn.put([{"KV": {"Verb": "set", "Key": "py/t", "Value": "MQ=="}}])
    assert done["Results"][0]["KV"]["Key"] == "py/t"


def test_a_service_is_found(client: consul.Consul) -> None:
    assert client.agent.service.register("py-web", port=80, tags=["x"])
    _, found = client.health.service("py-web", passing=True)
    assert [one["Service"]["Port"] for one in found] == [80]
    assert client.agent.service.deregister("py-web")


def test_the_cluster_tells_of_itself(client: consul.Consul) -> None:
    assert client.status.leader() in client.status.peers()
    assert [member["Status"] for member in client.agent.members()] == [1]
    assert client.agent.self()["Config"]["NodeName"] == "node-1"
    assert [node["Node"] for node in client.catalog.nodes()[1]] == ["node-1"]
