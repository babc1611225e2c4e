"""Clients in child processes, in other loops, in other threads, pickled, and at exit."""

import asyncio
import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from quorate import AsyncClient, Client, Paxos
from quorate.base.errors import OutcomeUnknownError, RequestError, UnavailableError
from quorate.client import LockHeldError, LockLostError
from tests.unit.client.fakes import Node, Seen, Store, nodes, nodes_in_thread, reply, until


def echo(seen: Seen) -> bytes:
    """A node whose every key has its own name as value."""
    return reply(200, seen.path.removeprefix("/v1/kv/").encode())


def in_child(work: Callable[[], object]) -> Any:
    """What this returns in a forked child; an error is raised here."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are other threads: on purpose
        child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            try:
                result: object = (None, work())
            except Exception as caught:  # noqa: BLE001 - it is raised again in the parent
                result = (caught, None)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(result, pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        error, value = pickle.load(pipe)
    os.waitpid(child, 0)
    if error is not None:
        raise error
    return value


# --- connections --------------------------------------------------------------------------------


def test_a_child_makes_connections_of_its_own_and_leaves_the_parents_alone() -> None:
    with nodes_in_thread(echo) as [node], Client(node.address) as client:
        assert client.kv.read("a") == b"a"
        (ours,) = node.connections

        def work() -> tuple[bytes | None, int]:
            value = client.kv.read("b")
            client.close()
            return value, os.getpid()

        value, pid = in_child(work)
        assert (value, pid != os.getpid()) == (b"b", True)
        assert client.kv.read("c") == b"c"
        assert ours in node.connections  # closing in the child did not hang up for us
        assert ours.requests == 2


def test_children_and_parent_at_the_same_time_get_right_answers() -> None:
    keys = "abcd"

    def wrong(key: str) -> list[bytes | None]:
        found = (client.kv.read(key) for _ in range(50))
        return [value for value in found if value != key.encode()]

    with nodes_in_thread(echo) as [node], Client(node.address) as client:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(client.kv.read, keys * 20))  # many connections to inherit
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(in_child, [partial(wrong, key) for key in keys])) == [[]] * 4


def test_a_mutex_that_a_thread_of_the_parent_holds_does_not_stop_the_child() -> None:
    is_over = threading.Event()

    def read_on() -> None:
        while not is_over.is_set():
            client.kv.read("x")

    with nodes_in_thread(echo) as [node], Client(node.address) as client:
        threads = [threading.Thread(target=read_on) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                assert in_child(lambda: client.kv.read("y")) == b"y"
        finally:
            is_over.set()
            for thread in threads:
                thread.join()


def test_a_watch_goes_on_in_parent_and_child_each_for_itself() -> None:
    store = Store()
    store.write("a", b"1")
    with nodes_in_thread(store) as [node], Client(node.address) as client:
        watch = client.kv.watch("a")
        next(watch)
        client.kv.put("a", b"2")

        def value() -> bytes | None:
            entry = next(watch)
            return None if entry is None else entry.value

        assert in_child(value) == b"2"
        assert value() == b"2"


def read_in_process(client: Client, key: str) -> bytes | None:
    """For `multiprocessing`, which must be able to import it."""
    return client.kv.read(key)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_client_can_be_handed_to_a_process_however_it_is_started(method: str) -> None:
    with nodes_in_thread(echo) as [node], Client(node.address) as client:
        client.kv.read("a")
        with (
            warnings.catch_warnings(action="ignore", category=DeprecationWarning),
            multiprocessing.get_context(method).Pool(1) as pool,
        ):
            assert pool.apply(read_in_process, (client, "b")) == b"b"
        assert client.kv.read("c") == b"c"


# --- locks --------------------------------------------------------------------------------------


def test_a_child_does_not_hold_the_lock_of_its_parent_and_cannot_end_it() -> None:
    store = Store()
    with nodes_in_thread(store) as [node], Client(node.address) as client:
        lock = client.lock("l")
        with lock as held:

            def work() -> str:
                assert held.is_lost
                with pytest.raises(LockLostError, match="forked"):
                    held.check()
                assert "parent" in repr(lock)
                lock.release()
                with pytest.raises(LockHeldError):
                    client.lock("l", wait_s=0).acquire()
                return repr(held)

            assert "lost" in str(in_child(work))
            held.check()
            assert store.rows["l"].session == held.session
        assert store.sessions == {}


def test_a_child_that_leaves_the_block_gets_an_error_and_ends_nothing() -> None:
    store = Store()
    with nodes_in_thread(store) as [node], Client(node.address) as client:
        lock = client.election("e", "parent")
        held = lock.acquire()

        def work() -> None:
            lock.__exit__(None, None, None)

        with pytest.raises(LockLostError, match="forked"):
            in_child(work)
        held.check()
        assert held.session in store.sessions
        lock.release()
        assert store.sessions == {}


def test_a_child_can_take_the_same_lock_when_the_parent_gives_it_back() -> None:
    store = Store()
    with nodes_in_thread(store) as [node], Client(node.address) as client:
        lock = client.lock("l")
        first = lock.acquire()
        lock.release()

        def work() -> tuple[int, bool]:
            with lock as held:
                return held.fence, held.is_lost

        fence, is_lost = in_child(work)
        assert fence > first.fence
        assert not is_lost


# --- the async client ---------------------------------------------------------------------------


def test_an_async_client_works_in_a_forked_child_on_a_loop_of_its_own() -> None:
    async def in_parent(node: Node) -> None:
        async with AsyncClient(node.address) as client:
            assert await client.kv.read("a") == b"a"
            async with client.lock("l") as held:

                async def read() -> tuple[bytes | None, bool]:
                    return await client.kv.read("b"), held.is_lost

                assert in_child(lambda: asyncio.run(read())) == (b"b", True)
                held.check()
            assert await client.kv.read("c") == b"c"

    store = Store()

    def script(seen: Seen) -> Any:
        if seen.path.startswith("/v1/kv/") and seen.method == "GET" and seen.path[-1] in "abc":
            return echo(seen)
        return store(seen)

    with nodes_in_thread(script) as [node]:
        asyncio.run(in_parent(node))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_async_client_begins_anew_when_its_loop_is_closed() -> None:
    async def read(client: AsyncClient, key: str) -> bytes | None:
        return await client.kv.read(key)

    def use(client: AsyncClient) -> None:
        assert [asyncio.run(read(client, key)) for key in "abc"] == [b"a", b"b", b"c"]
        asyncio.run(client.close())

    with nodes_in_thread(echo) as [node]:
        use(AsyncClient(node.address))
        gc.collect()  # asyncio warns that the loops were closed before the connections


def test_an_async_client_of_another_open_loop_says_so() -> None:
    with nodes_in_thread(echo) as [node]:
        client = AsyncClient(node.address)

        async def read() -> None:
            await client.kv.read("a")

        async def use_in_thread() -> None:
            await read()
            with pytest.raises(RequestError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, read())
            await client.close()

        asyncio.run(use_in_thread())


def test_an_async_client_without_a_loop_says_so() -> None:
    call = AsyncClient("127.0.0.1:1").kv.read("a")
    with pytest.raises(RequestError, match=r"running event loop.*Client"):
        call.send(None)


# --- copies -------------------------------------------------------------------------------------


def pickled(client: Client) -> Client:
    copy: Client = pickle.loads(pickle.dumps(client))
    return copy


def deeply_copied(client: Client) -> Client:
    return copy.deepcopy(client)


@pytest.mark.parametrize("copy", [pickled, deeply_copied])
def test_a_pickled_or_copied_client_has_the_same_settings_and_its_own_connections(
    copy: Callable[[Client], Client],
) -> None:
    with nodes_in_thread(echo) as [node], Client(node.address, token="t0k") as client:
        client.kv.read("a")
        with copy(client) as other:
            assert other.kv.read("b") == b"b"
        assert client.kv.read("c") == b"c"
        assert [seen.headers["X-Consul-Token"] for seen in node.seen] == ["t0k"] * 3


def test_what_belongs_to_a_process_cannot_be_pickled_and_says_so() -> None:
    with nodes_in_thread(Store()) as [node], Client(node.address) as client:
        lock = client.lock("l")
        assert "l" in repr(pickle.loads(pickle.dumps(lock)))
        with lock as held:
            for one in (lock, held):
                with pytest.raises(TypeError, match="fence"):
                    pickle.dumps(one)
        with pytest.raises(TypeError, match="watch"):
            pickle.dumps(client.kv.watch("a"))


# --- ends ---------------------------------------------------------------------------------------


def test_whatever_is_used_after_the_close_says_that_the_client_was_closed() -> None:
    with nodes_in_thread(Store()) as [node]:
        client = Client(node.address)
        watch = client.kv.watch("a")
        client.close()
        client.close()
        uses: list[Callable[[], object]] = [
            lambda: client.kv.get("a"),
            lambda: client.kv.put("a", b""),
            lambda: client.lock("l").acquire(),
            lambda: client.txn().get("a").commit(),
            lambda: next(watch),
            client.session.create,
            client.status.leader,
            lambda: Paxos(client).decide("p"),
        ]
        for use in uses:
            with pytest.raises(UnavailableError, match="closed"):
                use()


def test_a_closed_async_client_says_so_and_closing_in_another_loop_is_harmless() -> None:
    async def run() -> None:
        async with nodes(None) as [node]:
            client = AsyncClient(node.address)
            waiting = asyncio.create_task(client.kv.put("a", b"1"))
            await until(lambda: bool(node.seen))
            await asyncio.to_thread(asyncio.run, client.close())
            with pytest.raises(OutcomeUnknownError, match="closed"):
                await waiting
            with pytest.raises(UnavailableError, match="closed"):
                await client.kv.get("a")

    asyncio.run(run())


def test_a_program_that_ends_with_a_lock_held_ends_at_once_and_without_noise() -> None:
    program = """
        import sys
        from quorate import Client
        client = Client(sys.argv[1])
        held = client.lock("l").acquire()
        print(client.kv.read("x"), held.is_lost)
    """
    with nodes_in_thread(Store()) as [node]:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program), node.address],
            capture_output=True,
            check=False,
            text=True,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None False\n", "")
