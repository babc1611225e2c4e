"""Any bytes as a DNS query: no fault, and a reply that others can read, if one is due."""

import random
from functools import cache
from typing import Any

import dns.message
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.catalog.commands import CatalogRegister
from quorate.catalog.fields import NodeFields, Service
from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.questions import HEADER_BYTES, UDP_BYTES
from quorate.gateways.dns.resolver import Resolver
from quorate.serving.evaluations import Evaluations
from quorate.serving.serving import Serving
from tests.unit.gateways.harness import FakeLocal
from tests.unit.gateways.test_dns import Recorder

LABELS = st.sampled_from(
    [
        b"web", b"v1", b"n", b"_web", b"_tcp", b"service", b"node", b"addr", b"query", b"port",
        b"virtual", b"connect", b"dc1", b"dc", b"consul", b"in-addr", b"arpa", b"ip6", b"1", b"10",
        b"0a060701", b"\xff", b"\0", b".", b"x" * 63,
    ]
)  # fmt: skip
NAMES = st.lists(LABELS | st.binary(min_size=1, max_size=63), max_size=8)
TYPES = st.sampled_from([1, 2, 5, 6, 12, 15, 16, 28, 33, 251, 252, 255]) | st.integers(0, 65535)


@cache
def node() -> tuple[FakeLocal, Resolver]:
    local = FakeLocal(with_node=False)
    for last in range(12):
        service = Service("w", "web", port=last, tags=("v1",))
        fields = NodeFields("", f"10.0.0.{last}", "dc1", {}, {"k": "v" * last})
        local.apply(CatalogRegister(f"n{last}", fields, service, (), is_member=False))
    unused: Any = None
    serving = Serving(local, unused, unused, Evaluations(), random.Random(1))
    return local, Resolver(local, serving, DnsConfig(), Recorder(), lambda: 1.0)


def asked(data: bytes, *, is_stream: bool) -> None:
    local, resolver = node()
    replies: list[bytes] = []
    resolver.answer(data, "10.9.9.9", replies.append, is_stream=is_stream)
    assert not local.faults
    for reply in replies:
        assert reply[:2] == data[:2]
        message = dns.message.from_wire(reply, ignore_trailing=False)
        if not is_stream and message.edns < 0:
            assert len(reply) <= UDP_BYTES
    is_query = len(data) >= HEADER_BYTES and not data[2] & 0x80
    assert len(replies) == is_query


@given(st.binary(max_size=600), st.booleans())
def test_any_bytes(data: bytes, is_stream: bool) -> None:
    asked(data, is_stream=is_stream)


@given(NAMES, TYPES, st.integers(0, 255), st.binary(max_size=40), st.booleans())
@example([b"web", b"service", b"consul"], 33, 0, b"", False)
def test_a_header_and_a_question(
    labels: list[bytes], qtype: int, flags: int, rest: bytes, is_stream: bool
) -> None:
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    additional = bool(rest).to_bytes(2)
    header = b"ab" + bytes((flags & 0x7F, 0)) + b"\0\1\0\0\0\0" + additional
    asked(header + name + qtype.to_bytes(2) + b"\0\1" + rest, is_stream=is_stream)


@given(NAMES, TYPES, st.integers(0, 65535), st.binary(max_size=60))
def test_options(labels: list[bytes], qtype: int, size: int, options: bytes) -> None:
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    header = b"ab\1\0\0\1\0\0\0\0\0\1"
    opt = b"\0\0\x29" + size.to_bytes(2) + bytes(4) + len(options).to_bytes(2) + options
    asked(header + name + qtype.to_bytes(2) + b"\0\1" + opt, is_stream=False)


@given(st.integers(0, 400), st.integers(0, 255), st.booleans())
def test_a_damaged_query(place: int, value: int, is_stream: bool) -> None:
    query = dns.message.make_query("v1.web.service.dc1.consul", "SRV", use_edns=0, payload=1232)
    data = bytearray(query.to_wire())
    data[place % len(data)] = value
    asked(bytes(data), is_stream=is_stream)
