"""Long answers are made when they can leave, not before: steps wait, bytes do not."""

import asyncio

import pytest

from quorate.base.errors import InvariantError
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.server import ConsulServer
from quorate.kv.commands import KvSet
from tests.limits import HANG_S
from tests.unit.gateways.harness import FakeLocal, GatewayHarness, Reply, parsed, request

BIG = b"b" * 30_000  # long enough to be postponed, and one piece
TXN = b'[{"KV": {"Verb": "get", "Key": "big"}}]'
READS = {
    "plain": request("GET", "/v1/kv/big"),
    "raw": request("GET", "/v1/kv/big?raw"),
    "consistent": request("GET", "/v1/kv/big?consistent"),
    "below a prefix": request("GET", "/v1/kv/?recurse"),
    "changed already": request("GET", "/v1/kv/big?index=1&consistent"),
    "in a transaction": request("PUT", "/v1/txn", TXN),
}
STALE = {
    "stale": request("GET", "/v1/kv/big?stale"),
    "stale, below a prefix": request("GET", "/v1/kv/?recurse&stale"),
    "stale, in a transaction": request("PUT", "/v1/txn?stale", TXN),
}
ALL = READS | STALE


def harness_with_big(config: HttpConfig | None = None) -> GatewayHarness:
    harness = GatewayHarness(config)
    harness.local.apply(KvSet(b"big", BIG))
    return harness


def made(harness: GatewayHarness) -> int:
    """How many answers were made so far, whether they left or not."""
    waiting = harness.connection._pending  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return len(harness.transport.written) + sum(bool(each.data) for each in waiting)


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_no_answer_is_made_while_the_client_takes_nothing(read: bytes) -> None:
    harness = harness_with_big()
    harness.local.is_held = True
    harness.send(read * 5)
    harness.connection.pause_writing()
    harness.local.release()
    assert made(harness) == 0
    harness.connection.resume_writing()
    assert [reply.status for reply in harness.replies()] == [200] * 5
    assert not harness.transport.is_paused


@pytest.mark.parametrize("read", ALL.values(), ids=ALL.keys())
def test_no_answer_is_made_while_an_earlier_one_is_missing(read: bytes) -> None:
    harness = harness_with_big()
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/a", b"1")
    first, harness.local.held = harness.local.held, []
    harness.send(read * 5)
    harness.local.release()
    assert made(harness) == 0
    first[0]()
    assert [reply.status for reply in harness.replies()] == [200] * 6
    assert harness.connection.due == harness.tick + harness.config.idle_timeout_s


@pytest.mark.parametrize("read", ALL.values(), ids=ALL.keys())
def test_one_answer_is_made_each_time_the_client_takes(read: bytes) -> None:
    harness = harness_with_big(HttpConfig(pipeline_max=4))
    write = harness.transport.write

    def takes_little(data: bytes) -> None:
        write(data)
        harness.connection.pause_writing()

    harness.transport.write = takes_little  # type: ignore[method-assign]
    harness.send(read * 9)
    for count in range(1, 10):
        assert made(harness) == count
        harness.connection.resume_writing()
    assert [reply.status for reply in harness.replies()] == [200] * 9
    assert not harness.transport.is_paused


def test_a_postponed_read_sees_what_was_written_in_between() -> None:
    harness = harness_with_big()
    harness.connection.pause_writing()
    harness.send(READS["raw"])
    harness.local.apply(KvSet(b"big", b"new"))
    harness.connection.resume_writing()
    assert [reply.body for reply in harness.replies()] == [b"new"]


def test_a_read_that_waited_is_made_when_the_client_takes() -> None:
    harness = harness_with_big()
    index = int(harness.ask("GET", "/v1/kv/big").headers["X-Consul-Index"])
    harness.post("GET", f"/v1/kv/big?raw&index={index}")
    harness.connection.pause_writing()
    harness.local.apply(KvSet(b"big", b"new"))
    assert made(harness) == 0
    assert len(harness.local.watches) == 0
    assert harness.timers[0].is_cancelled
    harness.connection.resume_writing()
    assert [reply.body for reply in harness.replies()] == [b"new"]


def test_a_read_whose_time_is_over_is_made_when_the_client_takes() -> None:
    harness = harness_with_big()
    harness.post("GET", "/v1/kv/big?raw&stale&index=1000")
    harness.connection.pause_writing()
    harness.timers[0].step()
    assert made(harness) == 0
    assert len(harness.local.watches) == 0
    harness.connection.resume_writing()
    assert [reply.body for reply in harness.replies()] == [BIG]


def test_what_is_postponed_is_forgotten_with_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[bytes] = []
    harness = harness_with_big()
    harness.local.is_held = True
    harness.send(READS["plain"] * 3)
    harness.connection.pause_writing()
    held, harness.local.held = harness.local.held, []
    held[0]()
    harness.connection.connection_lost(None)
    held[1]()
    monkeypatch.setattr(harness.local.lab.tables, "get", looked.append)
    held[2]()
    harness.connection.resume_writing()
    assert (harness.transport.written, looked) == ([], [])


def test_what_nobody_could_answer_for_reaches_the_node() -> None:
    def broken() -> None:
        raise InvariantError("a bug")

    local = FakeLocal()
    local.is_held = True
    ConsulServer(local, HttpConfig()).go_on(broken)
    with pytest.raises(InvariantError):
        local.release()


def test_services_of_this_node_are_shown_when_the_client_takes() -> None:
    harness = GatewayHarness()
    assert harness.ask("PUT", "/v1/agent/service/register", b'{"Name": "web"}').status == 200
    harness.local.is_held = True
    harness.post("PUT", "/v1/kv/a", b"1")
    harness.post("GET", "/v1/agent/services")
    assert made(harness) == 0
    harness.local.release()
    assert b'"web"' in harness.replies()[1].body


def test_a_slow_client_gets_everything_in_order() -> None:
    count = 300

    async def read(reader: asyncio.StreamReader) -> list[Reply]:
        data, found = b"", list[Reply]()
        while len(found) < count:
            piece = await reader.read(50_000)
            assert piece, "the gateway hung up"
            await asyncio.sleep(0)
            data += piece
            if len(data) > count * 10_000:
                found = parsed(data)
        return found

    async def run() -> None:
        local = FakeLocal()
        for number in range(10):
            local.apply(KvSet(b"k%d" % number, b"%d" % number * 10_000))
        server = ConsulServer(local, HttpConfig(pipeline_max=16))
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=10_000)
        targets = [f"/v1/kv/k{n % 10}?raw{'&stale' * (n % 3 == 0)}" for n in range(count)]
        writer.write(b"".join(request("GET", target) for target in targets))
        async with asyncio.timeout(HANG_S):
            replies = await read(reader)
        assert [reply.body[:1] for reply in replies] == [b"%d" % (n % 10) for n in range(count)]
        writer.close()
        await server.stop()

    asyncio.run(run())
