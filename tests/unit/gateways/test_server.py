"""The server with real sockets: who gets in, what a stop does, snapshots through a thread."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest

from quorate.base.errors import InvariantError, StorageError
from quorate.gateways.http.archive import pack
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.server import ConsulServer
from quorate.httpserver.spool import Space
from quorate.kv.commands import KvSet
from quorate.machine.snapshot import MAGIC
from tests.unit.gateways.harness import FakeLocal, Reply, parsed, request

HOST = "127.0.0.1"


class Caller:
    """A client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes) -> Reply:
        self.writer.write(data)
        return await self.reply()

    async def reply(self) -> Reply:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        return parsed(head + await self.reader.readexactly(length))[0]

    async def is_closed(self) -> bool:
        return await self.reader.read() == b""


Connect = Callable[[], Awaitable[Caller]]
Scene = Callable[[FakeLocal, ConsulServer, Connect], Awaitable[None]]


def play(scene: Scene, config: HttpConfig | None = None) -> None:
    """Run a scene with a server and something that connects to it."""

    async def run() -> None:
        local = FakeLocal()
        server = ConsulServer(local, config or HttpConfig())
        await server.start(HOST, 0)
        callers: list[Caller] = []

        async def connect() -> Caller:
            callers.append(Caller(*await asyncio.open_connection(HOST, server.port)))
            return callers[-1]

        try:
            await scene(local, server, connect)
        finally:
            await server.stop()
            for caller in callers:
                caller.writer.close()

    asyncio.run(run())


def test_one_client_may_hold_only_so_many_connections() -> None:
    async def scene(_: FakeLocal, __: ConsulServer, connect: Connect) -> None:
        callers = [await connect() for _ in range(2)]
        for caller in callers:
            assert (await caller.ask(request("GET", "/v1/status/leader"))).status == 200
        third = await connect()
        assert (await third.reply()).status == 429
        assert await third.is_closed()

        callers[0].writer.close()
        await callers[0].writer.wait_closed()
        assert (await callers[1].ask(request("GET", "/v1/status/leader"))).status == 200
        fourth = await connect()
        assert (await fourth.ask(request("GET", "/v1/status/leader"))).status == 200

    play(scene, HttpConfig(connections_per_client_max=2))


def test_a_client_that_sends_too_much_can_still_read_why() -> None:
    async def scene(_: FakeLocal, __: ConsulServer, connect: Connect) -> None:
        caller = await connect()
        reply = await caller.ask(request("PUT", "/v1/kv/a", b"x" * 600_000))
        assert reply.status == 413
        assert await caller.is_closed()

    play(scene)


def test_a_stop_lets_answers_under_way_leave_and_cuts_off_who_waits() -> None:
    async def scene(local: FakeLocal, server: ConsulServer, connect: Connect) -> None:
        idle, waiting, working = [await connect() for _ in range(3)]
        waiting.writer.write(request("GET", "/v1/kv/a?index=1000"))
        assert (await idle.ask(request("GET", "/v1/status/leader"))).status == 200
        local.is_held = True
        working.writer.write(request("PUT", "/v1/kv/a", b"1"))
        await local.is_asked.wait()
        stopping = asyncio.ensure_future(server.stop())
        assert await idle.is_closed()
        assert await waiting.is_closed()
        local.release()
        reply = await working.reply()
        assert (reply.body, reply.headers["Connection"]) == (b"true", "close")
        working.writer.close()
        await stopping
        assert len(local.watches) == 0

    play(scene)


def test_a_snapshot_is_taken_and_put_back() -> None:
    async def scene(local: FakeLocal, _: ConsulServer, connect: Connect) -> None:
        caller = await connect()
        for number in range(50):
            local.apply(KvSet(b"k%d" % number, b"v" * 20_000))
        saved = await caller.ask(request("GET", "/v1/snapshot"))
        assert saved.headers["Content-Type"] == "application/x-gzip"
        assert len(gzip.decompress(saved.body)) > 1_000_000
        assert (await caller.ask(request("DELETE", "/v1/kv/?recurse"))).body == b"true"
        assert (await caller.ask(request("GET", "/v1/kv/k7"))).status == 404

        restored = await caller.ask(request("PUT", "/v1/snapshot", saved.body))

        assert (restored.status, restored.body) == (200, b"")
        reply = await caller.ask(request("GET", "/v1/kv/k7?raw"))
        assert reply.body == b"v" * 20_000

    play(scene)


def snapshot_of(state: bytes) -> bytes:
    with closing(pack([state], {"Index": 1}, Space("", 0))) as file:
        return file.rewind().read()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"garbage", "failed to decompress snapshot: gzip: invalid header: it is no gzip file"),
        (b"", "failed to decompress snapshot: EOF: the file is empty"),
        (snapshot_of(MAGIC) + b"x", "failed to decompress snapshot: gzip: invalid header: 1 bytes"),
        (
            snapshot_of(b"raft"),
            "failed to read snapshot file: state.bin was not written by Quorate",
        ),
        (snapshot_of(MAGIC), "failed to read snapshot file: state.bin: the snapshot is empty"),
        (snapshot_of(MAGIC + b"x"), "failed to read snapshot file: state.bin: the snapshot is cut"),
    ],
    ids=["garbage", "empty", "garbage behind", "of Consul", "no rows", "cut"],
)
def test_what_is_no_snapshot_is_refused_by_name_and_changes_nothing(body: bytes, why: str) -> None:
    async def scene(local: FakeLocal, _: ConsulServer, connect: Connect) -> None:
        caller = await connect()
        local.apply(KvSet(b"a", b"1"))
        reply = await caller.ask(request("PUT", "/v1/snapshot", body))
        assert reply.status == 500
        assert reply.text.startswith(why)
        assert reply.text.endswith("; nothing was changed")
        assert local.submitted == []

    play(scene)


@pytest.mark.parametrize("error", [InvariantError("a bug"), StorageError("corrupt", "damaged")])
def test_what_breaks_a_promise_reaches_the_node(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise error

    async def scene(local: FakeLocal, _: ConsulServer, connect: Connect) -> None:
        caller = await connect()
        local.is_held = True
        monkeypatch.setattr(local.lab.tables, "get", broken)
        caller.writer.write(request("GET", "/v1/kv/a?stale"))
        await local.is_asked.wait()
        with pytest.raises(type(error)):
            local.release()

    play(scene)
