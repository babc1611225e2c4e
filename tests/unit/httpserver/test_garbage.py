"""Nothing of a request or a connection waits for the collector: its memory is free at once."""

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from quorate.gateways.http.config import HttpConfig
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import GatewayHarness, request


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


def filled() -> GatewayHarness:
    harness = GatewayHarness(HttpConfig())
    for number in range(700):
        harness.local.apply(KvSet(b"big/%d" % number, b"x" * 400))
    return harness


def forget_timers(harness: GatewayHarness) -> None:
    """As the loop does with what ran or was cancelled."""
    for timer in harness.timers:
        timer.step = harness.timers.clear
    harness.timers.clear()


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
    harness = filled()
    harness.connection.connection_lost(None)
    with nothing_left():
        harness.connect()
        harness.local.is_held = state == "held"
        if state == "full":
            harness.connection.pause_writing()
        if sent:
            harness.send(sent)
        if state == "woken":
            harness.local.apply(KvSet(b"a", b"2"))
        if state == "timed out":
            for timer in harness.timers:
                if not timer.is_cancelled:
                    timer.step()
        harness.connection.connection_lost(None)
        forget_timers(harness)
        harness.local.release()
        harness.connect()


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_an_answered_request_is_gone_though_the_connection_stays(sent: bytes) -> None:
    harness = filled()
    with nothing_left():
        harness.send(sent or b"\r\n")
        harness.replies()
        forget_timers(harness)


def test_the_check_finds_what_waits_for_the_collector() -> None:
    def knot() -> None:
        harness = GatewayHarness()
        harness.timers.append(harness)  # type: ignore[arg-type]
        harness.context.count_routes(harness.context)  # type: ignore[arg-type]

    run: Callable[[], None] = knot
    with pytest.raises(AssertionError), nothing_left():
        run()
