"""Connections: requests in, answers out in order, and every limit while reading."""

from collections.abc import Iterator

import pytest

from quorate.base.errors import UnavailableError
from quorate.gateways.http.config import HttpConfig
from quorate.httpserver.request import Request
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import GatewayHarness, request


def test_answers_leave_in_the_order_of_requests_whatever_is_ready_first() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.send(request("PUT", "/v1/kv/a", b"1") + request("GET", "/v1/status/leader"))
    assert harness.replies() == []
    assert [type(command) for command in harness.local.submitted] == [KvSet]

    harness.local.release()

    assert [reply.body for reply in harness.replies()] == [b"true", b'"10.0.0.1:8300"']


def test_pipelined_requests_are_worked_on_at_once() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.send(b"".join(request("PUT", f"/v1/kv/{n}", b"1") for n in range(5)))
    assert len(harness.local.submitted) == 5


def test_a_request_may_come_byte_by_byte() -> None:
    harness = GatewayHarness()
    for byte in request("PUT", "/v1/kv/a/b", b"value"):
        harness.send(bytes((byte,)))
    (reply,) = harness.replies()
    assert (reply.status, reply.body) == (200, b"true")
    assert harness.ask("GET", "/v1/kv/a/b?raw").body == b"value"


def test_a_body_may_come_in_chunks() -> None:
    harness = GatewayHarness()
    harness.send(
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert harness.replies()[0].body == b"true"
    assert harness.ask("GET", "/v1/kv/a?raw").body == b"abcde"


def test_a_body_that_says_it_is_too_long_is_refused_before_it_comes() -> None:
    harness = GatewayHarness(HttpConfig(value_bytes_max=10))
    harness.send(b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
    (reply,) = harness.replies()
    assert reply.status == 413
    assert reply.headers["Connection"] == "close"
    assert reply.text.startswith("Request body(11 bytes) too large, max size: 10 bytes.")
    assert harness.transport.has_eof
    assert harness.local.submitted == []


def test_a_body_in_chunks_is_refused_when_it_becomes_too_long() -> None:
    harness = GatewayHarness(HttpConfig(value_bytes_max=10))
    harness.send(b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    harness.send(b"b\r\n01234567890\r\n")
    assert [reply.status for reply in harness.replies()] == [413]
    harness.send(b"5\r\nabcde\r\n0\r\n\r\n")
    assert harness.replies() == []


def test_what_came_before_a_refused_body_is_answered_first() -> None:
    harness = GatewayHarness(HttpConfig(value_bytes_max=10))
    harness.local.is_held = True
    harness.send(
        request("PUT", "/v1/kv/a", b"1")
        + b"PUT /v1/kv/b HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n"
    )
    assert harness.replies() == []
    harness.local.release()
    assert [reply.status for reply in harness.replies()] == [200, 413]


def test_who_waits_to_be_asked_for_the_body_is_asked() -> None:
    harness = GatewayHarness()
    harness.send(
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    )
    assert harness.transport.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    harness.transport.written.clear()
    harness.send(b"x")
    assert harness.replies()[0].body == b"true"


def test_who_waits_with_too_long_a_body_is_refused_at_once() -> None:
    harness = GatewayHarness(HttpConfig(value_bytes_max=10))
    harness.send(
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    )
    assert [reply.status for reply in harness.replies()] == [413]


def test_what_is_no_http_is_refused_and_closed() -> None:
    harness = GatewayHarness()
    harness.send(b"\x16\x03\x01 hello\r\n\r\n")
    (reply,) = harness.replies()
    assert reply.status == 400
    assert harness.transport.has_eof


@pytest.mark.parametrize("method", ["FOO", "get", "GETX", "BREW", "M-SEARCH-2", "PROPFIND"])
def test_an_unknown_method_is_not_allowed(method: str) -> None:
    harness = GatewayHarness()
    reply = harness.ask(method, "/v1/kv/a", b"body")
    assert (reply.status, reply.text) == (405, f"method {method} not allowed")
    assert reply.headers["Allow"] == "OPTIONS,GET,PUT,DELETE"
    assert harness.local.submitted == []


def test_an_unknown_method_ends_the_connection_after_its_answer() -> None:
    harness = GatewayHarness()
    harness.send(request("FOO", "/v1/kv/a") + request("GET", "/v1/status/leader"))
    [reply] = harness.replies()
    assert (reply.status, reply.headers["Connection"]) == (405, "close")
    assert harness.transport.has_eof


def test_an_unknown_method_behind_other_requests_is_refused_after_their_answers() -> None:
    harness = GatewayHarness()
    harness.send(request("GET", "/v1/status/leader") + request("FOO", "/v1/kv/a"))
    assert [reply.status for reply in harness.replies()] == [200, 400]


def test_an_unknown_method_on_an_unknown_path_is_not_found() -> None:
    assert GatewayHarness().ask("FOO", "/v1/nope").status == 404


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /v1/status/leader\r\n\r\n", 400),
        (b"GET /v1/status/leader HTTP/0.9\r\n\r\n", 400),
        (b"GET /v1/status/leader HTTP/1.2\r\n\r\n", 400),
        (b"FOO /v1/status/leader\r\n\r\n", 400),
        (b"GET /v1/status/leader HTTP/2.0\r\n\r\n", 505),
        (b"GET /v1/status/leader HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_only_the_versions_1_are_spoken(data: bytes, status: int) -> None:
    harness = GatewayHarness()
    harness.send(data)
    assert [reply.status for reply in harness.replies()] == [status]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n", 200),
        (b"Transfer-Encoding: Chunked \r\n", 200),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked, chunked\r\n", 400),
        (b"Transfer-Encoding: identity, chunked\r\n", 501),
        (b"Transfer-Encoding: gzip\r\n", 501),
        (b"Transfer-Encoding: chunked, gzip\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400),
    ],
)
def test_a_body_comes_plain_or_in_chunks_and_in_no_other_coding(lines: bytes, status: int) -> None:
    harness = GatewayHarness()
    harness.send(b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n1\r\na\r\n0\r\n\r\n")
    assert [reply.status for reply in harness.replies()] == [status]
    assert len(harness.local.submitted) == (status == 200)


def test_an_old_client_sends_no_chunks() -> None:
    harness = GatewayHarness()
    harness.send(b"PUT /v1/kv/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
    assert [reply.status for reply in harness.replies()] == [501]
    assert harness.local.submitted == []


def test_headers_without_end_are_refused() -> None:
    harness = GatewayHarness(HttpConfig(header_bytes_max=1000))
    harness.send(b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n")
    for _ in range(20):
        harness.send(b"X-More: " + b"y" * 100 + b"\r\n")
    assert [reply.status for reply in harness.replies()] == [431]


def test_a_path_without_end_is_refused() -> None:
    harness = GatewayHarness(HttpConfig(header_bytes_max=1000))
    harness.send(b"GET /v1/kv/" + b"a" * 2000)
    assert [reply.status for reply in harness.replies()] == [431]


def test_a_client_that_wants_to_leave_is_let_go_after_its_answer() -> None:
    harness = GatewayHarness()
    reply = harness.ask("GET", "/v1/status/leader", b"", "Connection: close")
    assert reply.headers["Connection"] == "close"
    assert harness.transport.has_eof


def test_an_old_client_is_notified_that_the_connection_stays() -> None:
    harness = GatewayHarness()
    harness.send(b"GET /v1/status/leader HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert harness.replies()[0].headers["Connection"] == "keep-alive"
    harness.send(b"GET /v1/status/leader HTTP/1.0\r\n\r\n")
    assert harness.replies()[0].headers["Connection"] == "close"


H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQC")


def test_an_upgrade_is_ignored() -> None:
    harness = GatewayHarness()
    reply = harness.ask("GET", "/v1/status/leader", b"", *H2C)
    assert reply.status == 200
    assert "Connection" not in reply.headers
    assert not harness.transport.has_eof


def put_that_upgrades(body: bytes, *lines: str) -> bytes:
    return request("PUT", "/v1/kv/a", body, *H2C, *lines)


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "sent",
    [
        put_that_upgrades(b"hello"),
        put_that_upgrades(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
        + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        put_that_upgrades(b"first") * 3 + put_that_upgrades(b"hello"),
        request("GET", "/v1/kv/a", b"", *H2C) + put_that_upgrades(b"hello"),
    ],
    ids=["length", "chunks", "several", "behind another"],
)
def test_a_request_that_asks_for_another_protocol_keeps_its_body(sent: bytes, pieces: int) -> None:
    """Java's client asks so with the first request of each connection."""
    harness = GatewayHarness()
    step = -(-len(sent) // pieces)
    for begin in range(0, len(sent), step):
        harness.send(sent[begin : begin + step])
    harness.post("GET", "/v1/kv/a?raw")
    replies = harness.replies()
    assert replies[-2].body == b"true"
    assert replies[-1].body == b"hello"


def test_limits_hold_for_a_request_that_asks_for_another_protocol() -> None:
    harness = GatewayHarness(HttpConfig(value_bytes_max=10))
    reply = harness.ask("PUT", "/v1/kv/a", b"x" * 11, *H2C)
    assert reply.status == 413
    harness = GatewayHarness()
    harness.send(b"GET /v1/kv/a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert [reply.status for reply in harness.replies()] == [400]
    harness = GatewayHarness()
    harness.send(put_that_upgrades(b"1", "Expect: 100-continue")[:-1])
    assert b"".join(harness.transport.written).startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        request("FOO", "/v1/kv/a", b"1", *H2C),
    ],
    ids=["tunnel", "tunnel of another protocol", "unknown method"],
)
def test_what_follows_a_tunnel_is_not_read(sent: bytes) -> None:
    harness = GatewayHarness()
    before = request("GET", "/v1/status/leader", b"", *H2C)
    harness.send(before + sent + request("PUT", "/v1/kv/a", b"1"))
    assert [reply.status >= 400 for reply in harness.replies()] == [False, True]
    assert harness.transport.has_eof


def test_a_client_that_sends_no_more_still_gets_its_answers() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/a", b"1")
    assert harness.connection.eof_received()
    harness.local.release()
    assert harness.replies()[0].headers["Connection"] == "close"


def test_a_client_that_waits_for_a_change_and_sends_no_more_is_gone() -> None:
    harness = GatewayHarness()
    harness.post("GET", "/v1/kv/a?index=1000")
    assert not harness.connection.eof_received()


def test_half_a_request_is_no_reason_to_stay() -> None:
    harness = GatewayHarness()
    harness.send(b"GET /v1/kv/")
    assert not harness.connection.eof_received()


def test_an_answer_for_a_client_that_went_is_dropped() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/a", b"1")
    harness.connection.connection_lost(None)
    harness.local.release()
    assert harness.transport.written == []


def test_reading_pauses_while_too_much_is_unanswered() -> None:
    harness = GatewayHarness(HttpConfig(pipeline_max=4))
    harness.local.is_held = True
    harness.send(b"".join(request("PUT", f"/v1/kv/{n}", b"1") for n in range(5)))
    assert harness.transport.is_paused
    harness.local.release()
    assert not harness.transport.is_paused
    assert len(harness.replies()) == 5


def test_reading_pauses_while_the_client_takes_nothing() -> None:
    harness = GatewayHarness()
    harness.connection.pause_writing()
    assert harness.transport.is_paused
    harness.connection.resume_writing()
    assert not harness.transport.is_paused


def test_no_more_is_worked_on_than_the_client_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = GatewayHarness()
    handled: list[bytes] = []

    def handle(asked: Request) -> None:
        handled.append(asked.target)
        if len(handled) % 2 == 0:
            harness.connection.pause_writing()
        asked.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    monkeypatch.setattr(harness, "handle", handle)
    harness.send(b"".join(request("GET", f"/{n}", b"") for n in range(5)))
    assert handled == [b"/0", b"/1"]
    harness.connection.resume_writing()
    assert handled == [b"/0", b"/1", b"/2", b"/3"]
    harness.connection.resume_writing()
    assert len(handled) == len(harness.replies()) == 5
    assert not harness.transport.is_paused


def test_a_request_whose_headers_are_known_waits_for_a_client_that_takes_nothing() -> None:
    harness = GatewayHarness()
    data = request("PUT", "/v1/kv/a", b"1")
    harness.send(data)
    harness.connection.pause_writing()
    harness.send(data)
    assert len(harness.local.submitted) == 1
    harness.connection.resume_writing()
    assert len(harness.local.submitted) == len(harness.replies()) == 2


def test_reading_goes_on_when_the_last_answer_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few may wait."""
    harness = GatewayHarness(HttpConfig(pipeline_max=1))
    handled: list[Request] = []
    monkeypatch.setattr(harness, "handle", handled.append)
    harness.send(request("GET", "/0") + request("GET", "/1"))
    assert harness.transport.is_paused
    for asked in handled:  # the second one comes when the first one is answered
        asked.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert len(harness.replies()) == 2
    assert not harness.transport.is_paused


def test_no_more_is_worked_on_at_once_than_the_limit_says() -> None:
    harness = GatewayHarness(HttpConfig(pipeline_max=4))
    harness.local.is_held = True
    harness.send(b"".join(request("PUT", f"/v1/kv/{n}", b"1") for n in range(10)))
    assert len(harness.local.submitted) == 4
    harness.local.release()
    assert [reply.status for reply in harness.replies()] == [200] * 10


def test_what_nobody_worked_on_is_forgotten_with_the_connection() -> None:
    harness = GatewayHarness(HttpConfig(pipeline_max=1))
    harness.local.is_held = True
    harness.send(b"".join(request("PUT", f"/v1/kv/{n}", b"1") for n in range(3)))
    harness.connection.connection_lost(None)
    harness.local.release()
    assert len(harness.local.submitted) == 1


def test_a_long_answer_is_drawn_as_the_client_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = GatewayHarness()
    drawn: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        for chunk in (b"a", b"b", b"c"):
            drawn.append(chunk)
            if chunk == b"b":
                harness.connection.pause_writing()
            yield chunk

    def handle(asked: Request) -> None:
        asked.answer(b"HTTP/1.1 200 OK\r\n\r\n", chunks())

    monkeypatch.setattr(harness, "handle", handle)
    harness.post("GET", "/")
    assert drawn == [b"a", b"b"]
    harness.connection.resume_writing()
    assert drawn == [b"a", b"b", b"c"]
    assert b"".join(harness.transport.written).endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (b"", 300),
        (b"GET /v1/kv/", 10),
        (b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 163840\r\n\r\nabc", 40),
    ],
)
def test_who_takes_too_long_is_ended(sent: bytes, seconds: int) -> None:
    harness = GatewayHarness()
    if sent:
        harness.send(sent)
    assert harness.connection.due == harness.tick + seconds
    harness.connection.expire()
    assert harness.transport.is_closed
    assert bool(harness.transport.written) == bool(sent)


def test_who_waits_for_an_answer_is_never_too_slow() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/a", b"1")
    assert harness.connection.due == 0
    harness.local.release()
    assert harness.connection.due == harness.tick + harness.config.idle_timeout_s


def test_one_connection_too_many_is_refused_and_closed() -> None:
    harness = GatewayHarness()
    harness.is_full = True
    other = GatewayHarness()
    other.is_full = True
    other.connection.connection_made(other.transport)  # type: ignore[arg-type]
    assert b" 429 " in other.transport.written[0]
    assert other.transport.is_closed


def test_a_stopping_gateway_ends_each_connection_with_its_answer() -> None:
    harness = GatewayHarness()
    harness.is_stopping = True
    assert harness.ask("GET", "/v1/status/leader").headers["Connection"] == "close"


def test_an_error_before_an_answer_leaves_the_connection_usable() -> None:
    harness = GatewayHarness()
    harness.local.refusal = UnavailableError("no_quorum", "no")
    assert harness.ask("PUT", "/v1/kv/a", b"1").status == 500
    harness.local.refusal = None
    assert harness.ask("PUT", "/v1/kv/a", b"1").status == 200


def test_a_client_that_takes_nothing_is_not_kept_for_ever() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/a", b"1")
    harness.connection.pause_writing()
    assert harness.connection.due == harness.tick + harness.config.send_timeout_s
    harness.connection.expire()
    assert harness.transport.is_aborted  # a close would wait for the client


def test_a_client_that_takes_again_has_all_the_time_its_answer_needs() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/a", b"1")
    harness.connection.pause_writing()
    harness.connection.resume_writing()
    assert harness.connection.due == 0
    harness.local.release()
    assert harness.replies()[0].body == b"true"
    harness.connection.pause_writing()
    harness.connection.resume_writing()
    assert harness.connection.due == harness.tick + harness.config.idle_timeout_s


def test_who_sent_no_more_before_its_query_began_to_wait_is_taken_for_gone() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/k", b"1")
    harness.local.is_held = True  # the read index comes later than the client's end
    harness.post("GET", "/v1/kv/k?index=1000000")
    assert harness.connection.eof_received()
    harness.local.release()
    assert harness.transport.is_aborted


WAITING = request("GET", "/v1/kv/a?index=1000&wait=10m")


@pytest.mark.parametrize("behind", [request("PUT", "/v1/kv/b", b"1"), WAITING, b""])
def test_a_stop_waits_for_nothing_behind_a_query_that_waits(behind: bytes) -> None:
    harness = GatewayHarness()
    harness.send(WAITING + behind)
    harness.connection.drain()
    assert harness.transport.is_closed


def test_a_stop_sends_the_answers_before_a_query_that_waits() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/a", b"1")
    harness.local.is_held = True
    harness.post("GET", "/v1/kv/a?raw")
    first, harness.local.held = harness.local.held, []
    harness.local.is_held = False
    harness.send(WAITING + request("PUT", "/v1/kv/b", b"1"))
    assert len(harness.local.watches) == 1
    harness.connection.drain()
    assert not harness.transport.is_closed
    first[0]()
    (reply,) = harness.replies()
    assert (reply.body, reply.headers["Connection"]) == (b"1", "close")
    assert harness.transport.has_eof
    assert (len(harness.local.watches), len(harness.local.submitted)) == (0, 1)


def test_a_query_that_begins_to_wait_during_a_stop_ends_the_connection() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/a", b"1")
    harness.local.is_held = True
    harness.send(request("GET", "/v1/kv/a?raw") + WAITING)
    (first, second), harness.local.held = harness.local.held, []
    harness.is_stopping = True
    harness.connection.drain()
    second()
    assert not harness.transport.is_closed
    first()
    assert [reply.body for reply in harness.replies()] == [b"1"]
    assert harness.transport.has_eof

    harness.connect()
    harness.is_stopping = False
    harness.send(WAITING)
    harness.is_stopping = True
    harness.connection.drain()
    assert not harness.transport.is_closed
    harness.local.release()
    assert harness.transport.is_closed
