"""Accepting with real sockets: never more connections than there may be, and no end by EMFILE."""

import asyncio
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from itertools import count
from time import monotonic
from typing import cast

import pytest
import uvloop

from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.server import ConsulServer
from quorate.gateways.http.sharing import shared
from quorate.httpserver.budget import Budget
from quorate.httpserver.listener import Served
from quorate.net.listening import listeners
from tests.unit.gateways.harness import FakeLocal, parsed, request, until

HOST = "127.0.0.1"
ASK = request("GET", "/v1/status/leader")
Scene = Callable[[ConsulServer, Budget], Awaitable[None]]


def play(scene: Scene, config: HttpConfig | None = None) -> list[str]:
    """Run a scene with a server; returns what it logged."""
    logged: list[str] = []

    def note(what: str, **_: object) -> None:
        logged.append(what)

    async def run() -> None:
        common = shared(config or HttpConfig())
        server = ConsulServer(FakeLocal(), config or HttpConfig(), common, note)
        await server.start(HOST, 0)
        try:
            await scene(server, common.budget)
        finally:
            await server.stop()

    uvloop.run(run())
    return logged


async def opened(server: ConsulServer, host: str = HOST) -> socket.socket:
    """A client's socket, connected; made by hand, as the loop's helpers need descriptors."""
    client = socket.socket()
    client.setblocking(False)
    client.bind((host, 0))
    await asyncio.get_running_loop().sock_connect(client, (HOST, server.port))
    return client


async def status(client: socket.socket, ask: bytes = ASK) -> int:
    loop = asyncio.get_running_loop()
    if ask:
        await loop.sock_sendall(client, ask)
    return parsed(await loop.sock_recv(client, 65536))[0].status


@contextmanager
def none_left() -> Generator[None]:
    """This process gets no further descriptor meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_of_all_clients_together_are_limited() -> None:
    async def scene(server: ConsulServer, budget: Budget) -> None:
        clients = [await opened(server, f"127.0.3.{number}") for number in range(1, 4)]
        assert [await status(client) for client in clients] == [200] * 3
        late = await opened(server, "127.0.3.9")
        assert await status(late, b"") == 429
        late.close()
        clients[0].close()
        await until(lambda: budget.connections < 3)
        late = await opened(server, "127.0.3.9")
        assert await status(late) == 200
        for client in (late, *clients):
            client.close()

    play(scene, HttpConfig(connections_max=3))


def test_without_descriptors_clients_are_refused_and_later_served_again() -> None:
    async def scene(server: ConsulServer, budget: Budget) -> None:
        old = await opened(server)
        assert await status(old) == 200
        waiting = socket.socket()
        waiting.setblocking(False)
        with none_left():
            await asyncio.get_running_loop().sock_connect(waiting, (HOST, server.port))
            assert await status(waiting, b"") == 429
            assert await status(old) == 200
        waiting.close()
        new = await opened(server)
        assert await status(new) == 200
        server.tick = 9
        server.sweep()
        old.close()
        new.close()
        assert budget.counters.accepts_failed > 0

    logged = play(scene)
    assert [what for what in logged if "no file descriptor" in what]


@pytest.mark.parametrize("what", ["late", "waiting for memory"])
def test_thousands_whose_turn_it_is_do_not_come_in_one_turn_of_the_loop(what: str) -> None:
    class Client:
        due = 1 if what == "late" else 0

        def expire(self) -> None:
            self.due = 0
            done.append(self)

        def go_on(self) -> None:
            done.append(self)

    done: list[Client] = []

    async def scene(server: ConsulServer, _: Budget) -> None:
        for client in (cast(Served, Client()) for _ in range(500)):
            assert server.admit(client, HOST)
            if what != "late":
                server.wait_for_memory(client)
        gone = cast(Served, Client())  # it waited, and closed its connection since
        server.wait_for_memory(gone)
        most = before = 0
        steps, turns = server.slices._call_soon, list[Callable[[], None]]()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        server.slices._call_soon = turns.append  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        server.slices.clock = count().__next__  # each look is past the end of the turn
        server.sweep()
        assert not done
        while turns:
            turns.pop()()
            most, before = max(most, len(done) - before), len(done)
        assert len(done) == 500
        assert most < 50
        server.slices._call_soon, server.slices.clock = steps, monotonic  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        server._connections.clear()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    play(scene, HttpConfig(connections_per_client_max=1_000))


def test_without_even_the_descriptor_held_back_accepting_goes_on_by_itself() -> None:
    async def scene(server: ConsulServer, budget: Budget) -> None:
        clients = [socket.socket() for _ in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # what is closed is not had again
        try:
            for client in clients:
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, (HOST, server.port))
            await until(lambda: budget.counters.accepts_failed)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [await status(client) for client in clients] == [200] * 3
        for client in clients:
            client.close()

    play(scene)


def test_a_port_that_is_taken_is_reported() -> None:
    async def run() -> None:
        (first,) = await listeners(HOST, 0)
        with first, pytest.raises(OSError, match="in use"):
            await listeners(HOST, first.getsockname()[1])

    asyncio.run(run())
