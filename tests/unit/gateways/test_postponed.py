"""Long answers are made when they can leave, not before: steps wait, bytes do not."""

import asyncio

import pytest

from quorate.base.errors import InvariantError
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.server import ConsulServer
from quorate.kv.commands import KvSet
from tests.limits import HANG_S
from tests.unit.gateways.desk import Desk, FakeLocal, Reply, parsed, request

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


def desk_with_big(config: HttpConfig | None = None) -> Desk:
    desk = Desk(config)
    desk.local.apply(KvSet(b"big", BIG))
    return desk


def made(desk: Desk) -> int:
    """How many answers were made so far, whether they left or not."""
    waiting = desk.connection._pending  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return len(desk.transport.written) + sum(bool(each.data) for each in waiting)


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_no_answer_is_made_while_the_client_takes_nothing(read: bytes) -> None:
    desk = desk_with_big()
    desk.local.is_held = True
    desk.send(read * 5)
    desk.connection.pause_writing()
    desk.local.release()
    assert made(desk) == 0
    desk.connection.resume_writing()
    assert [reply.status for reply in desk.replies()] == [200] * 5
    assert not desk.transport.is_paused


@pytest.mark.parametrize("read", ALL.values(), ids=ALL.keys())
def test_no_answer_is_made_while_an_earlier_one_is_missing(read: bytes) -> None:
    desk = desk_with_big()
    desk.local.is_held = True
    desk.post("PUT", "/v1/kv/a", b"1")
    first, desk.local.held = desk.local.held, []
    desk.send(read * 5)
    desk.local.release()
    assert made(desk) == 0
    first[0]()
    assert [reply.status for reply in desk.replies()] == [200] * 6
    assert desk.connection.due == desk.tick + desk.config.idle_timeout_s


@pytest.mark.parametrize("read", ALL.values(), ids=ALL.keys())
def test_one_answer_is_made_each_time_the_client_takes(read: bytes) -> None:
    desk = desk_with_big(HttpConfig(pipeline_max=4))
    write = desk.transport.write

    def takes_little(data: bytes) -> None:
        write(data)
        desk.connection.pause_writing()

    desk.transport.write = takes_little  # type: ignore[method-assign]
    desk.send(read * 9)
    for count in range(1, 10):
        assert made(desk) == count
        desk.connection.resume_writing()
    assert [reply.status for reply in desk.replies()] == [200] * 9
    assert not desk.transport.is_paused


def test_a_postponed_read_sees_what_was_written_in_between() -> None:
    desk = desk_with_big()
    desk.connection.pause_writing()
    desk.send(READS["raw"])
    desk.local.apply(KvSet(b"big", b"new"))
    desk.connection.resume_writing()
    assert [reply.body for reply in desk.replies()] == [b"new"]


def test_a_read_that_waited_is_made_when_the_client_takes() -> None:
    desk = desk_with_big()
    index = int(desk.ask("GET", "/v1/kv/big").headers["X-Consul-Index"])
    desk.post("GET", f"/v1/kv/big?raw&index={index}")
    desk.connection.pause_writing()
    desk.local.apply(KvSet(b"big", b"new"))
    assert made(desk) == 0
    assert len(desk.local.watches) == 0
    assert desk.timers[0].is_cancelled
    desk.connection.resume_writing()
    assert [reply.body for reply in desk.replies()] == [b"new"]


def test_a_read_whose_time_is_over_is_made_when_the_client_takes() -> None:
    desk = desk_with_big()
    desk.post("GET", "/v1/kv/big?raw&stale&index=1000")
    desk.connection.pause_writing()
    desk.timers[0].step()
    assert made(desk) == 0
    assert len(desk.local.watches) == 0
    desk.connection.resume_writing()
    assert [reply.body for reply in desk.replies()] == [BIG]


def test_what_is_postponed_is_forgotten_with_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[bytes] = []
    desk = desk_with_big()
    desk.local.is_held = True
    desk.send(READS["plain"] * 3)
    desk.connection.pause_writing()
    held, desk.local.held = desk.local.held, []
    held[0]()
    desk.connection.connection_lost(None)
    held[1]()
    monkeypatch.setattr(desk.local.lab.tables, "get", looked.append)
    held[2]()
    desk.connection.resume_writing()
    assert (desk.transport.written, looked) == ([], [])


def test_what_nobody_could_answer_for_reaches_the_node() -> None:
    def broken() -> None:
        raise InvariantError("a bug")

    local = FakeLocal()
    local.is_held = True
    ConsulServer(local, HttpConfig()).go_on(broken)
    with pytest.raises(InvariantError):
        local.release()


def test_services_of_this_node_are_shown_when_the_client_takes() -> None:
    desk = Desk()
    assert desk.ask("PUT", "/v1/agent/service/register", b'{"Name": "web"}').status == 200
    desk.local.is_held = True
    desk.post("PUT", "/v1/kv/a", b"1")
    desk.post("GET", "/v1/agent/services")
    assert made(desk) == 0
    desk.local.release()
    assert b'"web"' in desk.replies()[1].body


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
