"""What the server refuses by itself: which requests, and with which headers."""

import pytest

from quorate.gateways.http.config import HttpConfig
from tests.unit.gateways.harness import GatewayHarness, Reply, request

NO_HOST = "400 Bad Request: missing required Host header"
BAD_HOST = "400 Bad Request: malformed Host header"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "FOO", "CONNECT"])
@pytest.mark.parametrize(
    ("version", "lines", "text"),
    [
        ("1.1", "", NO_HOST),
        ("1.1", "X-Host: x\r\nHosts: x\r\n", NO_HOST),
        ("1.1", "Host: x\r\nHost: x\r\n", "400 Bad Request"),
        ("1.1", "Host: x\r\nA: b\r\nhOST: y\r\n", "400 Bad Request"),
        ("1.0", "Host: x\r\nHost: x\r\n", "400 Bad Request"),
        *(
            ("1.1", f"Host: {host}\r\n", BAD_HOST)
            for host in ("a b", "a/b", "a@b", "ü", "a?b", "<")
        ),
        ("1.0", "Host: a b\r\n", BAD_HOST),
    ],
)
def test_a_request_names_one_host(method: str, version: str, lines: str, text: str) -> None:
    harness = GatewayHarness()
    data = f"{method} /v1/kv/a HTTP/{version}\r\n{lines}\r\n".encode()
    harness.send(data + request("PUT", "/v1/kv/a", b"1"))
    (reply,) = harness.replies()
    assert (reply.status, reply.text) == (400, text)
    assert reply.headers["Connection"] == "close"
    assert harness.transport.has_eof
    assert harness.local.submitted == []


@pytest.mark.parametrize(
    "line",
    [
        "Host: x\r\n", "host:x\r\n", "HOST: x \r\n", "Host:\r\n", "Host: 10.0.0.1:8500\r\n",
        "Host: [::1]:8500\r\n", "Host: [fe80::1%25eth0]\r\n", "Host: a_b.c-d~e\r\n",
    ],
)  # fmt: skip
def test_any_host_will_do(line: str) -> None:
    harness = GatewayHarness()
    data = f"GET /v1/status/leader HTTP/1.1\r\n{line}\r\n".encode()
    for _ in range(2):  # the second one's header lines are known
        harness.send(data)
        assert [reply.status for reply in harness.replies()] == [200]


def test_a_request_that_names_its_host_in_the_target_needs_the_header_all_the_same() -> None:
    assert GatewayHarness().ask("GET", "http://x/v1/status/leader").status == 200
    harness = GatewayHarness()
    harness.send(b"GET http://x/v1/status/leader HTTP/1.1\r\n\r\n")
    assert [reply.text for reply in harness.replies()] == [NO_HOST]


CONFIGURED = (("Strict-Transport-Security", "max-age=1"), ("X-Team", "core"))
ALONE = b"GET /v1/status/leader HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"\x16\x03\x01\r\n\r\n", 400, "bad_request"),
        (ALONE + b"\r\n", 400, "bad_request"),
        (ALONE + b"Host: x\r\nHost: x\r\n\r\n", 400, "bad_request"),
        (ALONE + b"Host: /\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, "unsupported"),
        (ALONE + b"Host: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unsupported"),
        (b"PUT /v1/kv/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 501, "unsupported"),
        (ALONE + b"X: " + b"y" * 200_000, 431, "too_large"),
        (request("PUT", "/v1/kv/a", b"x" * 600_000), 413, "too_large"),
        (request("FOO", "/v1/kv/a"), 405, "bad_request"),
        (request("GET", "/nope"), 404, "not_found"),
        (request("GET", "/v1/kv/%zz"), 400, "bad_request"),
        (request("GET", "/v1/kv/%00"), 400, "bad_request"),
        (request("GET", "/v1/kv//a"), 301, None),
    ],
)
def test_every_answer_has_the_headers_that_the_operator_wants(
    data: bytes, status: int, code: str | None
) -> None:
    harness = GatewayHarness(HttpConfig(response_headers=CONFIGURED))
    harness.send(data)
    (reply,) = harness.replies()
    assert (reply.status, reply.headers.get("X-Quorate-Error")) == (status, code)
    check_usual_headers(harness, reply)


def check_usual_headers(harness: GatewayHarness, reply: Reply) -> None:
    usual = harness.ask_anew("GET", "/v1/kv/none").headers
    assert set(CONFIGURED) <= set(reply.headers.items())
    assert reply.headers["Date"] == usual["Date"]
    if reply.status != 404:  # of a path that is none of the API Consul says nothing
        for name in ("Vary", "X-Consul-Default-Acl-Policy"):
            assert reply.headers[name] == usual[name]


def test_what_is_refused_without_a_request_has_the_usual_headers_too() -> None:
    slow = GatewayHarness(HttpConfig(response_headers=CONFIGURED))
    slow.send(b"GET /v1/kv/")
    slow.connection.expire()
    (reply,) = slow.replies()
    assert (reply.status, reply.headers["Connection"]) == (408, "close")
    check_usual_headers(slow, reply)

    crowded = GatewayHarness(HttpConfig(response_headers=CONFIGURED))
    crowded.is_full = True
    crowded.connect()
    (reply,) = crowded.replies()
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    crowded.is_full = False
    check_usual_headers(crowded, reply)

    spent = GatewayHarness(HttpConfig(response_headers=CONFIGURED, client_bytes_max=64 * 1024))
    spent.send(request("PUT", "/v1/kv/a", b"x" * 300_000)[:-1])
    (reply,) = spent.replies()
    assert (reply.status, reply.headers["X-Quorate-Error"]) == (429, "overloaded")
    check_usual_headers(spent, reply)


def test_other_headers_for_answers_are_those_of_refusals_from_then_on() -> None:
    harness = GatewayHarness(HttpConfig(response_headers=(("X-Team", "old"),)))
    harness.application.reconfigure(HttpConfig(response_headers=(("X-Team", "new"),)))
    harness.send(ALONE + b"\r\n")
    assert [reply.headers["X-Team"] for reply in harness.replies()] == ["new"]
