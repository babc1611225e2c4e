"""Requests behind the last answer of their connection are dropped, and wait for nothing more."""

from collections.abc import Callable

import pytest

from quorate.httpserver.request import Request
from quorate.httpserver.slices import SliceQueue
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import GatewayHarness, request

STREAMED = b"GET /v1/kv/k?recurse HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
"""Its answer is the last one if the list is long: HTTP/1.0 has no chunks."""
WAITING = request("GET", "/v1/kv/k0000?index=1000000&wait=10m")
PUT = request("PUT", "/v1/kv/a", b"1")


class Owned:
    closed = 0

    def close(self) -> None:
        self.closed += 1


class Table:
    """A gateway with a list that is streamed; `run` makes the turns."""

    def __init__(self) -> None:
        self.turns: list[Callable[[], None]] = []
        self.harness = GatewayHarness(slices=SliceQueue(self.turns.append, lambda: 0.0))
        for number in range(1000):
            self.harness.local.apply(KvSet(b"k%04d" % number, b"x" * 1000))

    def run(self) -> None:
        while self.turns:
            self.turns.pop(0)()


def test_what_waits_behind_the_last_answer_ends_its_wait_with_that() -> None:
    table = Table()
    harness = table.harness
    harness.send(STREAMED + WAITING * 20)
    assert len(harness.local.watches) == len(harness.timers) == 20
    table.run()
    assert harness.transport.has_eof
    assert len(harness.local.watches) == 0
    assert all(timer.is_cancelled for timer in harness.timers)
    harness.connection.connection_lost(None)
    assert harness.context.shared.budget.held_bytes == 0


def test_what_is_dropped_before_its_read_index_begins_no_wait() -> None:
    table = Table()
    harness = table.harness
    harness.local.is_held = True
    harness.send(STREAMED + WAITING)
    first, waiting = harness.local.held
    first()
    table.run()
    assert harness.transport.has_eof
    waiting()
    assert (len(harness.local.watches), harness.timers) == (0, [])


@pytest.mark.parametrize("is_postponed", [False, True])
def test_what_a_dropped_request_owns_is_closed(*, is_postponed: bool) -> None:
    table = Table()
    harness = table.harness
    begun: list[Request] = []
    handle = harness.handle

    def handled(each: Request) -> None:
        if each.target == b"/mine":
            begun.append(each)
        else:
            handle(each)

    harness.handle = handled
    harness.send(STREAMED + request("GET", "/mine"))
    owned = Owned()
    begun[0].own(owned)
    if is_postponed:
        begun[0].postpone(lambda: None)
    table.run()
    assert harness.transport.has_eof
    begun[0].answer(b"HTTP/1.1 200 OK\r\n\r\n")
    assert owned.closed == 1


def test_an_answer_that_is_dropped_while_the_connection_ends_is_closed() -> None:
    harness = GatewayHarness()
    begun: list[Request] = []
    harness.handle = begun.append
    harness.send(request("GET", "/a") * 2)
    first, second = begun
    owned = Owned()
    second.own(owned)
    first.begin_wait(lambda: second.answer(b"HTTP/1.1 200 OK\r\n\r\n"))
    harness.connection.connection_lost(None)
    assert owned.closed == 1
