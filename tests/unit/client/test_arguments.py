"""Arguments: every public one is checked at the edge, by name, before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from quorate import AsyncClient, Client, Paxos
from quorate.base.errors import QuorateError, RequestError
from tests.unit.client.fakes import Store, nodes_in_thread

Use = Callable[[Client, Any], object]

NOT_TEXT = [b"k", 7, None, ["k"]]
NOT_DATA = [7, None, 1.5, ["x"], {"a": 1}]
NOT_WHOLE = ["1", 1.5, None, True]
NOT_SECONDS = ["3", True, [3]]
NOT_FLAG = ["no", 0, 1, None]

KEYED: dict[str, Use] = {
    "get": lambda client, key: client.kv.get(key),
    "read": lambda client, key: client.kv.read(key),
    "put": lambda client, key: client.kv.put(key, "v"),
    "cas": lambda client, key: client.kv.cas(key, "v", 0),
    "delete": lambda client, key: client.kv.delete(key),
    "acquire": lambda client, key: client.kv.acquire(key, "v", "s"),
    "release": lambda client, key: client.kv.release(key, "v", "s"),
    "watch": lambda client, key: client.kv.watch(key),
    "txn.put": lambda client, key: client.txn().put(key, "v"),
    "txn.get": lambda client, key: client.txn().get(key),
    "txn.delete": lambda client, key: client.txn().delete(key),
}

# argument -> its wrong types, its wrong values, and the calls that take it
Row = tuple[str, list[Any], list[Any], list[Use]]
TABLE: list[Row] = [
    ("key", NOT_TEXT, ["", "a\ud800"], list(KEYED.values())),
    (
        "prefix",
        NOT_TEXT,
        [],
        [
            lambda client, prefix: client.txn().get_tree(prefix),
            lambda client, prefix: client.txn().delete_tree(prefix),
            lambda client, prefix: Paxos(client, prefix=prefix),
        ],
    ),
    (
        "key",  # as a prefix it may be empty
        NOT_TEXT,
        ["a\ud800"],
        [
            lambda client, prefix: client.kv.tree(prefix),
            lambda client, prefix: client.kv.keys(prefix),
            lambda client, prefix: client.kv.delete_tree(prefix),
            lambda client, prefix: client.kv.watch_tree(prefix),
        ],
    ),
    ("separator", NOT_TEXT, ["\ud800"], [lambda client, text: client.kv.keys("", separator=text)]),
    (
        "value",
        NOT_DATA,
        ["a\ud800"],
        [
            lambda client, value: client.kv.put("k", value),
            lambda client, value: client.kv.cas("k", value, 0),
            lambda client, value: client.kv.acquire("k", value, "s"),
            lambda client, value: client.kv.release("k", value, "s"),
            lambda client, value: client.txn().put("k", value),
            lambda client, value: client.txn().cas("k", value, 1),
            lambda client, value: client.txn().acquire("k", value, "s"),
            lambda client, value: client.txn().release("k", value, "s"),
            lambda client, value: client.lock("k", value=value),
            lambda client, value: client.election("k", value),
            lambda client, value: Paxos(client).propose("k", value),
        ],
    ),
    ("body", NOT_DATA, ["\ud800"], [lambda client, body: client.call("PUT", "/v1/x", body)]),
    (
        "flags",
        NOT_WHOLE,
        [-1, 2**64],
        [
            lambda client, flags: client.kv.put("k", "v", flags=flags),
            lambda client, flags: client.kv.cas("k", "v", 0, flags=flags),
            lambda client, flags: client.txn().put("k", "v", flags=flags),
        ],
    ),
    (
        "index",
        ["1", 1.5, True],
        [-1, 2**63],
        [
            lambda client, index: client.kv.cas("k", "v", index),
            lambda client, index: client.kv.delete("k", index=index),
            lambda client, index: client.txn().cas("k", "v", index),
            lambda client, index: client.txn().check_index("k", index),
        ],
    ),
    (
        "session",
        NOT_TEXT,
        [""],
        [
            lambda client, session: client.kv.acquire("k", "v", session),
            lambda client, session: client.kv.release("k", "v", session),
            lambda client, session: client.session.renew(session),
            lambda client, session: client.session.destroy(session),
            lambda client, session: client.session.info(session),
            lambda client, session: client.txn().check_session("k", session),
        ],
    ),
    (
        "stale",
        NOT_FLAG,
        [],
        [
            lambda client, stale: client.kv.get("k", stale=stale),
            lambda client, stale: client.kv.read("k", stale=stale),
            lambda client, stale: client.kv.tree("k", stale=stale),
            lambda client, stale: client.kv.keys("k", stale=stale),
            lambda client, stale: client.session.all(stale=stale),
            lambda client, stale: client.session.info("s", stale=stale),
            lambda client, stale: client.snapshot.save("/nowhere/s", stale=stale),
        ],
    ),
    (
        "deadline_s",
        NOT_SECONDS,
        [-1, float("nan"), float("-inf")],
        [
            lambda client, deadline_s: client.kv.get("k", deadline_s=deadline_s),
            lambda client, deadline_s: client.kv.put("k", "v", deadline_s=deadline_s),
            lambda client, deadline_s: client.session.create(deadline_s=deadline_s),
            lambda client, deadline_s: client.status.leader(deadline_s=deadline_s),
            lambda client, deadline_s: client.txn().get("k").commit(deadline_s=deadline_s),
            lambda client, deadline_s: client.snapshot.save("/nowhere/s", deadline_s=deadline_s),
            lambda client, deadline_s: Paxos(client).propose("k", "v", deadline_s=deadline_s),
            lambda client, deadline_s: Paxos(client).decide("k", deadline_s=deadline_s),
            lambda _, deadline_s: Client(deadline_s=deadline_s),
        ],
    ),
    (
        "attempt_s",
        NOT_SECONDS,
        [-1, float("nan")],
        [
            lambda client, attempt_s: client.call("GET", "/v1/x", attempt_s=attempt_s),
            lambda client, attempt_s: client.session.renew("s", attempt_s=attempt_s),
            lambda _, attempt_s: Client(attempt_s=attempt_s),
        ],
    ),
    (
        "patience_s",
        [*NOT_SECONDS, None],
        [-1, 0, float("nan")],
        [
            lambda client, patience_s: client.kv.watch("k", patience_s=patience_s),
            lambda client, patience_s: client.kv.watch_tree("k", patience_s=patience_s),
            lambda client, patience_s: client.election("k", "").observe(patience_s=patience_s),
            lambda client, patience_s: Paxos(client).decide("k", patience_s=patience_s),
        ],
    ),
    (
        "ttl_s",
        [*NOT_SECONDS, None],
        [-1, 86_401, float("nan")],
        [
            lambda client, ttl_s: client.session.create(ttl_s=ttl_s),
            lambda client, ttl_s: client.lock("k", ttl_s=ttl_s),
            lambda client, ttl_s: client.election("k", "v", ttl_s=ttl_s),
        ],
    ),
    (
        "wait_s",
        [*NOT_SECONDS, None],
        [-1, float("nan")],
        [
            lambda client, wait_s: client.lock("k", wait_s=wait_s),
            lambda client, wait_s: client.election("k", "v", wait_s=wait_s),
        ],
    ),
    (
        "lock_delay_s",
        [*NOT_SECONDS, None],
        [-1, 61],
        [
            lambda client, delay_s: client.session.create(lock_delay_s=delay_s),
            lambda client, delay_s: client.lock("k", lock_delay_s=delay_s),
        ],
    ),
    ("on_lost", ["f", 1], [], [lambda client, on_lost: client.lock("k", on_lost=on_lost)]),
    (
        "name",
        NOT_TEXT,
        [""],
        [
            lambda client, name: client.lock(name),
            lambda client, name: client.election(name, "v"),
            lambda client, name: Paxos(client).propose(name, "v"),
            lambda client, name: Paxos(client).accept(name),
            lambda client, name: Paxos(client).decide(name),
        ],
    ),
    (
        "name",  # of a session: it may be empty
        NOT_TEXT,
        ["\ud800"],
        [lambda client, name: client.session.create(name)],
    ),
    (
        "node",
        NOT_TEXT,
        [],
        [
            lambda client, node: client.session.create(node=node),
            lambda client, node: client.session.all(node=node),
        ],
    ),
    (
        "node_checks",
        ["check", 1, None, [1]],
        [],
        [lambda client, checks: client.session.create(node_checks=checks)],
    ),
    (
        "behavior",
        [],
        ["", "keep", None, 1],
        [lambda client, behavior: client.session.create(behavior=behavior)],
    ),
    ("method", [], ["", "get", "PATCH", None], [lambda client, word: client.call(word, "/v1/x")]),
    (
        "path",
        [b"/v1/x", None],
        ["", "v1/x", "/v1/a b", "/v1/x?a=1", "/v1/x HTTP/1.0\r\n", "/v1/\xe9"],
        [lambda client, path: client.call("GET", path)],
    ),
    (
        "path",
        [b"x", 7, None],
        [""],
        [
            lambda client, path: client.snapshot.save(path),
            lambda client, path: client.snapshot.restore(path),
        ],
    ),
    ("near", [1.5, b"x", [1]], ["\ud800"], [lambda c, near: c.call("GET", "/v1/x", near=near)]),
    ("endpoints", [8500, b"n1", ["n1", 8500]], [[]], [lambda _, given: Client(given)]),
    ("token", [b"t", 1], ["a\r\nb", "\xe9"], [lambda _, token: Client(token=token)]),
    ("pipes", NOT_WHOLE, [0, -1], [lambda _, pipes: AsyncClient(pipes=pipes)]),
    ("client", ["n1:8500", None], [], [lambda _, client: Paxos(client)]),
]


@pytest.mark.parametrize("row", range(len(TABLE)), ids=lambda at: f"{at}-{TABLE[at][0]}")
def test_a_wrong_argument_is_named_and_nothing_is_sent(row: int) -> None:
    name, wrong_types, wrong_values, uses = TABLE[row]
    with nodes_in_thread(Store()) as [node], Client(node.address, deadline_s=1.0) as client:
        for use in uses:
            for value in wrong_types:
                with pytest.raises(TypeError, match=rf"^{name}\b.* must be .*not "):
                    use(client, value)
            for value in wrong_values:
                with pytest.raises(RequestError, match=rf"\b{name.rstrip('s')}"):
                    use(client, value)
        assert node.seen == []


@pytest.mark.parametrize("name", ["", "a b", "a=1&b", "a\r\nX: y", "\xe9"])
def test_a_parameter_whose_name_no_query_carries_is_refused(name: str) -> None:
    parameters: dict[str, Any] = {name: "1"}
    with nodes_in_thread(Store()) as [node], Client(node.address) as client:
        with pytest.raises(RequestError, match="no name of a parameter"):
            client.call("GET", "/v1/x", **parameters)
        assert node.seen == []


@pytest.mark.parametrize(
    "value", ["grün", "grün".encode(), bytearray(b"abc"), memoryview(b"abc"), "", b""]
)
def test_text_is_stored_as_utf_8_and_everything_comes_back_as_bytes(value: Any) -> None:
    expected = value.encode() if isinstance(value, str) else bytes(value)
    with nodes_in_thread(Store()) as [node], Client(node.address) as client:
        client.kv.put("k", value)
        assert client.kv.read("k") == expected
        assert Paxos(client).propose("p", value) == expected


def test_an_error_of_ours_ends_the_traceback() -> None:
    """What happened inside adds nothing to its text, so it is not shown."""
    with Client("127.0.0.1:1") as client, pytest.raises(QuorateError) as caught:
        client.kv.put("k", "v")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
