"""Snapshots that come: by disk, few at a time, ended when they stand still, nothing left behind."""

import asyncio
import gzip
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from quorate.base.errors import InvariantError
from quorate.gateways.http import archive
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.server import ConsulServer
from quorate.gateways.http.sharing import Shared, shared
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import FakeLocal, request, until
from tests.unit.gateways.test_server import Caller

HOST = "127.0.0.1"
LONG = request("PUT", "/v1/snapshot", bytes(300_000))


class Place:
    """A server with its clients."""

    def __init__(self, local: FakeLocal, server: ConsulServer, common: Shared) -> None:
        self.local = local
        self.server = server
        self.common = common
        self.callers: list[Caller] = []

    async def connect(self) -> Caller:
        self.callers.append(Caller(*await asyncio.open_connection(HOST, self.server.port)))
        return self.callers[-1]

    async def half(self) -> Caller:
        """A client that stops in the middle of its upload."""
        caller = await self.connect()
        before = self.common.snapshots.count
        caller.writer.write(LONG[:150_000])
        await until(lambda: self.common.snapshots.count > before)
        return caller


def play(scene: Callable[[Place], Awaitable[None]], config: HttpConfig) -> None:
    async def run() -> None:
        local, common = FakeLocal(), shared(config)
        server = ConsulServer(local, config, common)
        await server.start(HOST, 0)
        place = Place(local, server, common)
        try:
            await scene(place)
        finally:
            await server.stop()
            for caller in place.callers:
                caller.writer.close()

    asyncio.run(run())


def on(directory: Path, **more: int) -> HttpConfig:
    return HttpConfig(spool_dir=str(directory), free_bytes_min=0, **more)  # type: ignore[arg-type]


def open_files(directory: Path) -> int:
    """How many files in a directory this process has open, those without names included."""
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            found += str(path.readlink()).startswith(str(directory))
        except OSError:  # the one that listed them
            continue
    return found


def test_a_snapshot_too_long_for_memory_is_put_back_from_disk(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        rng = random.Random(1)
        for number in range(60):
            place.local.apply(KvSet(b"k%d" % number, rng.randbytes(20_000)))
        value = (await caller.ask(request("GET", "/v1/kv/k7?raw"))).body
        saved = (await caller.ask(request("GET", "/v1/snapshot"))).body
        assert len(saved) > 1_000_000
        assert (await caller.ask(request("DELETE", "/v1/kv/?recurse"))).body == b"true"

        for number in range(2):
            restored = await caller.ask(request("PUT", "/v1/snapshot", saved))
            assert (restored.status, restored.body) == (200, b""), number

        assert (await caller.ask(request("GET", "/v1/kv/k7?raw"))).body == value
        assert place.common.budget.held_bytes == 0
        assert place.common.snapshots.count == place.common.snapshots.saving == 0
        assert open_files(tmp_path) == 0

    play(scene, on(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_upload_in_chunks_goes_to_disk_too(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.writer.write(
            b"PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(50):
            caller.writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
        reply = await caller.ask(b"0\r\n\r\n")
        assert reply.status == 500
        assert reply.text.startswith("failed to decompress snapshot: ")
        assert place.local.submitted == []
        assert open_files(tmp_path) == 0

    play(scene, on(tmp_path))


def test_unfinished_uploads_hold_files_and_no_memory(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        for _ in range(2):
            await place.half()
        assert open_files(tmp_path) == 2
        await until(lambda: not place.common.budget.held_bytes)
        third = await place.connect()
        reply = await third.ask(LONG)
        assert reply.status == 429
        assert "2 snapshots are on their way" in reply.text
        assert reply.headers["Retry-After"] == "5"

    play(scene, on(tmp_path))


def test_an_upload_whose_client_goes_leaves_nothing(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        caller = await place.half()
        caller.writer.close()
        await until(lambda: place.common.snapshots.count + open_files(tmp_path) == 0)
        assert place.common.budget.held_bytes == 0

    play(scene, on(tmp_path))


def test_an_upload_that_stands_still_is_ended(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        caller = await place.half()
        for _ in range(place.server.config.body_timeout_s + 2):
            place.server.sweep()
        assert (await caller.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 408")
        await until(lambda: open_files(tmp_path) == 0)

    play(scene, on(tmp_path))


def test_an_upload_leaves_the_disk_its_reserve(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        reply = await caller.ask(LONG)
        assert (reply.status, reply.headers["X-Quorate-Error"]) == (500, "disk_full")
        assert (await (await place.connect()).ask(request("GET", "/v1/snapshot"))).status == 500
        assert place.common.snapshots.count == place.common.snapshots.saving == 0

    config = HttpConfig(spool_dir=str(tmp_path), free_bytes_min=2**60)
    play(scene, config)


def test_one_restore_at_a_time(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        first, second = await place.connect(), await place.connect()
        saved = (await first.ask(request("GET", "/v1/snapshot"))).body
        place.local.is_held = True
        first.writer.write(request("PUT", "/v1/snapshot", saved))
        await place.local.is_asked.wait()
        reply = await second.ask(request("PUT", "/v1/snapshot", saved))
        assert (reply.status, reply.headers["Retry-After"]) == (429, "5")
        place.local.release()
        assert (await first.reply()).status == 200
        assert (await second.ask(request("PUT", "/v1/snapshot", saved))).status == 200

    play(scene, on(tmp_path))


def test_few_snapshots_are_saved_at_a_time(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        place.common.snapshots.begin_save()
        place.common.snapshots.begin_save()
        reply = await (await place.connect()).ask(request("GET", "/v1/snapshot"))
        assert (reply.status, reply.headers["Retry-After"]) == (429, "5")
        place.common.snapshots.end_save()
        caller = await place.connect()
        assert (await caller.ask(request("GET", "/v1/snapshot"))).status == 200
        assert place.common.snapshots.saving == 1

    play(scene, on(tmp_path))


def test_a_snapshot_waits_for_a_batch_that_is_half_applied(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        tables = place.local.tables
        transaction = tables.begin()
        caller.writer.write(request("GET", "/v1/snapshot"))
        await until(lambda: len(place.common.slices) == 1)
        for _ in range(10):
            await asyncio.sleep(0)
        transaction.abort()
        reply = await caller.reply()
        assert reply.status == 200
        assert reply.body
        await until(lambda: place.common.snapshots.saving == 0)

    play(scene, on(tmp_path))


def test_a_client_that_goes_while_its_snapshot_waits_leaves_nothing(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        transaction = place.local.tables.begin()
        caller.writer.write(request("GET", "/v1/snapshot"))
        await until(lambda: place.common.snapshots.saving == 1)
        await place.server.stop(is_clean=False)
        await until(lambda: place.common.snapshots.saving == 0)
        transaction.abort()
        assert len(place.common.slices) == 0

    play(scene, on(tmp_path))


def test_a_bomb_is_refused_and_its_disk_given_back(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        bomb = gzip.compress(bytes(40_000_000), mtime=0)
        reply = await (await place.connect()).ask(request("PUT", "/v1/snapshot", bomb))
        assert reply.status == 500
        assert open_files(tmp_path) == 0
        assert not place.common.snapshots.is_restoring

    play(scene, on(tmp_path))


@pytest.mark.parametrize("error", [MemoryError(), InvariantError("x"), OSError(5, "io")])
def test_whatever_a_thread_raises_is_answered_and_the_places_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    async def scene(place: Place) -> None:
        reported: list[BaseException] = []
        place.common.slices.on_error = reported.append
        caller = await place.connect()
        saved = (await caller.ask(request("GET", "/v1/snapshot"))).body
        await until(lambda: place.common.snapshots.saving == 0)
        with monkeypatch.context() as patched:
            patched.setattr(archive, "pack", fail)
            assert (await caller.ask(request("GET", "/v1/snapshot"))).status == 500
            patched.setattr(archive, "unpack", fail)
            assert (await caller.ask(request("PUT", "/v1/snapshot", saved))).status == 500
        await until(lambda: place.common.snapshots.saving == 0)
        assert not place.common.snapshots.is_restoring
        assert place.local.faults == [error, error]
        assert reported == ([error, error] if isinstance(error, InvariantError) else [])
        assert (await caller.ask(request("PUT", "/v1/snapshot", saved))).status == 200

    play(scene, on(tmp_path))


def test_without_a_thread_a_snapshot_is_refused_and_the_places_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def scene(place: Place) -> None:
        caller = await place.connect()
        saved = (await caller.ask(request("GET", "/v1/snapshot"))).body
        with monkeypatch.context() as patched:
            patched.setattr(asyncio.get_running_loop(), "run_in_executor", fail)
            assert (await caller.ask(request("GET", "/v1/snapshot"))).status == 500
            assert (await caller.ask(request("PUT", "/v1/snapshot", saved))).status == 500
            assert (await caller.ask(LONG)).status == 500
        await until(lambda: place.common.snapshots.saving + place.common.snapshots.count == 0)
        assert not place.common.snapshots.is_restoring
        assert open_files(tmp_path) == 0

    play(scene, on(tmp_path))
