"""Somebody else's client: py-consul, unmodified."""

import threading
from collections.abc import Iterator
from typing import Any

import consul
import pytest

from quorate.runtime.reserved import HOST
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


def test_a_prepared_query_is_stored_executed_changed_and_deleted(client: consul.Consul) -> None:
    assert client.agent.service.register("py-q", port=80, tags=["x"])
    bound = client.session.create(ttl=10)
    ttl: Any = "10s"  # a text, whatever its annotation says
    one = client.query.create("py-q", name="py-query", regexp="", tags=["x"], ttl=ttl)["ID"]
    two = client.query.create("py-q", session=bound, name="py-bound", nearestn=2)["ID"]
    assert {one, two} <= {query["ID"] for query in client.query.list()}
    assert client.query.get(one)[0]["Service"]["Tags"] == ["x"]
    found = client.query.execute("py-query", near="_agent", limit=1)
    assert [each["Service"]["Port"] for each in found["Nodes"]] == [80]
    assert found["DNS"] == {"TTL": "10s"}
    assert client.query.update(one, name="py-query-2", regexp="", service="${name.suffix}")
    explained = client.query.explain("py-query-2-db")["Query"]
    assert (explained["ID"], explained["Service"]["Service"]) == (one, "-db")
    assert client.session.destroy(bound)
    assert client.query.get(two) is None
    assert client.query.delete(one)
    assert client.agent.service.deregister("py-q")


def test_the_cluster_tells_of_itself(client: consul.Consul) -> None:
    assert client.status.leader() in client.status.peers()
    assert [member["Status"] for member in client.agent.members()] == [1]
    assert client.agent.self()["Config"]["NodeName"] == "node-1"
    assert [node["Node"] for node in client.catalog.nodes()[1]] == ["node-1"]


ODD_KEYS = [
    "foo/bar/baz%2Fqux", "foo%foo", "100%", "agents/#638@98K!", "q?x=1&y#z", "acme - host.example",
    "no-break\u00a0space", "module1,module2$", "traefik/ç", "a+b", "日本/鍵", "emoji😀", "dir/",
]  # fmt: skip


def test_keys_of_any_characters_go_there_and_back(client: consul.Consul) -> None:
    keys = [f"odd/{key}" for key in ODD_KEYS]
    for key in keys:
        assert client.kv.put(key, key)
        row = client.kv.get(key)[1]
        assert (row["Key"], row["Value"].decode()) == (key, key)
    in_order = sorted(keys, key=str.encode)
    assert client.kv.get("odd/", keys=True)[1] == in_order
    assert [row["Key"] for row in client.kv.get("odd/", recurse=True)[1]] == in_order
    assert all(client.kv.delete(key) for key in keys)
    assert client.kv.get("odd/", keys=True)[1] is None


def test_the_supervisors_of_a_database_elect_hand_over_and_are_missed(
    client: consul.Consul,
) -> None:
    """What Patroni does with Consul: members and a leader's key, each held by a session.

    Source: https://patroni.readthedocs.io
    """
    kv, session = client.kv, client.session
    ann = session.create(name="pg-ann", behavior="delete", ttl=15, lock_delay=1)
    bob = session.create(name="pg-bob", behavior="delete", ttl=15, lock_delay=1)
    assert [kv.put("pg/initialize", name, cas=0) for name in ("1", "2")] == [True, False]
    assert kv.put("pg/members/ann", "{}", acquire=ann)
    assert kv.put("pg/members/bob-ß", "{}", acquire=bob)
    assert [kv.put("pg/leader", "x", acquire=each) for each in (ann, bob, ann)] == [
        True, False, True,
    ]  # fmt: skip
    assert kv.put("pg/status", "1", acquire=ann)

    index = kv.get("pg/leader")[0]
    released = threading.Timer(
        0.2, kv.delete, ("pg/leader",), {"cas": kv.get("pg/leader")[1]["ModifyIndex"]}
    )
    released.start()
    assert kv.get("pg/leader", index=index, wait="60s")[1] is None
    released.join()
    assert kv.put("pg/leader", "bob", acquire=bob), "no lock-delay after handing over"

    assert session.destroy(bob)
    left = kv.get("pg/", keys=True)[1]
    assert left == ["pg/initialize", "pg/members/ann", "pg/status"]
    assert kv.put("pg/leader", "ann", acquire=ann) is False, "the lock-delay of who was lost"
    assert session.destroy(ann)
    assert kv.delete("pg/", recurse=True)
