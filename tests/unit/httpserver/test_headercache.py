"""HeaderCache: a request read without the parser is the one that the parser would have read."""

import re

from hypothesis import given
from hypothesis import strategies as st

from quorate.gateways.http.config import HttpConfig
from quorate.httpserver.headercache import CACHED_MAX, LINES_BYTES_MAX, HeaderCache
from quorate.httpserver.request import Request
from tests.unit.gateways.harness import GatewayHarness, request

BODY_BYTES_MAX = 512 * 1024
PUT = request("PUT", "/v1/kv/a", b"value", "Accept: */*")

NAMES = st.sampled_from(
    ["Accept", "x", "Connection", "connection", "Expect", "Upgrade", "TE", "Transfer-Encoding",
     "Content-Length", "X-Consul-Token", "Content-Type"]
)  # fmt: skip
VALUES = st.sampled_from(
    ["", "close", "keep-alive", "Keep-Alive", "100-continue", "chunked", "h2c", "0", "1", "5", "+5",
     " 5 ", "a\r\n b", "\x80"]
)  # fmt: skip
HEADERS = st.lists(st.builds("{}: {}".format, NAMES, VALUES), max_size=4)
METHODS = st.sampled_from(["GET", "PUT", "DELETE", "POST", "HEAD", "get"])
TARGETS = st.sampled_from(
    ["/v1/kv/a", "/v1/kv/a?raw", "/", "*", "/v1/kv/a b", "/v1/kv/%2f", "http://x/"]
)
BODIES = st.sampled_from([b"", b"v", b"value", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])

Seen = tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...], bytes, bool, bool]


class Ear:
    """A connection whose requests are only listened to."""

    def __init__(self, heads: HeaderCache | None = None) -> None:
        self.harness = GatewayHarness()
        self.harness.header_cache = heads or HeaderCache(BODY_BYTES_MAX)
        self.requests: list[Request] = []
        self.harness.handle = self.requests.append

    def feed(self, data: bytes) -> tuple[list[Seen], bytes]:
        """The requests that were understood, and what was answered to the rest."""
        self.harness.send(data)
        seen = [
            (
                each.method,
                each.target,
                tuple(each.headers),
                each.body,
                each.is_last,
                each.needs_keep_alive,
            )
            for each in self.requests
        ]
        written = b"".join(self.harness.transport.written)
        return seen, re.sub(rb"Date: [^\r]*", b"Date:", written)


def raw(method: str, target: str, headers: list[str], body: bytes) -> bytes:
    lines = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *headers, "", ""])
    return lines.encode("latin-1") + body


@given(METHODS, TARGETS, HEADERS, BODIES, METHODS, TARGETS, BODIES)
def test_what_was_learned_changes_nothing(
    method: str,
    target: str,
    headers: list[str],
    body: bytes,
    method2: str,
    target2: str,
    body2: bytes,
) -> None:
    heads = HeaderCache(BODY_BYTES_MAX)
    Ear(heads).feed(raw(method, target, headers, body))
    Ear(heads).feed(raw(method, target, [*headers, f"Content-Length: {len(body)}"], body))
    for later in (headers, [*headers, f"Content-Length: {len(body)}"]):
        data = raw(method2, target2, later, body2)
        assert Ear(heads).feed(data) == Ear().feed(data)


def test_the_same_lines_are_read_without_the_parser() -> None:
    heads = HeaderCache(BODY_BYTES_MAX)
    assert heads.read(PUT) is None
    Ear(heads).feed(PUT)
    other = request("PUT", "/v1/kv/b", b"VALUE", "Accept: */*")
    headers = ((b"Host", b"x"), (b"Accept", b"*/*"), (b"Content-Length", b"5"))
    assert heads.read(other) == (b"PUT", b"/v1/kv/b", headers, b"VALUE")


def test_more_or_less_than_one_request_goes_to_the_parser() -> None:
    heads = HeaderCache(BODY_BYTES_MAX)
    Ear(heads).feed(PUT)
    assert heads.read(PUT[:-1]) is None
    assert heads.read(PUT + b"G") is None
    assert heads.read(PUT + PUT) is None


def test_a_request_in_pieces_teaches_nothing() -> None:
    heads = HeaderCache(BODY_BYTES_MAX)
    ear = Ear(heads)
    ear.feed(PUT[:-1])
    ear.feed(PUT[-1:])
    assert len(ear.requests) == 1
    assert heads.read(PUT) is None


def test_a_body_over_the_limit_is_never_learned() -> None:
    heads = HeaderCache(4)
    heads.learn(PUT, [(b"Content-Length", b"5")], b"value")
    assert heads.read(PUT) is None


def test_a_body_that_one_path_may_have_is_not_let_in_by_another() -> None:
    harness = GatewayHarness(HttpConfig(value_bytes_max=4))
    assert harness.ask("PUT", "/v1/txn", b"12345").status == 400
    assert harness.ask("PUT", "/v1/kv/a", b"12345").status == 413
    assert harness.local.submitted == []


def test_a_body_in_chunks_teaches_nothing() -> None:
    """What follows the same lines may be longer or shorter, or no chunks at all."""
    for name in ("Transfer-Encoding", "transfer-encoding"):
        lines = f"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\n{name}: chunked\r\n\r\n".encode()
        heads = HeaderCache(BODY_BYTES_MAX)
        ear = Ear(heads)
        ear.feed(lines + b"1\r\nv\r\n0\r\n\r\n")
        assert [each.body for each in ear.requests] == [b"v"]
        heads.learn(lines + b"v", ear.requests[0].headers, b"v")
        assert heads.read(lines + b"w") is None


def test_lines_that_say_more_than_keep_alive_go_to_the_parser() -> None:
    for line in ("Connection: close", "Expect: 100-continue", "Upgrade: h2c", "TE: trailers"):
        heads = HeaderCache(BODY_BYTES_MAX)
        Ear(heads).feed(request("PUT", "/v1/kv/a", b"value", line))
        name, _, value = line.partition(": ")
        heads.learn(PUT, [(name.encode(), value.encode())], b"value")
        assert heads.read(PUT) is None
    usual = request("PUT", "/v1/kv/a", b"value", "connection: Keep-Alive")
    Ear(heads).feed(usual)
    assert heads.read(usual) is not None


def test_a_server_that_stops_ends_a_connection_whose_lines_it_knows() -> None:
    harness = GatewayHarness()
    harness.ask("GET", "/v1/status/leader")
    harness.is_stopping = True
    reply = harness.ask("GET", "/v1/status/leader")
    assert reply.headers["Connection"] == "close"
    assert harness.transport.has_eof


def test_only_so_many_are_remembered_and_none_that_is_long() -> None:
    heads = HeaderCache(BODY_BYTES_MAX)
    Ear(heads).feed(PUT)
    for number in range(CACHED_MAX):
        Ear(heads).feed(request("PUT", "/v1/kv/a", b"value", f"Accept: {number}"))
    assert heads.read(PUT) is None
    assert heads.read(request("PUT", "/v1/kv/a", b"value", "Accept: 1")) is not None
    long = request("GET", "/v1/kv/a", b"", "Accept: " + "x" * LINES_BYTES_MAX)
    Ear(heads).feed(long)
    assert heads.read(long) is None
