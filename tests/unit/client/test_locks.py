import asyncio
from collections.abc import Callable

import pytest

from quorate.base.errors import RequestError, UnavailableError
from quorate.client import AsyncClient, Held, LockHeldError, LockLostError
from quorate.client.holding import LOCK_FLAG
from tests.unit.client import leaping
from tests.unit.client.fakes import CUT, Answer, Node, Seen, Store, nodes, refusal, until


async def contender(node: Node) -> None:
    """Until somebody waits for a key to become free."""
    await until(lambda: any("index" in seen.query for seen in node.seen))


def end(store: Store) -> None:
    store.end(store.rows["l"].session)


def delete(store: Store) -> None:
    store.write("l", None)


def steal(store: Store) -> None:
    store.write("l", b"", session="theirs")


def test_a_lock_holds_its_key_inside_and_only_inside() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            async with client.lock("l", value=b"me") as held:
                row = store.rows["l"]
                assert (row.session, row.value, row.flags) == (held.session, b"me", LOCK_FLAG)
                assert held.fence == row.modified
                held.check()
            assert store.rows["l"].session == ""
            assert store.rows["l"].flags == LOCK_FLAG
            assert store.sessions == {}

    asyncio.run(run())


def test_a_lock_is_had_when_the_other_releases_it_with_a_higher_fence() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            fences: list[int] = []

            async def hold() -> None:
                async with client.lock("l") as held:
                    fences.append(held.fence)

            async with client.lock("l") as held:
                fences.append(held.fence)
                other = asyncio.create_task(hold())
                await contender(node)
                assert len(fences) == 1
            await other
            assert fences[1] > fences[0]

    asyncio.run(run())


def test_a_lock_that_stays_taken_is_given_up_and_its_session_too() -> None:
    async def run() -> None:
        store = Store()
        store.write("l", b"", session="theirs")
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            with pytest.raises(LockHeldError, match="session theirs holds it"):
                await client.lock("l", wait_s=0).acquire()
            assert store.sessions == {}

    asyncio.run(run())


def test_a_key_that_is_free_but_refused_is_tried_again() -> None:
    async def run() -> None:
        store = Store()
        refusals = 2

        def delayed(seen: Seen) -> Answer:
            nonlocal refusals
            if "acquire" in seen.query and refusals:
                refusals -= 1
                return b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfalse"
            return store(seen)

        async with (
            nodes(delayed) as [node],
            AsyncClient(node.address) as client,
            client.lock("l") as held,
        ):
            assert store.rows["l"].session == held.session

    asyncio.run(run())


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (end, "session has ended"),
        (delete, "deleted"),
        (steal, "theirs holds it"),
    ],
)
def test_a_lost_lock_cancels_the_body_and_says_why(
    action: Callable[[Store], object], why: str
) -> None:
    async def run() -> None:
        store = Store()
        reasons: list[str] = []
        async with nodes(store) as [node], AsyncClient(node.address) as client:

            async def hold() -> None:
                async with client.lock("l", on_lost=reasons.append):
                    action(store)
                    await asyncio.Event().wait()

            with pytest.raises(LockLostError, match=why) as caught:
                await hold()
            assert caught.value.code == "stale_fence"
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
            assert len(reasons) == 1
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    asyncio.run(run())


def test_a_lock_whose_session_cannot_be_renewed_is_lost_before_its_ttl() -> None:
    async def run() -> None:
        store = Store()
        is_dead = False

        def script(seen: Seen) -> Answer:
            return None if is_dead else store(seen)

        async with nodes(script) as [node], AsyncClient(node.address) as client:
            loop = asyncio.get_running_loop()
            begun_s = loop.time()
            lock = client.lock("l", ttl_s=0.5)
            held = await lock.acquire()
            is_dead = True
            await until(lambda: held.is_lost)
            assert loop.time() - begun_s <= 0.5
            with pytest.raises(LockLostError, match="could not be renewed"):
                held.check()
            is_dead = False
            await lock.release()

    asyncio.run(run())


def test_a_held_lock_is_renewed() -> None:
    async def run() -> None:
        store = Store()
        async with (
            nodes(store) as [node],
            AsyncClient(node.address) as client,
            client.lock("l", ttl_s=0.15) as held,
        ):
            await until(lambda: store.renewals >= 4)
            held.check()

    asyncio.run(run())


def test_a_body_that_ends_after_the_loss_gets_the_error() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:

            async def hold() -> None:
                async with client.lock("l") as held:
                    store.end(held.session)
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        assert held.is_lost

            with pytest.raises(LockLostError):
                await hold()

    asyncio.run(run())


def test_an_error_of_the_body_comes_through_and_the_lock_is_released() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            with pytest.raises(ZeroDivisionError):
                async with client.lock("l"):
                    raise ZeroDivisionError
            assert store.rows["l"].session == ""

    asyncio.run(run())


def test_a_cancellation_from_outside_stays_one_and_the_lock_is_released() -> None:
    async def run() -> None:
        store = Store()
        inside = asyncio.Event()

        async def hold(client: AsyncClient) -> None:
            async with client.lock("l"):
                inside.set()
                await asyncio.Event().wait()

        async with nodes(store) as [node], AsyncClient(node.address) as client:
            task = asyncio.create_task(hold(client))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert store.rows["l"].session == ""
            assert store.sessions == {}

    asyncio.run(run())


def test_a_session_that_ends_while_waiting_is_replaced() -> None:
    async def run() -> None:
        store = Store()
        store.write("l", b"", session="theirs")
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            waiting = asyncio.create_task(client.lock("l").acquire())
            await contender(node)
            store.sessions.clear()
            store.end("theirs")
            held: Held = await waiting
            assert store.rows["l"].session == held.session
            assert held.session in store.sessions

    asyncio.run(run())


def test_one_lock_object_is_held_once_at_a_time() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            lock = client.lock("l")
            async with lock:
                with pytest.raises(RequestError, match="in use"):
                    await lock.acquire()
            async with lock:
                pass

    asyncio.run(run())


def test_of_two_tasks_that_take_one_lock_object_at_the_same_time_one_is_refused() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            lock = client.lock("l")
            results = await asyncio.gather(lock.acquire(), lock.acquire(), return_exceptions=True)
            [held] = [result for result in results if isinstance(result, Held)]
            [error] = [result for result in results if isinstance(result, RequestError)]
            assert "in use" in error.text
            assert store.rows["l"].session == held.session
            await lock.release()
            assert store.sessions == {}
            async with lock:
                pass

    asyncio.run(run())


def test_a_release_changes_nothing_for_a_task_that_waits_for_the_same_lock_object() -> None:
    async def run() -> None:
        store = Store()
        store.write("l", b"", session="theirs")
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            lock = client.lock("l")
            waiting = asyncio.create_task(lock.acquire())
            await contender(node)
            await lock.release()
            store.end("theirs")
            held = await waiting
            assert store.rows["l"].session == held.session
            await lock.release()

    asyncio.run(run())


@pytest.mark.parametrize("answer", [CUT, None])
def test_a_release_of_unknown_outcome_still_ends_the_session(answer: Answer) -> None:
    async def work() -> None:
        store = Store()

        def script(seen: Seen) -> Answer:
            return answer if "release" in seen.query else store(seen)

        async with nodes(script) as [node], AsyncClient(node.address) as client:
            async with client.lock("l"):
                pass
            assert store.sessions == {}
            assert store.rows["l"].session == ""

    leaping.run(work())


def test_a_callback_that_fails_is_reported_and_the_session_is_ended_all_the_same() -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            lock = client.lock("l", on_lost=fail)
            held = await lock.acquire()
            delete(store)
            await until(lambda: held.is_lost)
            with pytest.raises(ZeroDivisionError):
                await lock.release()
            assert store.sessions == {}
            await lock.acquire()
            await lock.release()

    asyncio.run(run())


def test_a_refusal_of_a_lock_whose_name_speaks_of_sessions_is_not_an_ended_session() -> None:
    async def run() -> None:
        store = Store()

        def script(seen: Seen) -> Answer:
            if "acquire" in seen.query:
                return refusal(400, "bad_request", "no")
            return store(seen)

        async with nodes(script) as [node], AsyncClient(node.address) as client:
            with pytest.raises(RequestError, match="no"):
                await client.lock("invalid session").acquire()

    asyncio.run(run())


def test_a_session_that_ends_while_the_reply_to_its_acquire_is_lost_is_replaced() -> None:
    async def run() -> None:
        store = Store()
        lost: list[str] = []

        def script(seen: Seen) -> Answer:
            if "acquire" in seen.query and not lost:
                lost.append(seen.query["acquire"])
                store(seen)
                store.end(lost[0])
                return CUT
            return store(seen)

        async with (
            nodes(script) as [node],
            AsyncClient(node.address) as client,
            client.lock("l") as held,
        ):
            assert store.rows["l"].session == held.session
            assert [held.session] != lost

    asyncio.run(run())


def test_a_lock_had_after_its_session_could_not_be_renewed_is_taken_anew() -> None:
    async def work() -> None:
        store = Store()
        loop = asyncio.get_running_loop()
        answer_s = loop.time() + 14.0  # when the reply to the first session's acquire comes
        first = ""

        def script(seen: Seen) -> Answer:
            nonlocal first
            first = first or seen.query.get("acquire", "")
            if "renew" in seen.path and first in seen.path:
                return None
            if first and seen.query.get("acquire") == first:
                answer: asyncio.Future[bytes] = loop.create_future()
                taken = store(seen)
                assert isinstance(taken, bytes)
                loop.call_at(answer_s, answer.set_result, taken)
                return answer
            return store(seen)

        async with nodes(script) as [node], AsyncClient(node.address) as client:
            reasons: list[str] = []
            held = await client.lock("l", ttl_s=15.0, on_lost=reasons.append).acquire()
            assert held.session != first
            assert store.rows["l"].session == held.session
            assert not held.is_lost
            assert reasons == []

    leaping.run(work())


def test_a_cluster_that_answers_nothing_gives_no_lock() -> None:
    async def run() -> None:
        broken = refusal(500, "too_few_nodes", "one is left")
        async with nodes(broken) as [node], AsyncClient(node.address) as client:
            with pytest.raises(UnavailableError, match="one is left"):
                await client.lock("l").acquire()

    asyncio.run(run())


def test_an_election_shows_all_who_leads_and_when_none_does() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            election = client.election("e", b"ann:9000")
            seen = election.observe()
            assert await anext(seen) is None
            async with election as leading:
                leader = await anext(seen)
                assert leader is not None
                assert (leader.value, leader.session) == (b"ann:9000", leading.session)
                assert await client.election("e", b"").leader() == leader
            assert await anext(seen) is None
            assert await election.leader() is None

    asyncio.run(run())
