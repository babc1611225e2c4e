"""What the server remembers of header lines reads every byte as the parser does.

Two servers get the same data: one remembers (`httpserver.headercache`), one only parses. Requests,
what is answered to the rest, and the end of a connection must be the same, whatever was remembered.
"""

from collections.abc import Sequence
from typing import Any, cast

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from quorate.httpserver.connection import Connection
from quorate.httpserver.headercache import HeaderCache
from tests.unit.gateways.harness import FakeTransport
from tests.unit.httpserver.test_application import Store, Table

FIRST_LINES = [
    b"GET /v1/kv/a HTTP/1.1", b"PUT /v1/kv/a?cas=1 HTTP/1.1", b"DELETE /a HTTP/1.1",
    b"POST /a HTTP/1.1", b"HEAD /a HTTP/1.1", b"GET /a HTTP/1.0", b"PUT /a HTTP/1.0",
    b"GET http://x/a HTTP/1.1", b"GET /a#b HTTP/1.1", b"get /a HTTP/1.1", b"GET /\xff HTTP/1.1",
    b"GET  /a HTTP/1.1", b"GET /a HTTP/1.1 ", b"GET /a HTTP/2.0", b"GET /a",
]  # fmt: skip
LINES = [
    b"Host: x", b"Host: x", b"host:", b"Host: y/", b"Accept: */*",
    b"X-Consul-Token: t", b"Connection: keep-alive",
    b"Connection: Keep-Alive", b"Connection: close", b"Connection: keep-alive, close",
    b"Connection: Upgrade", b"Upgrade: h2c", b"Expect: 100-continue", b"TE: trailers",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, gzip",
    b"Content-Length: 0", b"Content-Length: 1", b"Content-Length: 5", b"Content-Length: 05",
    b"Content-Length: +5", b"Content-Length: 5, 5", b"content-length:5", b"Content-Length : 5",
    b"Content-Length: 5 ", b"Proxy-Connection: close", b"X: \x80", b"X: a\r\n b", b": x", b"",
    b"X", b"X: \x00",
]  # fmt: skip
BODIES = [
    b"", b"v", b"value", b"valueG", b"0\r\n\r\n", b"5\r\nvalue\r\n0\r\n\r\n", b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n", b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\n"]
OCTETS = [b"\r", b"\n", b"\r\n", b" ", b":", b"\x00", b"\xff", b"0", b"5", b"A", b"\t"]

WAYS = ["same", "spoilt", "twice", "cut", "renamed", "within"]

Seen = tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...], bytes, bool, bool]


def joined(first: bytes, lines: Sequence[bytes], end: bytes, body: bytes) -> bytes:
    return end.join([first, *lines, b"", b""]) + body


def sound(first: bytes, lines: Sequence[bytes], body: bytes) -> bytes:
    """A request that is likely to be understood, and to be remembered."""
    return joined(first, [b"Host: x", *lines, b"Content-Length: %d" % len(body)], b"\r\n", body)


strange = st.builds(
    joined,
    st.sampled_from(FIRST_LINES),
    st.lists(st.sampled_from(LINES), max_size=4),
    st.sampled_from(ENDS),
    st.sampled_from(BODIES),
)
usual = st.builds(
    sound,
    st.sampled_from(FIRST_LINES[:3]),
    st.lists(st.sampled_from(LINES[4:13]), max_size=3),
    st.sampled_from(BODIES),
)


def spoiled(data: bytes, place: float, octets: bytes, removed: int) -> bytes:
    """Some bytes in place of others."""
    at = int(place * len(data))
    return data[:at] + octets + data[at + removed :]


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """What comes: few requests, again and again, also spoilt, cut and behind one another."""
    known = draw(st.lists(usual, min_size=1, max_size=2))
    parts = known + draw(st.lists(strange, max_size=1))
    for how in draw(st.lists(st.sampled_from(WAYS), max_size=8)):
        data = draw(st.sampled_from(known))
        if how == "spoilt":
            octets, removed = draw(st.sampled_from([b"", *OCTETS])), draw(st.integers(0, 2))
            data = spoiled(data, draw(st.floats(0, 1)), octets, removed)
        if how == "renamed":
            data = draw(st.sampled_from(FIRST_LINES)) + data[data.index(b"\r\n") :]
        if how == "within":  # the body of another one
            parts += [sound(FIRST_LINES[1], [], data)[: -len(data)], data]
        elif how == "cut":
            cut = draw(st.integers(1, len(data)))
            parts += [data[:cut], data[cut:]]
        else:
            parts.append(data + data if how == "twice" else data)
    return [part for part in parts if part]


class Ear:
    """A server whose requests are only listened to; after a connection that ended comes another."""

    def __init__(self, *, remembers: bool) -> None:
        self.store = Store()
        self.table = Table(self.store)
        self.table.server.header_cache = self.header_cache = CountingCache(
            1024 if remembers else -1
        )
        self.written: list[bytes] = []

    def feed(self, data: bytes) -> None:
        table = self.table
        table.connection.data_received(data)
        self.written.append(b"".join(table.transport.written) + b"eof" * table.transport.has_eof)
        table.transport.written.clear()
        if table.transport.has_eof or table.transport.is_closed:
            table.transport = FakeTransport()
            table.connection = Connection(table.server)
            table.connection.connection_made(cast(Any, table.transport))

    def seen(self) -> list[Seen]:
        return [
            (
                each.method,
                each.target,
                tuple(each.headers),
                each.body,
                each.is_last,
                each.needs_keep_alive,
            )
            for each in self.store.handled
        ]


class CountingCache(HeaderCache):
    """Counts what was read without the parser."""

    def __init__(self, body_bytes_max: int) -> None:
        super().__init__(body_bytes_max)
        self.hits = 0

    def read(self, data: bytes) -> Any:
        found = super().read(data)
        self.hits += found is not None
        return found


PLAIN = joined(b"PUT /a HTTP/1.1", [b"Host: x", b"Content-Length: 5"], b"\r\n", b"value")


@settings(max_examples=300)
@given(streams())
@example([PLAIN, PLAIN, PLAIN[:-1], b"e", PLAIN + PLAIN, PLAIN])
def test_remembering_changes_nothing(parts: list[bytes]) -> None:
    remembering, parsing = Ear(remembers=True), Ear(remembers=False)
    for data in parts:
        remembering.feed(data)
        parsing.feed(data)
        assert remembering.seen() == parsing.seen(), data
        assert remembering.written == parsing.written, data
    assert parsing.header_cache.hits == 0
    event("something was remembered" if remembering.header_cache.hits else "nothing was remembered")


def test_the_fuzz_reaches_what_is_remembered() -> None:
    ear = Ear(remembers=True)
    for data in (PLAIN, PLAIN, PLAIN):
        ear.feed(data)
    assert ear.header_cache.hits == 2
