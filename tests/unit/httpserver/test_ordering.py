"""Pipelined requests: each has the effect it would have if they were carried out one by one."""

from collections.abc import Callable
from itertools import pairwise
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.base.command import Command
from quorate.base.context import RequestContext
from quorate.base.errors import QuorateError
from quorate.base.ports import Done
from quorate.gateways.http.config import HttpConfig
from quorate.httpserver.ordering import Order, order_of_method
from quorate.kv.commands import KvSet
from quorate.sessions.commands import SessionDestroy
from tests.unit.gateways.harness import FakeLocal, GatewayHarness, Reply, request

CLOCK = "quorate.gateways.http.requestcontext.monotonic"
UNORDERED = "X-Quorate-Unordered: true"
PUT = request("PUT", "/v1/kv/a", b"1")
GET = request("GET", "/v1/kv/a?raw")
DESTROY = request("PUT", "/v1/session/destroy/s")


def held(*pieces: bytes) -> GatewayHarness:
    """A gateway whose node answers nothing yet."""
    harness = GatewayHarness()
    harness.local.is_held = True
    for piece in pieces:
        harness.send(piece)
    return harness


def released(harness: GatewayHarness) -> list[tuple[int, bytes]]:
    harness.local.release()
    return [(reply.status, reply.body) for reply in harness.replies()]


@pytest.mark.parametrize("pieces", [[PUT + GET], [PUT, GET]])
def test_a_read_begins_when_the_write_before_it_is_answered(pieces: list[bytes]) -> None:
    harness = held(*pieces)
    assert (len(harness.local.submitted), harness.local.reads) == (1, 0)
    assert released(harness) == [(200, b"true"), (200, b"1")]


@pytest.mark.parametrize("pieces", [[GET + PUT], [GET, PUT]])
def test_a_write_begins_when_the_read_before_it_is_answered(pieces: list[bytes]) -> None:
    harness = held(*pieces)
    assert (harness.local.submitted, harness.local.reads) == ([], 1)
    assert released(harness) == [(404, b""), (200, b"true")]


def test_reads_are_carried_out_at_the_same_time() -> None:
    harness = held(GET * 3 + request("HEAD", "/v1/kv/a") + GET)
    assert harness.local.reads == 4  # a HEAD of a key is refused without asking the node


def test_writes_of_keys_are_given_to_the_node_at_once_and_in_order() -> None:
    harness = held(
        PUT
        + request("PUT", "/v1/kv/a?cas=0", b"2")
        + request("DELETE", "/v1/kv/a")
        + request("PUT", "/v1/kv/b", b"3")
    )
    kinds = [type(command).__name__ for command in harness.local.submitted]
    assert kinds == ["KvSet", "KvCas", "KvDelete", "KvSet"]
    assert released(harness) == [(200, b"true"), (200, b"false"), (200, b"true"), (200, b"true")]


KEYS = {"plain": "a/b", "with a query": "a?flags=%31", "of other characters": "a=~!"}
NO_KEYS = {
    "a session": "%2e%2e/session/destroy/s",
    "half encoded": ".%2E/session/destroy/s",
    "an encoded slash": "x%2f..%2f../session/destroy/s",
    "an encoded key": "%61",
    "not clean": "../session/destroy/s",
    "two slashes": "a//b",
    "dots": "a/./b",
}


@pytest.mark.parametrize("name", KEYS.values(), ids=KEYS.keys())
def test_a_write_of_a_key_is_in_sequence(name: str) -> None:
    harness = held(PUT + request("PUT", f"/v1/kv/{name}", b"1") + PUT)
    assert len(harness.local.submitted) == 3


@pytest.mark.parametrize("name", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_a_path_that_the_router_changes_is_alone(name: str) -> None:
    unclear = request("PUT", f"/v1/kv/{name}", b"1")
    harness = held(PUT + unclear + PUT)
    assert len(harness.local.submitted) == 1
    assert len(released(harness)) == 3
    harness = held(unclear + PUT)
    assert len(harness.local.submitted) == 1


@pytest.mark.parametrize("before", [PUT, GET, DESTROY])
def test_a_write_that_may_do_more_before_it_is_logged_is_alone(before: bytes) -> None:
    harness = held(before + DESTROY + PUT)
    assert len(harness.local.held) == 1
    harness.local.release()
    assert [type(command) for command in harness.local.submitted][-2:] == [SessionDestroy, KvSet]
    assert len(harness.replies()) == 3


def test_what_needs_no_order_does_not_wait_for_those_that_have_begun() -> None:
    free = request("GET", "/v1/kv/a?raw", b"", UNORDERED)
    harness = held(PUT + free + request("PUT", "/v1/session/destroy/s", b"", UNORDERED) + free)
    assert (len(harness.local.submitted), harness.local.reads) == (2, 2)


@pytest.mark.parametrize("waits", [GET, DESTROY])
def test_what_needs_no_order_waits_for_those_that_have_not_begun(waits: bytes) -> None:
    free = request("GET", "/v1/kv/a?raw", b"", UNORDERED)
    harness = held(PUT + waits + free)
    assert (len(harness.local.submitted), harness.local.reads) == (1, 0)
    assert len(released(harness)) == 3


FREE_GET = request("GET", "/v1/kv/a", b"", UNORDERED)
FREE_PUT = request("PUT", "/v1/kv/a", b"1", UNORDERED)


@pytest.mark.parametrize(("plain", "free"), [(PUT, FREE_GET), (GET, FREE_PUT)])
def test_who_asks_for_order_waits_also_for_those_that_do_not(plain: bytes, free: bytes) -> None:
    harness = held(plain + free + plain)
    assert (len(harness.local.submitted), harness.local.reads) == (1, 1)
    harness.local.release()
    assert len(harness.replies()) == 3


def test_what_is_refused_behind_them_keeps_nobody_waiting() -> None:
    harness = held(PUT + GET + b"\x16\x03\x01\r\n\r\n")
    assert released(harness)[:2] == [(200, b"true"), (200, b"1")]
    harness = held(PUT + GET + b"\x16\x03\x01\r\n\r\n")
    harness.local.release()
    assert [reply.status for reply in harness.replies()] == [200, 200, 400]


def test_a_write_behind_a_blocking_query_begins_when_that_is_answered() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/a", b"0")
    harness.send(request("GET", "/v1/kv/a?index=1000&wait=1s") + PUT)
    assert len(harness.local.submitted) == 1
    harness.timers[-1].step()
    assert [reply.status for reply in harness.replies()] == [200, 200]
    assert len(harness.local.submitted) == 2


def test_what_has_not_begun_never_begins_when_the_client_has_gone() -> None:
    harness = held(PUT + GET + DESTROY)
    harness.connection.connection_lost(None)
    harness.local.release()
    assert (len(harness.local.submitted), harness.local.reads) == (1, 0)


def test_a_long_answer_is_whole_before_a_write_behind_it_begins() -> None:
    harness = GatewayHarness(HttpConfig(value_bytes_max=400_000))
    harness.ask("PUT", "/v1/kv/a", b"x" * 300_000)
    harness.connection.pause_writing()
    harness.send(GET + PUT)
    harness.connection.resume_writing()
    long, done = harness.replies()
    assert (long.body, done.body) == (b"x" * 300_000, b"true")
    assert len(harness.local.submitted) == 2


def test_a_deadline_counts_from_when_the_request_came(monkeypatch: pytest.MonkeyPatch) -> None:
    late = request("PUT", "/v1/kv/a", b"2", "X-Quorate-Deadline: 100s")
    harness = held(DESTROY + late + late)
    began_s = monotonic()
    monkeypatch.setattr(CLOCK, lambda: began_s + 60)
    harness.local.release()
    assert [reply.status for reply in harness.replies()] == [200, 200, 200]
    assert 30 < harness.local.contexts[-1].deadline_s - harness.local.now_s <= 40

    harness = held(DESTROY + late)
    monkeypatch.setattr(CLOCK, lambda: began_s + 160)
    harness.local.release()
    _, refused = harness.replies()
    assert (refused.status, refused.headers["X-Quorate-Definite"]) == (429, "true")
    assert not any(isinstance(command, KvSet) for command in harness.local.submitted)


def test_only_what_is_defined_to_change_nothing_is_safe() -> None:
    safe = {b"GET", b"HEAD", b"OPTIONS", b"TRACE"}
    for method in (*safe, b"PUT", b"POST", b"DELETE", b"PATCH", b"CONNECT", b"get", b"FOO", b""):
        expected = Order.SAFE if method in safe else Order.ALONE
        assert order_of_method(method) is expected


# --- any timing -------------------------------------------------------------------------------


class Shuffled(FakeLocal):
    """Applies commands in the order in which they came, as the log does, and reads at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[Callable[[], None]] = []
        self.asked: list[Callable[[], None]] = []

    def submit(
        self, context: RequestContext, command: Command, done: Done, *, urgent: bool = False
    ) -> None:
        self.commands.append(lambda: done(self.apply(command)))

    def read(self, context: RequestContext, done: Callable[[int | QuorateError], None]) -> None:
        self.asked.append(lambda: done(self.lab.machine.log_time_ms))

    def step(self, chance: int) -> bool:
        """Let one thing happen; False if nothing can."""
        choices = self.commands[:1] + self.asked
        if not choices:
            return False
        chosen = choices[chance % len(choices)]
        (self.commands if chosen in self.commands[:1] else self.asked).remove(chosen)
        chosen()
        return True


def answers_one_by_one(parts: list[bytes]) -> list[tuple[int, bytes]]:
    harness = GatewayHarness()
    replies: list[Reply] = []
    for part in parts:
        harness.send(part)
        replies += harness.replies()
    return [(reply.status, reply.body) for reply in replies]


REQUESTS = st.one_of(
    st.integers(0, 99).map(lambda value: request("PUT", "/v1/kv/a", b"%d" % value)),
    st.integers(0, 99).map(lambda value: request("PUT", "/v1/kv/b", b"%d" % value)),
    st.just(request("GET", "/v1/kv/a?raw")),
    st.just(request("GET", "/v1/kv/b?raw")),
    st.just(request("DELETE", "/v1/kv/a")),
    st.just(request("DELETE", "/v1/kv/b")),
    st.just(request("GET", "/v1/kv/?keys")),
    st.just(DESTROY),
    st.just(request("GET", "/v1/status/leader")),
    st.just(request("PUT", "/v1/kv/a?cas=0", b"7")),
    st.just(request("PUT", "/v1/kv/")),
)


@given(
    st.lists(REQUESTS, min_size=1, max_size=10),
    st.lists(st.integers(0, 2000), max_size=6),
    st.lists(st.integers(0, 5), max_size=40),
)
def test_answers_are_those_of_one_after_the_other(
    parts: list[bytes], cuts: list[int], chances: list[int]
) -> None:
    local = Shuffled()
    harness = GatewayHarness(local=local)
    whole = b"".join(parts)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    draws = iter(chances)
    for first, last in pairwise(places):
        harness.send(whole[first:last])
        local.step(next(draws, 0))
    while local.step(next(draws, 0)):
        pass
    found = [(reply.status, reply.body) for reply in harness.replies()]
    assert found == answers_one_by_one(parts)
