import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from quorate.base.errors import RequestError
from quorate.client import AsyncClient, Client, LockHeldError, LockLostError, SemaphoreError
from quorate.client.holding import LOCK_FLAG, LOST_S, RELEASE_S, SEMAPHORE_FLAG
from tests.unit.client import leaping
from tests.unit.client.fakes import (
    CUT,
    Answer,
    Node,
    Seen,
    Store,
    always,
    nodes,
    nodes_in_thread,
    until,
)


@asynccontextmanager
async def a_client(store: Store) -> AsyncGenerator[tuple[AsyncClient, Node], None]:
    async with nodes(store) as [node], AsyncClient(node.address) as client:
        yield client, node


Action = Callable[[Store, str], object]


def end(store: Store, own: str) -> None:
    store.end(store.rows[own].session)


def delete(store: Store, own: str) -> None:
    store.write(own, None)


def waits(node: Node) -> bool:
    """Somebody waits for room."""
    return any("index" in seen.query and "recurse" in seen.query for seen in node.seen)


def listed(store: Store) -> list[str]:
    """The sessions in the document."""
    return list(json.loads(store.rows["s/.lock"].value)["Holders"])


def test_as_many_as_the_limit_hold_it_at_once_and_it_leaves_nothing_behind() -> None:
    async def run() -> None:
        store = Store()
        async with a_client(store) as (client, _):
            async with client.semaphore("s", 2, value="me") as one:
                async with client.semaphore("s", 2) as two:
                    assert sorted(listed(store)) == sorted([one.session, two.session])
                    assert store.rows["s/.lock"].flags == SEMAPHORE_FLAG
                    own = store.rows[one.name]
                    assert (own.session, own.value, own.flags) == (one.session, b"me", LOCK_FLAG)
                    assert one.fence < two.fence == store.rows["s/.lock"].modified
                    with pytest.raises(LockHeldError, match="'s' was full for all of 0 s"):
                        await client.semaphore("s", 2, wait_s=0).acquire()
                assert listed(store) == [one.session]
                async with client.semaphore("s", 2, wait_s=0) as third:
                    assert third.fence > two.fence
            assert (store.rows, store.sessions) == ({}, {})

    asyncio.run(run())


def test_who_waits_enters_when_a_holder_leaves_or_ends() -> None:
    async def run() -> None:
        store = Store()
        async with a_client(store) as (client, node):
            for is_ended in (False, True):
                node.seen.clear()
                holder = client.semaphore("s", 1)
                held = await holder.acquire()
                waiting = asyncio.create_task(client.semaphore("s", 1, wait_s=30).acquire())
                await until(lambda: waits(node))
                assert not waiting.done()
                if is_ended:  # as after a crash: the document still lists it
                    store.end(held.session)
                else:
                    await holder.release()
                other = await waiting
                assert listed(store) == [other.session]
                store.end(other.session)
                store.write("s/.lock", None)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("document", "limit", "text"),
    [
        (b'{"Limit":3,"Holders":{}}', 3, "s/.lock has limit 3, not 2"),
        (b"mine", 0, "s/.lock is no semaphore: "),
        (b'{"a":' * 100_000, 0, "s/.lock is no semaphore: "),
    ],
)
def test_a_document_of_another_kind_is_refused_and_left_alone(
    document: bytes, limit: int, text: str
) -> None:
    async def run() -> None:
        store = Store()
        store.write("s/.lock", document)
        async with a_client(store) as (client, _):
            with pytest.raises(SemaphoreError) as caught:
                await client.semaphore("s", 2).acquire()
            assert caught.value.text.startswith(text)
            assert (caught.value.limit, caught.value.code) == (limit, "precondition")
            assert store.sessions == {}
            assert store.rows["s/.lock"].value == document
            assert list(store.rows) == ["s/.lock"]

    asyncio.run(run())


def test_a_holder_whose_session_ends_loses_it() -> None:
    async def run() -> None:
        store = Store()
        async with a_client(store) as (client, _):

            async def hold() -> None:
                async with client.semaphore("s", 2) as held:
                    store.end(held.session)
                    await asyncio.Event().wait()

            with pytest.raises(LockLostError):
                await hold()
            assert store.rows == {}

    asyncio.run(run())


@pytest.mark.parametrize("action", [end, delete], ids=["its session ends", "its key is deleted"])
def test_who_loses_its_own_key_while_it_waits_goes_on_waiting_with_another(action: Action) -> None:
    async def run() -> None:
        store = Store()
        reasons: list[str] = []
        async with a_client(store) as (client, node):
            holder = client.semaphore("s", 1)
            first = await holder.acquire()
            node.seen.clear()
            waiting = client.semaphore("s", 1, on_lost=reasons.append)
            task = asyncio.create_task(waiting.acquire())
            await until(lambda: waits(node))
            [own] = set(store.rows) - {"s/.lock", first.name}
            action(store, own)
            await until(lambda: own not in store.rows and len(store.rows) == 3)
            await holder.release()
            held = await task
            assert (listed(store), reasons) == ([held.session], [])
            await waiting.release()
            assert (store.rows, store.sessions) == ({}, {})

    asyncio.run(run())


def test_of_two_tasks_that_take_one_object_at_the_same_time_one_is_refused() -> None:
    async def run() -> None:
        store = Store()
        async with a_client(store) as (client, _):
            one = client.semaphore("s", 5)
            results = await asyncio.gather(one.acquire(), one.acquire(), return_exceptions=True)
            assert sorted(type(result).__name__ for result in results) == ["Held", "RequestError"]
            await one.release()
            assert (store.rows, store.sessions) == ({}, {})

    asyncio.run(run())


def test_a_release_by_another_task_changes_nothing_for_one_that_waits_and_two_are_one() -> None:
    async def run() -> None:
        store = Store()
        async with a_client(store) as (client, node):
            holder = client.semaphore("s", 1)
            await holder.acquire()
            node.seen.clear()
            waiting = client.semaphore("s", 1)
            task = asyncio.create_task(waiting.acquire())
            await until(lambda: waits(node))
            await waiting.release()
            await asyncio.gather(holder.release(), holder.release())
            held = await task
            assert listed(store) == [held.session]
            await waiting.release()
            assert (store.rows, store.sessions) == ({}, {})

    asyncio.run(run())


@pytest.mark.parametrize("is_lost", [False, True])
def test_leaving_takes_no_longer_than_a_release_though_the_cluster_is_silent(
    is_lost: bool,
) -> None:
    async def work() -> None:
        store = Store()
        async with a_client(store) as (client, node):
            loop = asyncio.get_running_loop()
            semaphore = client.semaphore("s", 2)
            held = await semaphore.acquire()
            if is_lost:
                delete(store, held.name)
                await until(lambda: held.is_lost)
            node.script = always(None)
            begun_s = loop.time()
            await semaphore.release()
            assert loop.time() - begun_s <= (LOST_S if is_lost else RELEASE_S) + 0.2

    leaping.run(work())


def test_one_object_is_held_again_and_not_twice_at_once() -> None:
    async def run() -> None:
        store = Store()
        async with a_client(store) as (client, _):
            semaphore = client.semaphore("s", 5)
            first = await semaphore.acquire()
            with pytest.raises(RequestError, match="in use"):
                await semaphore.acquire()
            assert store.rows[first.name].session == first.session
            await semaphore.release()
            second = await semaphore.acquire()
            assert second.name != first.name
            await semaphore.release()
            assert (store.rows, store.sessions) == ({}, {})

    asyncio.run(run())


@pytest.mark.parametrize(("prefix", "limit"), [("", 1), ("s", 0)])
def test_arguments_out_of_range_are_refused(prefix: str, limit: int) -> None:
    client = AsyncClient("127.0.0.1:1")
    with pytest.raises(RequestError):
        client.semaphore(prefix, limit)


def test_the_sync_client_has_semaphores_too() -> None:
    store = Store()
    with nodes_in_thread(store) as [node], Client(node.address) as client:
        with client.semaphore("s", 1) as held:
            assert listed(store) == [held.session]
            with pytest.raises(LockHeldError):
                client.semaphore("s", 1, wait_s=0).acquire()
        assert (store.rows, store.sessions) == ({}, {})


def is_document(seen: Seen) -> bool:
    return seen.method == "PUT" and seen.path.endswith("/.lock")


def test_a_fence_is_that_of_the_entry_though_its_reply_comes_late() -> None:
    async def run() -> None:
        store = Store()
        late: list[tuple[asyncio.Future[bytes], bytes]] = []

        def script(seen: Seen) -> Answer:
            answer = store(seen)
            if is_document(seen) and not late:
                assert isinstance(answer, bytes)
                late.append((asyncio.get_running_loop().create_future(), answer))
                return late[0][0]
            return answer

        async with (
            nodes(script) as [node],
            AsyncClient(node.address) as first,
            AsyncClient(node.address) as second,
        ):
            entering = asyncio.create_task(first.semaphore("s", 3).acquire())
            await until(lambda: bool(late))
            after = await second.semaphore("s", 3).acquire()
            late[0][0].set_result(late[0][1])
            before = await entering
            assert before.fence < after.fence

    asyncio.run(run())


def test_after_an_entry_of_unknown_outcome_the_fence_is_that_of_another_entry() -> None:
    """Others entered since, so the index of the document is theirs."""

    async def run() -> None:
        store = Store()
        writes: list[Seen] = []
        others: list[int] = []

        def script(seen: Seen) -> Answer:
            answer = store(seen)
            if is_document(seen):
                writes.append(seen)
            if is_document(seen) and len(writes) == 1:
                document = json.loads(store.rows["s/.lock"].value)
                store.sessions["other"] = {}
                store.write("s/other", b"", session="other", flags=LOCK_FLAG)
                document["Holders"]["other"] = True
                store.write("s/.lock", json.dumps(document).encode(), flags=SEMAPHORE_FLAG)
                others.append(store.rows["s/.lock"].modified)
                return CUT
            return answer

        async with nodes(script) as [node], AsyncClient(node.address) as client:
            held = await client.semaphore("s", 3).acquire()
            assert held.fence == store.rows["s/.lock"].modified > others[0]
            assert sorted(listed(store)) == sorted([held.session, "other"])

    asyncio.run(run())


@pytest.mark.parametrize("count", range(1, 8))
def test_a_release_that_is_cancelled_ends_the_hold_all_the_same(count: int) -> None:
    """Whichever request it waits for: nothing renews the session from then on."""

    async def run() -> None:
        store = Store()
        async with a_client(store) as (client, node):
            semaphore = client.semaphore("s", 1, ttl_s=10)
            await semaphore.acquire()
            node.seen.clear()
            node.script = lambda seen: store(seen) if len(node.seen) < count else None
            release = asyncio.create_task(semaphore.release())
            await until(lambda: len(node.seen) >= count or release.done())
            is_cancelled = release.cancel()
            node.script = store
            if is_cancelled:
                with pytest.raises(asyncio.CancelledError):
                    await release
            renewals = [task for task in asyncio.all_tasks() if "renew" in repr(task).lower()]
            assert renewals == []
            await semaphore.release()  # nothing is held any more
            async with semaphore:
                assert len(listed(store)) == 1

    asyncio.run(run())


def test_a_holder_that_crashes_leaves_no_key_behind() -> None:
    async def run() -> None:
        store = Store()
        async with a_client(store) as (client, _):
            held = await client.semaphore("s", 2).acquire()
            assert store.sessions[held.session]["Behavior"] == "delete"
            store.end(held.session)  # by its TTL
            async with client.semaphore("s", 2):
                pass
            assert store.rows == {}

    asyncio.run(run())
