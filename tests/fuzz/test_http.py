"""Bytes that nobody should send to the HTTP gateway: it answers or closes, and never breaks."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.routes import ROUTES
from tests.unit.gateways.harness import GatewayHarness, parsed, request

PATHS = [route.pattern.partition(":")[0] for route in ROUTES]
METHODS = ["GET", "PUT", "DELETE", "POST", "OPTIONS", "HEAD", "PATCH"]
NAMES = [
    "recurse", "raw", "keys", "separator", "cas", "flags", "acquire", "release", "index", "wait",
    "stale", "consistent", "cached", "max_stale", "dc", "datacenter", "ns", "partition", "pretty",
    "filter", "passing", "tag", "node-meta", "id", "address", "token",
]  # fmt: skip
VALUES = ["", "0", "1", "x", "%zz", "5s", "-1", "a;b"]
TAILS = ["a", "/", "..", ".", "%2F", "%00", "%", "%c3%a7", "?", "#", "+", "//", "x" * 300]
FIELDS = [
    "ID", "Name", "TTL", "LockDelay", "Behavior", "NodeChecks", "Checks", "ServiceChecks", "KV",
    "Node", "Verb", "Key", "Value", "Flags", "Index", "Session", "Tags", "Port", "Meta", "Weights",
    "Address", "TaggedAddresses",
]  # fmt: skip
TWO_LENGTHS = (
    b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
)

texts = st.text(max_size=20)
queries = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)),
    max_size=5,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
tails = st.lists(
    st.sampled_from(
        ["a", "/", "..", ".", "%2F", "%00", "%", "%c3%a7", "?", "#", "+", "//", "x" * 300]
    )
).map("".join)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(FIELDS)
bodies = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=6),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())


def is_sound(harness: GatewayHarness) -> None:
    """All that was written is whole answers, and no timer or watch is left behind."""
    data = b"".join(harness.transport.written)
    written = data.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    for reply in parsed(written):
        assert 200 <= reply.status < 600
        assert "X-Consul-Index" not in reply.headers or reply.headers["X-Consul-Index"] != "0"
        if "Content-Encoding" not in reply.headers and reply.body:
            assert len(reply.body) == int(reply.headers["Content-Length"])
    harness.connection.connection_lost(None)
    assert len(harness.local.watches) == 0
    assert all(timer.is_cancelled for timer in harness.timers)


@given(st.lists(st.binary(max_size=200), max_size=6))
@example([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3])
@example([b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"])
@example([TWO_LENGTHS + b"0\r\n\r\n"])
@example([b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"])
@example([b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"])
@example([b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"])
def test_any_bytes(pieces: list[bytes]) -> None:
    harness = GatewayHarness()
    for piece in pieces:
        if not harness.transport.is_closed:
            harness.send(piece)
    is_sound(harness)


@given(
    method=st.sampled_from(METHODS),
    path=st.sampled_from([*PATHS, "/", "/v1", "/v1/", "/v2/"]),
    tail=tails,
    query=queries,
    body=st.binary(max_size=50) | bodies,
    cut=st.integers(1, 400),
)
def test_any_request_on_any_path(
    method: str, path: str, tail: str, query: str, body: bytes, cut: int
) -> None:
    if path == "/v1/snapshot":
        path = "/v1/status/leader"  # works in threads, which this harness has not
    harness = GatewayHarness(HttpConfig(value_bytes_max=200, txn_bytes_max=300))
    data = request(method, f"{path}{tail}?{query}", body)
    harness.send(data[:cut])
    if data[cut:]:
        harness.send(data[cut:])
    is_sound(harness)


@given(st.sampled_from(["/v1/txn", "/v1/session/create", "/v1/agent/service/register"]), bodies)
def test_any_json_where_json_is_wanted(path: str, body: bytes) -> None:
    harness = GatewayHarness()
    reply = harness.ask("PUT", path, body)
    assert reply.status in (200, 400, 409, 413, 500, 501)
    assert reply.text != "internal error"


@given(st.lists(st.sampled_from(["GET", "PUT"]), min_size=1, max_size=8), st.data())
def test_pipelined_requests_cut_anywhere_are_answered_in_order(
    methods: list[str], data: st.DataObject
) -> None:
    whole = b"".join(
        request(method, f"/v1/kv/k{place}", b"v" if method == "PUT" else b"")
        for place, method in enumerate(methods)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    harness = GatewayHarness()
    for first, last in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        if last > first:
            harness.send(whole[first:last])
    statuses: list[Any] = [reply.status for reply in harness.replies()]
    assert statuses == [200 if method == "PUT" else 404 for method in methods]
