"""Nothing of a request or a connection waits for the collector: its memory is free at once."""

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from quorate.gateways.http.config import HttpConfig
from quorate.kv.commands import KvSet
from tests.unit.gateways.desk import Desk, request


@contextmanager
def nothing_left() -> Generator[None]:
    """Whatever is done meanwhile leaves no reference cycle of this project's objects."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()  # what is here already is not looked at
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [each for each in gc.garbage if type(each).__module__.startswith("quorate.")]
        assert [type(each).__qualname__ for each in ours] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def filled() -> Desk:
    desk = Desk(HttpConfig())
    for number in range(700):
        desk.local.apply(KvSet(b"big/%d" % number, b"x" * 400))
    return desk


def forget_timers(desk: Desk) -> None:
    """As the loop does with what ran or was cancelled."""
    for timer in desk.timers:
        timer.step = desk.timers.clear
    desk.timers.clear()


HALF = request("PUT", "/v1/kv/a", b"x" * 1000)[:-1]

SENT = {
    "get": request("GET", "/v1/kv/big/1"),
    "put": request("PUT", "/v1/kv/a", b"1"),
    "list": request("GET", "/v1/kv/big/?recurse"),
    "names": request("GET", "/v1/kv/?keys"),
    "several": request("PUT", "/v1/kv/a", b"1") * 3 + request("GET", "/v1/kv/big/?recurse") * 3,
    "half": HALF,
    "none": b"",
    "headers": b"GET /v1/kv/",
    "no HTTP": b"\x16\x03\x01\r\n\r\n",
    "upgrade": request("GET", "/v1/kv/a", b"", "Connection: Upgrade", "Upgrade: h2c"),
    "unknown": request("FOO", "/v1/kv/a"),
    "last": request("GET", "/v1/kv/big/1", b"", "Connection: close"),
    "blocking": request("GET", "/v1/kv/a?index=1000000&wait=60s") * 3,
    "blocking list": request("GET", "/v1/kv/big/?recurse&index=1000000&wait=60s") * 3,
    "transaction": request(
        "PUT", "/v1/txn", b'[{"KV": {"Verb": "get-tree", "Key": "big/"}}]' + b" " * 10
    ),
    "session": request("PUT", "/v1/session/create", b'{"TTL": "10s"}'),
    "renewal": request("PUT", "/v1/session/renew/none"),
    "members": request("GET", "/v1/agent/members"),
    "metrics": request("GET", "/metrics"),
}


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
@pytest.mark.parametrize("state", ["plain", "held", "full", "woken", "timed out"])
def test_a_connection_that_ends_is_gone_with_its_requests(sent: bytes, state: str) -> None:
    desk = filled()
    desk.connection.connection_lost(None)
    with nothing_left():
        desk.connect()
        desk.local.is_held = state == "held"
        if state == "full":
            desk.connection.pause_writing()
        if sent:
            desk.send(sent)
        if state == "woken":
            desk.local.apply(KvSet(b"a", b"2"))
        if state == "timed out":
            for timer in desk.timers:
                if not timer.is_cancelled:
                    timer.step()
        desk.connection.connection_lost(None)
        forget_timers(desk)
        desk.local.release()
        desk.connect()


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_an_answered_request_is_gone_though_the_connection_stays(sent: bytes) -> None:
    desk = filled()
    with nothing_left():
        desk.send(sent or b"\r\n")
        desk.replies()
        forget_timers(desk)


def test_the_check_finds_what_waits_for_the_collector() -> None:
    def knot() -> None:
        desk = Desk()
        desk.timers.append(desk)  # type: ignore[arg-type]
        desk.context.count_routes(desk.context)  # type: ignore[arg-type]

    run: Callable[[], None] = knot
    with pytest.raises(AssertionError), nothing_left():
        run()
