"""Whatever a caller writes into a path, query, header or body is answered, and breaks nothing.

One table of nasty texts and numbers, played against every route, parameter, header and field. An
answer may refuse or do what was asked; it is never an internal error, and a text that is none is
refused with the name of the place where it stood.
"""

import json

import pytest

from quorate.catalog.fields import SERF_HEALTH
from quorate.gateways.http import bodies
from quorate.gateways.http.params import QUERY_PARTS_MAX, TEXT_BYTES_MAX
from quorate.gateways.http.route import Route
from quorate.gateways.http.routes import ROUTES
from quorate.kv.commands import KvSet
from quorate.sessions.commands import SessionCreate
from tests.unit.gateways.harness import GatewayHarness, Reply

NOT_TEXT = {
    "no UTF-8": "%ff", "half a letter": "a%c3", "overlong": "%c0%80", "surrogate": "%ed%a0%80",
    "NUL": "a%00b", "long": "x" * (TEXT_BYTES_MAX + 1),
}  # fmt: skip
NUMBERS = (
    "-1", "+1", "1.5", "1e309", "1e3", "0x10", "1_000", "%D9%A3", "%C2%B2", "%EF%BC%91", "inf",
    "NaN", "Infinity", "18446744073709551615", "18446744073709551616", "9" * 4000, "9" * 5000,
    "0" * 4000 + "1", "", "-0", "%20", "1%201",
)  # fmt: skip
DURATIONS = (
    "9" * 3000 + "s", "9" * 5000 + "s", "0." + "9" * 3000 + "s", "-5s", "%D9%A3s", "1e5s", "s",
    ".s", "1..s", "9223372036854775808ns", "9223372036854775807ns", "1h" * 2000, "1s1", "-", "+",
    "%C2%B5s", "5%C2%B5s", "1" + "%0a" + "s",
)  # fmt: skip
WORDS = ("%F0%9F%98%80", "a%0d%0ab", "%7f", "<script>", "\"'`", "a%2Fb", "..", "%25", "()", "*")
VALUES = (*NOT_TEXT.values(), *NUMBERS, *DURATIONS, *WORDS)

PARAMETERS = (
    "acquire", "address", "cached", "cas", "consistent", "datacenter", "dc", "filter", "flags",
    "format", "id", "index", "keys", "max_stale", "near", "node-meta", "ns", "partition",
    "passing", "pem", "pretty", "raw", "recurse", "release", "segment",
    "seperator", "separator", "stale", "tag", "token", "wait", "wan",  # codespell:ignore
)  # fmt: skip
HEADERS = (
    "Accept", "Accept-Encoding", "Authorization", "Cache-Control", "Content-Type", "Cookie",
    "Host", "If-None-Match", "Origin", "X-Consul-Namespace", "X-Consul-Partition",
    "X-Consul-Token", "X-Forwarded-For",
)  # fmt: skip
HEADER_VALUES = (
    b"\xff", b"\xed\xa0\x80", b"max-age=" + b"9" * 5000, b"max-age=\xd9\xa3", b"max-age=-1",
    b"max-age=1e309", b"max-age=", b"stale-if-error=" + b"9" * 5000, b"gzip;q=" + b"9" * 5000,
    b"gzip;q=NaN", b"gzip;q=-1", b"gzip;q=\xc2\xb2", b";;;,,,q=q=q", b"x" * 60_000,
    b",".join([b"gzip;q=0.1"] * 3000), b"=", b"\"'",
)  # fmt: skip


def is_without_loop(route: Route) -> bool:
    """Snapshots are worked on in threads: `test_server` and `test_archive` have them."""
    return not route.pattern.startswith("/v1/snapshot")


def calls() -> list[tuple[str, str]]:
    routes = filter(is_without_loop, ROUTES)
    return [
        (method, route.pattern) for route in routes for method in route.handlers if method != "HEAD"
    ]


def a_harness() -> GatewayHarness:
    harness = GatewayHarness()
    harness.local.apply(KvSet(b"a", b"1"))
    harness.local.apply(SessionCreate("s", "", "Ann", 0, "release", "", 0, (SERF_HEALTH,)))
    return harness


def sent(harness: GatewayHarness, data: bytes) -> Reply | None:
    """The answer to a request; None if it waits for a change."""
    harness.connect()
    harness.send(data)
    found = harness.replies()
    assert len(found) <= 1
    if not found:
        assert len(harness.local.watches), data[:200]
        harness.connection.connection_lost(None)
        return None
    assert harness.local.faults == [], data[:200]
    assert "internal error" not in found[0].body.decode("utf-8", "replace")
    assert found[0].status != 501
    return found[0]


def request_of(method: str, target: str, body: bytes = b"", header: bytes = b"") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n".encode()
    return head + header + b"\r\n" + body


def filled(pattern: str, name: str = "a") -> str:
    return pattern.partition(":")[0] + name if ":" in pattern else pattern


@pytest.mark.parametrize(("method", "pattern"), calls())
def test_any_parameter_may_be_anything(method: str, pattern: str) -> None:
    harness = a_harness()
    for name in PARAMETERS:
        for value in VALUES:
            sent(harness, request_of(method, f"{filled(pattern)}?{name}={value}", b"1"))


@pytest.mark.parametrize(("method", "pattern"), calls())
def test_any_part_of_a_path_may_be_anything(method: str, pattern: str) -> None:
    harness = a_harness()
    for value in VALUES:
        reply = sent(harness, request_of(method, filled(pattern, value), b"1"))
        is_text = value not in NOT_TEXT.values()
        if ":" in pattern and "/kv/" not in pattern and not is_text:
            assert reply is not None
            assert reply.status == 400


@pytest.mark.parametrize(("method", "pattern"), calls())
def test_any_header_may_be_anything(method: str, pattern: str) -> None:
    harness = a_harness()
    for name in HEADERS:
        for value in HEADER_VALUES:
            header = b"%b: %b\r\n" % (name.encode(), value)
            sent(harness, request_of(method, filled(pattern) + "?cached", b"1", header))


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("PUT", "/v1/kv/a", "acquire"), ("PUT", "/v1/kv/a", "release"),
        ("PUT", "/v1/kv/a", "flags"), ("PUT", "/v1/kv/a", "cas"), ("PUT", "/v1/kv/a", "dc"),
        ("GET", "/v1/kv/a", "wait"), ("GET", "/v1/kv/a", "index"), ("GET", "/v1/kv/a", "ns"),
        ("GET", "/v1/kv/a", "max_stale"), ("GET", "/v1/kv/a", "datacenter"),
        ("GET", "/v1/health/service/a", "tag"), ("GET", "/v1/health/service/a", "node-meta"),
        ("GET", "/v1/health/service/a", "passing"), ("GET", "/v1/catalog/nodes", "node-meta"),
        ("GET", "/v1/agent/services", "filter"), ("GET", "/v1/agent/members", "segment"),
        ("DELETE", "/v1/operator/raft/peer", "id"), ("DELETE", "/v1/operator/raft/peer", "address"),
        ("POST", "/v1/operator/raft/transfer-leader", "id"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("what", NOT_TEXT)
def test_a_parameter_that_is_no_text_is_named(
    method: str, target: str, name: str, what: str
) -> None:
    reply = sent(a_harness(), request_of(method, f"{target}?{name}={NOT_TEXT[what]}", b"1"))
    assert reply is not None
    assert reply.status == 400
    assert f'"{name}"' in reply.text
    assert reply.headers["X-Quorate-Definite"] == "true"


def test_parameters_are_counted() -> None:
    reply = sent(a_harness(), request_of("GET", "/v1/kv/a?" + "&a" * QUERY_PARTS_MAX))
    assert reply is not None
    assert (reply.status, str(QUERY_PARTS_MAX) in reply.text) == (400, True)


# --- bodies -----------------------------------------------------------------------------------

NOT_TEXT_IN_JSON = (
    rb'"\ud800"', rb'"\udfff"', rb'"\ud800\u0041"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"',
    rb'"\u0000"', b'"' + b"x" * 70_000 + b'"', b"1", b"true", b"[]", b"{}", b"1e309",
)  # fmt: skip
NO_NUMBER = (
    b"-1", b"1.5", b"1e309", b"-1e309", b"1e3", b"18446744073709551616", b"9" * 4000, b'"1"',
    b"true", b"[]", b"{}",
)  # fmt: skip
NO_JSON = (
    b"NaN", b"Infinity", b"-Infinity", b"9" * 5000, b"[" * 100_000, b'{"a":' * 50_000, b"1_000",
    b"\xff", b"\xef\xbb\xbf{}", b"0x1", b"'a'", b"", b"nul", b"\xd9\xa3",
)  # fmt: skip

SESSION, TXN, SERVICE = "/v1/session/create", "/v1/txn", "/v1/agent/service/register"
TEXT_FIELDS = [
    (SESSION, b'{"Name": %b}', "Name"),
    (SESSION, b'{"Node": %b}', "Node"),
    (SESSION, b'{"TTL": %b}', "TTL"),
    (SESSION, b'{"Behavior": %b}', "Behavior"),
    (SESSION, b'{"NodeChecks": [%b]}', "NodeChecks"),
    (SESSION, b'{"Checks": [%b]}', "Checks"),
    (SESSION, b'{"ServiceChecks": [{"ID": %b}]}', "ID"),
    (TXN, b'[{"KV": {"Verb": "set", "Key": %b}}]', "Key"),
    (TXN, b'[{"KV": {"Verb": "get", "Key": %b}}]', "Key"),
    (TXN, b'[{"KV": {"Verb": %b, "Key": "a"}}]', "Verb"),
    (TXN, b'[{"KV": {"Verb": "lock", "Key": "a", "Session": %b}}]', "Session"),
    (TXN, b'[{"KV": {"Verb": "check-session", "Key": "a", "Session": %b}}]', "Session"),
    (SERVICE, b'{"Name": %b}', "Name"),
    (SERVICE, b'{"Name": "a", "ID": %b}', "ID"),
    (SERVICE, b'{"Name": "a", "Kind": %b}', "Kind"),
    (SERVICE, b'{"Name": "a", "Tags": [%b]}', "Tags"),
    (SERVICE, b'{"Name": "a", "Meta": {"a": %b}}', "Meta"),
    (SERVICE, b'{"Name": "a", "Address": %b}', "Address"),
    (SERVICE, b'{"Name": "a", "SocketPath": %b}', "SocketPath"),
    (SERVICE, b'{"Name": "a", "TaggedAddresses": {"lan": {"Address": %b}}}', "Address"),
]
NUMBER_FIELDS = [
    (TXN, b'[{"KV": {"Verb": "set", "Key": "a", "Flags": %b}}]', "Flags"),
    (TXN, b'[{"KV": {"Verb": "cas", "Key": "a", "Index": %b}}]', "Index"),
    (SERVICE, b'{"Name": "a", "Port": %b}', "Port"),
    (SERVICE, b'{"Name": "a", "TaggedAddresses": {"lan": {"Port": %b}}}', "Port"),
    (SERVICE, b'{"Name": "a", "Weights": {"Passing": %b}}', "Passing"),
    (SERVICE, b'{"Name": "a", "Weights": {"Warning": %b}}', "Warning"),
]


@pytest.mark.parametrize(("path", "template", "field"), TEXT_FIELDS)
def test_a_field_that_is_no_text_is_named(path: str, template: bytes, field: str) -> None:
    harness = a_harness()
    for value in NOT_TEXT_IN_JSON:
        if field == "Key" and value == rb'"\u0000"':
            continue  # a key may hold anything
        reply = sent(harness, request_of("PUT", path, template % value))
        assert reply is not None
        assert (reply.status, field in reply.text) == (400, True), (value[:20], reply)
    assert harness.local.submitted == []


@pytest.mark.parametrize(("path", "template", "field"), NUMBER_FIELDS)
def test_a_field_that_is_no_number_is_named(path: str, template: bytes, field: str) -> None:
    harness = a_harness()
    for value in NO_NUMBER:
        reply = sent(harness, request_of("PUT", path, template % value))
        assert reply is not None
        assert (reply.status, field in reply.text) == (400, True), (value[:20], reply)
    assert harness.local.submitted == []


@pytest.mark.parametrize("template", [b"%b", b'{"LockDelay": %b}', b'[{"KV": {"Flags": %b}}]'])
@pytest.mark.parametrize("path", [SESSION, TXN, SERVICE])
def test_what_is_no_json_is_refused(path: str, template: bytes) -> None:
    harness = a_harness()
    for value in NO_JSON:
        body = template % value
        if not body:
            continue
        reply = sent(harness, request_of("PUT", path, body))
        assert reply is not None
        assert reply.status in {400, 413}, (value[:20], reply)
    assert harness.local.submitted == []


@pytest.mark.parametrize(
    "value", [b"-1", b"-1.5", b'"-5s"', b"1e309", b"-1e309", b"1e300", b'""', b'"1"', b"9" * 4000]
)
def test_a_lock_delay_out_of_range_is_named(value: bytes) -> None:
    harness = a_harness()
    reply = sent(harness, request_of("PUT", SESSION, b'{"LockDelay": %b}' % value))
    assert reply is not None
    assert reply.status == 400
    assert "LockDelay" in reply.text or "duration" in reply.text


@pytest.mark.parametrize(
    "body", [b"[" + b"[]," * 170_000 + b"1]", b"{" + b'"a":1,' * 60_000 + b'"b":1}', b"[1,"]
)
@pytest.mark.parametrize("path", [SESSION, TXN, SERVICE])
def test_a_body_of_too_many_values_is_not_even_decoded(
    path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    raw_decode = bodies._decoder.raw_decode  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    class Counting:
        def raw_decode(self, text: str, start: int) -> object:
            decoded.append(len(text))
            return raw_decode(text, start)

    monkeypatch.setattr(bodies, "_decoder", Counting())
    reply = sent(a_harness(), request_of("PUT", path, body))
    assert reply is not None
    assert reply.status == 400
    assert decoded == ([len(body)] if len(body) < 10 else [])


def test_what_stands_in_a_text_is_no_value() -> None:
    harness = a_harness()
    key = ',[{\\"' * 6000
    body = json.dumps([{"KV": {"Verb": "set", "Key": key, "Value": "YQ=="}}]).encode()
    reply = sent(harness, request_of("PUT", TXN, body))
    assert reply is not None
    assert reply.status == 200


def test_lists_are_counted() -> None:
    harness = a_harness()
    cases: list[tuple[str, dict[str, object]]] = [
        (SESSION, {"NodeChecks": [SERF_HEALTH] * 2000}),
        (SESSION, {"ServiceChecks": [{"ID": "a"}] * 2000}),
        (SERVICE, {"Name": "a", "Tags": ["a"] * 2000}),
        (SERVICE, {"Name": "a", "Meta": {f"{n}": "" for n in range(2000)}}),
        (SERVICE, {"Name": "a", "TaggedAddresses": dict.fromkeys(map(str, range(2000)))}),
    ]
    for path, body in cases:
        reply = sent(harness, request_of("PUT", path, json.dumps(body).encode()))
        assert reply is not None
        assert reply.status == 400
    assert harness.local.submitted == []


def test_a_key_may_be_long_but_not_longer_than_the_tables_take() -> None:
    harness = a_harness()
    limit = harness.config.key_bytes_max
    for size, status in [(limit, 200), (limit + 1, 400)]:
        reply = sent(harness, request_of("PUT", "/v1/kv/" + "x" * size, b"1"))
        assert reply is not None
        assert reply.status == status
        body = json.dumps([{"KV": {"Verb": "set", "Key": "x" * size, "Value": "YQ=="}}]).encode()
        reply = sent(harness, request_of("PUT", TXN, body))
        assert reply is not None
        assert reply.status == status
