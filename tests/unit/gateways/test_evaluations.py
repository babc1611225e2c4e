"""Blocking queries that ask for the same: one evaluation and one encoding for each change."""

import json

import pytest

from quorate.gateways.http import kv, responses
from quorate.gateways.http.blocking import question
from quorate.kv.commands import KvSet
from quorate.kv.queries import kv_list_in_turn
from quorate.machine.queries import Reader
from tests.unit.gateways.harness import GatewayHarness, request


@pytest.fixture
def harness() -> GatewayHarness:
    made = GatewayHarness()
    for number in range(20):
        made.local.apply(KvSet(b"a/%02d" % number, b"v" * 100))
    return made


def waiting(harness: GatewayHarness, target: str, count: int, *headers: str) -> None:
    index = harness.local.lab.machine.index
    before = len(harness.local.watches)
    harness.send(request("GET", f"{target}&index={index}&wait=9m", b"", *headers) * count)
    assert len(harness.local.watches) == before + count


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, in order: lists evaluated, values encoded."""
    done: list[str] = []
    evaluate, encode = kv_list_in_turn, responses.go_json

    def evaluated(reader: Reader, prefix: bytes) -> object:
        done.append("evaluated")
        return evaluate(reader, prefix)

    def encoded(value: object, *, is_pretty: bool = False) -> bytes:
        done.append("encoded")
        return encode(value, is_pretty=is_pretty)

    monkeypatch.setattr(kv, "kv_list_in_turn", evaluated)
    monkeypatch.setattr(responses, "go_json", encoded)
    return done


def test_a_change_is_evaluated_and_encoded_once_for_all_who_wait_for_the_same(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(harness, "/v1/kv/a/?recurse", 100)
    waiting(harness, "/v1/kv/a/?recurse&pretty", 50)
    done = counted(monkeypatch)
    harness.local.apply(KvSet(b"a/05", b"new"))
    replies = harness.replies()
    assert len(replies) == 150
    assert [json.loads(reply.body)[5]["Value"] for reply in replies] == ["bmV3"] * 150
    assert len({reply.body for reply in replies}) == 2
    assert done == ["evaluated", "encoded"] * 2
    waiting(harness, "/v1/kv/a/?recurse", 1)
    harness.local.apply(KvSet(b"a/05", b"newer"))
    (reply,) = harness.replies()
    assert json.loads(reply.body)[5]["Value"] == "bmV3ZXI="


def test_what_is_packed_is_packed_for_those_who_want_it(harness: GatewayHarness) -> None:
    waiting(harness, "/v1/kv/a/?recurse", 2, "Accept-Encoding: gzip")
    waiting(harness, "/v1/kv/a/?recurse", 2)
    harness.local.apply(KvSet(b"a/05", b"new"))
    assert ["Content-Encoding" in reply.headers for reply in harness.replies()] == [
        True,
        True,
        False,
        False,
    ]


def test_those_who_ask_for_something_else_get_that(harness: GatewayHarness) -> None:
    for target in ("/v1/kv/a/05?x", "/v1/kv/a/05?raw", "/v1/kv/a/?keys", "/v1/kv/?recurse"):
        waiting(harness, target, 2)
    harness.local.apply(KvSet(b"a/05", b"new"))
    bodies = [reply.body for reply in harness.replies()]
    assert bodies[::2] == bodies[1::2]
    assert len(set(bodies)) == 4
    assert bodies[2] == b"new"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"/v1/kv/a&index=1&b?keys", b"/v1/kv/a&index=2&b?keys"),
        (b"/v1/kv/a?keys&separator=x?index=1", b"/v1/kv/a?keys&separator=x?index=2"),
        (b"/v1/kv/a?keys&index=5", b"/v1/kv/a?recurse&index=5"),
        (b"/v1/kv/akeys", b"/v1/kv/a?keys"),
    ],
)
def test_different_questions_are_distinguished(one: bytes, other: bytes) -> None:
    assert question(one) != question(other)


def test_a_question_is_the_same_whatever_its_reader_has_seen() -> None:
    asked = {question(b"/v1/kv/a?keys&index=%d&wait=%ds" % (n, n)) for n in range(5)}
    asked |= {question(b"/v1/kv/a?wait=1s&keys&index=7"), question(b"/v1/kv/a?keys")}
    assert len(asked) == 1
