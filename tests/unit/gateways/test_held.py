"""What one client can make a node hold in memory: counted, bounded, and given back."""

import base64
import json

import pytest

from quorate.gateways.http.config import HttpConfig
from quorate.httpserver.budget import FREE_BYTES, REQUEST_BYTES, STEP_BYTES
from quorate.httpserver.connection import Connection
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import FakeTransport, GatewayHarness, parsed, request

KIB = 1024
SMALL = HttpConfig(client_bytes_max=256 * KIB, held_bytes_max=512 * KIB)


def held(harness: GatewayHarness) -> int:
    return harness.context.shared.budget.held_bytes


def refused(harness: GatewayHarness) -> int:
    return harness.context.shared.budget.counters.requests_refused


def connections(harness: GatewayHarness, count: int) -> list[tuple[Connection, FakeTransport]]:
    """So many connections of one client."""
    made: list[tuple[Connection, FakeTransport]] = []
    for _ in range(count):
        harness.connect()
        made.append((harness.connection, harness.transport))
    return made


def statuses(transport: FakeTransport) -> list[int]:
    data = b"".join(transport.written)
    transport.written.clear()
    return [reply.status for reply in parsed(data)]


def test_a_read_does_not_wait_if_another_protocol_has_spent_the_account_of_its_caller() -> None:
    harness = GatewayHarness(SMALL)
    harness.local.apply(KvSet(b"a", b"1"))
    accounts = harness.context.serving.accounts
    account = accounts.open("127.0.0.1")
    assert account.take(SMALL.client_bytes_max)
    index = harness.ask("GET", "/v1/kv/a").headers["X-Consul-Index"]
    target = f"/v1/kv/a?index={index}&" + "x" * FREE_BYTES
    assert harness.ask("GET", target).status == 429
    account.give_back(SMALL.client_bytes_max)
    harness.post("GET", target)
    assert harness.replies() == []


# --- requests that come -----------------------------------------------------------------------


def test_an_ordinary_request_is_not_counted() -> None:
    harness = GatewayHarness(SMALL)
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/a", b"x" * (FREE_BYTES - 2 * REQUEST_BYTES - 200))
    assert held(harness) == 0
    harness.local.release()
    assert harness.replies()[0].body == b"true"


def test_half_a_body_counts_until_it_is_whole_and_answered() -> None:
    harness = GatewayHarness(SMALL)
    body = b"x" * 100_000
    whole = request("PUT", "/v1/kv/a", body)
    harness.send(whole[:90_000])
    assert 90_000 - FREE_BYTES <= held(harness) <= 90_000 + STEP_BYTES
    harness.local.is_held = True
    harness.send(whole[90_000:])
    assert held(harness) >= 100_000 - FREE_BYTES
    harness.local.release()
    assert harness.replies()[0].body == b"true"
    assert held(harness) == 0


def test_half_a_body_is_given_back_with_the_connection() -> None:
    harness = GatewayHarness(SMALL)
    harness.send(request("PUT", "/v1/kv/a", b"x" * 100_000)[:90_000])
    harness.connection.connection_lost(None)
    assert held(harness) == 0


def test_bodies_beyond_the_limit_are_refused_and_nothing_is_done() -> None:
    harness = GatewayHarness(SMALL)
    half = request("PUT", "/v1/kv/a", b"x" * 200_000)[:100_000]
    opened = connections(harness, 4)
    for connection, _ in opened:
        connection.data_received(half)
    responses = [statuses(transport) for _, transport in opened]
    assert responses == [[], [], [429], [429]]
    assert refused(harness) == 2
    assert harness.local.submitted == []
    assert held(harness) <= SMALL.client_bytes_max


def test_a_body_beyond_the_limit_is_refused_too_if_its_headers_are_known() -> None:
    harness = GatewayHarness(HttpConfig(client_bytes_max=1))
    harness.ask("PUT", "/v1/kv/a", b"x" * 6_000)
    harness.local.is_held = True
    data = request("PUT", "/v1/kv/a", b"x" * 6_000)
    harness.send(data)
    harness.send(data)
    harness.local.release()
    assert [reply.status for reply in harness.replies()] == [200, 429]
    assert held(harness) == 0


@pytest.mark.parametrize("size", [FREE_BYTES, 60_000])
def test_so_is_one_that_comes_alone(size: int) -> None:
    roomy = GatewayHarness()
    data = request("PUT", "/v1/kv/a", b"x" * size)
    roomy.send(data)
    strict = GatewayHarness(HttpConfig(client_bytes_max=1))
    strict.header_cache = roomy.header_cache  # the account was not spent when it was learned
    strict.send(data)
    assert [reply.status for reply in strict.replies()] == [429]
    assert strict.local.submitted == []


def test_a_refusal_says_why_and_when_to_come_back() -> None:
    harness = GatewayHarness(HttpConfig(client_bytes_max=1))
    harness.send(request("PUT", "/v1/kv/a", b"x" * 100_000))
    (reply,) = harness.replies()
    assert reply.status == 429
    assert (reply.headers["Retry-After"], reply.headers["X-Quorate-Definite"]) == ("1", "true")
    assert "http_client_bytes_max" in reply.text
    assert not harness.transport.is_closed  # it was whole: the next one can be read
    assert harness.ask("PUT", "/v1/kv/a", b"small").body == b"true"


def test_half_headers_count_like_bodies() -> None:
    harness = GatewayHarness(SMALL)
    half = b"GET /v1/kv/" + b"a" * 60_000
    responses: list[list[int]] = []
    for connection, transport in connections(harness, 8):
        connection.data_received(half)
        responses.append(statuses(transport))
    assert responses[:3] == [[], [], []]
    assert responses[-1] == [429]
    assert held(harness) <= SMALL.client_bytes_max


def test_half_headers_behind_a_whole_request_count_too() -> None:
    harness = GatewayHarness(SMALL)
    data = request("GET", "/v1/status/leader", b"", "X-A: b") + b"GET /v1/kv/" + b"a" * 60_000
    for connection, _ in connections(harness, 8):
        connection.data_received(data)
    assert refused(harness) > 0
    assert SMALL.client_bytes_max // 2 < held(harness) <= SMALL.client_bytes_max


def test_many_short_header_lines_count_as_what_they_take() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    lines = [f"{n}:" for n in range(900)]
    harness.post("PUT", "/v1/kv/a", b"1", *lines)
    assert held(harness) > 100_000


@pytest.mark.parametrize("size", [1001, 20_000])
def test_too_many_header_lines_are_refused(size: int) -> None:
    harness = GatewayHarness()
    harness.post("PUT", "/v1/kv/a", b"1", *["a:" for _ in range(size)])
    assert [reply.status for reply in harness.replies()] == [431]
    assert harness.local.submitted == []


def test_a_body_in_tiny_chunks_takes_no_more_than_its_bytes() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.send(b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20_000):
        harness.send(b"2\r\nab\r\n")
    assert held(harness) < 40_000 + STEP_BYTES
    harness.send(b"0\r\n\r\n")
    harness.local.release()
    assert harness.replies()[0].body == b"true"
    assert harness.ask("GET", "/v1/kv/a?raw").body == b"ab" * 20_000


@pytest.mark.parametrize(
    "endless",
    [b"X-Trailer: value\r\n", b"", b"x" * 1000],
    ids=["trailers", "extension", "one trailer"],
)
def test_what_surrounds_a_body_in_chunks_is_bounded(endless: bytes) -> None:
    harness = GatewayHarness()
    harness.send(b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    if endless:
        harness.send(b"1\r\na\r\n0\r\n")
        harness.send(b"" if endless.endswith(b"\r\n") else b"X-Trailer: ")
    else:
        harness.send(b"1;extension=")
        endless = b"y" * 1000
    for _ in range(1500):
        harness.send(endless)
    assert [reply.status for reply in harness.replies()] == [431]
    assert harness.local.submitted == []


def test_trailers_are_no_headers() -> None:
    harness = GatewayHarness()
    harness.send(
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nX-Consul-Namespace: other\r\n\r\n"
    )
    assert harness.replies()[0].body == b"true"


# --- requests that wait -----------------------------------------------------------------------


def test_blocking_queries_on_long_keys_are_counted_by_what_they_hold() -> None:
    harness = GatewayHarness(HttpConfig(client_bytes_max=4 * 1024 * KIB))
    index = int(harness.ask("PUT", "/v1/kv/x", b"1").headers["X-Quorate-Index"])
    key = "k" * 40_000
    waits = request("GET", f"/v1/kv/{key}?index={index}", b"")
    for connection, _ in connections(harness, 40):
        connection.data_received(waits * 4)
    waiting = len(harness.local.watches)
    assert 10 < waiting < 40
    assert waiting * 4 * len(key) <= held(harness) <= 4 * 1024 * KIB
    assert 0 < refused(harness) <= 160 - waiting


def test_blocking_queries_that_are_refused_say_so_and_the_others_still_fire() -> None:
    harness = GatewayHarness(HttpConfig(client_bytes_max=300 * KIB))
    index = int(harness.ask("PUT", "/v1/kv/x", b"1").headers["X-Quorate-Index"])
    wait = request("GET", f"/v1/kv/x?index={index}", b"", "X-Long: " + "y" * 20_000)
    harness.send(wait * 20)
    assert 0 < len(harness.local.watches) < 20
    harness.local.apply(KvSet(b"x", b"2"))
    replies = harness.replies()
    assert {reply.status for reply in replies} == {200, 429}
    assert len(replies) == 20
    assert held(harness) == 0


def test_what_waits_is_given_back_when_the_client_goes() -> None:
    harness = GatewayHarness()
    index = int(harness.ask("PUT", "/v1/kv/x", b"1").headers["X-Quorate-Index"])
    harness.send(request("GET", f"/v1/kv/{'k' * 30_000}?index={index}", b"") * 5)
    assert held(harness) > 5 * 4 * 30_000 - FREE_BYTES
    harness.connection.connection_lost(None)
    assert held(harness) == 0
    assert len(harness.local.watches) == 0


def test_pipelined_requests_beyond_the_limit_are_refused_without_being_begun() -> None:
    harness = GatewayHarness(HttpConfig(client_bytes_max=100 * KIB))
    harness.local.is_held = True
    one = request("PUT", "/v1/kv/a", b"x" * 10_000)
    for _ in range(20):
        harness.send(one)
    begun = len(harness.local.submitted)
    assert 5 < begun < 12
    harness.local.release()
    replies = harness.replies()
    assert [reply.status for reply in replies] == [200] * begun + [429]  # and then it ended
    assert replies[-1].headers["Connection"] == "close"
    assert held(harness) == 0


# --- answers that wait ------------------------------------------------------------------------


def with_listing(config: HttpConfig) -> GatewayHarness:
    """A gateway whose keys below `big/` make an answer of about 130 KiB."""
    harness = GatewayHarness(config)
    for number in range(10):
        harness.local.apply(KvSet(b"big/%d" % number, bytes(10_000)))
    return harness


def stuck(harness: GatewayHarness) -> None:
    """From now on no client takes more than one piece."""

    def connect() -> None:
        harness_connect()
        connection, transport = harness.connection, harness.transport
        write = transport.write

        def write_once(data: bytes) -> None:
            write(data)
            transport.unsent_bytes = len(data)
            connection.pause_writing()

        transport.write = write_once  # type: ignore[method-assign]

    harness_connect = harness.connect
    harness.connect = connect  # type: ignore[method-assign]


def test_clients_that_do_not_read_a_listing_are_refused_before_it_is_made() -> None:
    harness = with_listing(HttpConfig(client_bytes_max=600 * KIB))
    stuck(harness)
    opened = connections(harness, 20)
    for connection, _ in opened:
        connection.data_received(request("GET", "/v1/kv/big/?recurse"))
    firsts = [transport.written[0][:12] for _, transport in opened]
    made = firsts.count(b"HTTP/1.1 200")
    assert 3 <= made <= 6
    assert firsts[made:] == [b"HTTP/1.1 429"] * (20 - made)
    assert held(harness) < 600 * KIB + 2 * 140 * KIB  # at most one more than there is room for


def test_a_client_that_is_spent_may_still_write_and_renew() -> None:
    harness = with_listing(HttpConfig(client_bytes_max=1))
    stuck(harness)
    for connection, _ in connections(harness, 2):
        connection.data_received(request("GET", "/v1/kv/big/?recurse"))
    harness.connect = type(harness).connect.__get__(harness)  # type: ignore[method-assign]
    harness.connect()
    assert harness.ask("PUT", "/v1/kv/a", b"1").body == b"true"
    assert json.loads(harness.ask("GET", "/v1/kv/a").body)[0]["Key"] == "a"
    assert harness.ask("GET", "/v1/kv/big/?recurse").status == 429
    assert harness.ask("GET", "/v1/kv/big/?keys").status == 429


def test_others_are_served_while_one_client_is_spent() -> None:
    harness = with_listing(HttpConfig(client_bytes_max=1))
    stuck(harness)
    for connection, _ in connections(harness, 2):
        connection.data_received(request("GET", "/v1/kv/big/?recurse"))
    harness.connect = type(harness).connect.__get__(harness)  # type: ignore[method-assign]
    other = FakeTransport("10.9.9.9")
    connection = Connection(harness)
    connection.connection_made(other)  # type: ignore[arg-type]
    connection.data_received(request("GET", "/v1/kv/big/?recurse"))
    assert statuses(other) == [200]


def test_a_long_answer_leaves_in_pieces_and_is_given_back_when_it_has_left() -> None:
    harness = with_listing(HttpConfig())
    stuck(harness)
    harness.connect()
    harness.post("GET", "/v1/kv/big/?recurse")
    counts = [held(harness)]
    while harness.transport.unsent_bytes:
        harness.transport.unsent_bytes = 0
        harness.connection.resume_writing()
        counts.append(held(harness))
    assert counts[0] > 130_000
    assert counts[-1] == 0
    (reply,) = harness.replies()
    shown = json.loads(reply.body)
    assert [base64.b64decode(each["Value"]) for each in shown] == [bytes(10_000)] * 10


def test_an_answer_to_a_write_is_never_refused() -> None:
    """Its refusal would say that it did not happen."""
    harness = with_listing(HttpConfig(client_bytes_max=1))
    stuck(harness)
    for connection, _ in connections(harness, 2):
        connection.data_received(request("GET", "/v1/kv/big/?recurse"))
    harness.connect = type(harness).connect.__get__(harness)  # type: ignore[method-assign]
    harness.connect()
    ops = [{"KV": {"Verb": "set", "Key": "a", "Value": ""}}]
    ops += [{"KV": {"Verb": "get-tree", "Key": "big/"}}]
    reply = harness.ask("PUT", "/v1/txn", json.dumps(ops).encode())
    assert reply.status == 200
    assert len(json.loads(reply.body)["Results"]) == 11


def test_an_answer_that_waits_for_an_earlier_one_is_counted() -> None:
    harness = GatewayHarness()
    harness.local.apply(KvSet(b"a", bytes(200)))
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/b", b"1")
    first, harness.local.held = harness.local.held, []
    before = harness.context.shared.budget.held_bytes
    harness.send(request("GET", "/v1/status/leader") * 100)
    assert held(harness) > before
    first[0]()
    assert len(harness.replies()) == 101
    assert held(harness) == 0
