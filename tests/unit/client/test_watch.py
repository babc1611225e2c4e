import asyncio

import pytest

from quorate.base.errors import PeerError, UnavailableError
from quorate.client import AsyncClient, KvEntry
from tests.unit.client.fakes import CUT, Node, Seen, Store, nodes, reply, until


def value(entry: KvEntry | None) -> bytes | None:
    return None if entry is None else entry.value


async def waits(node: Node, count: int) -> None:
    """Until the node has seen that many blocking reads."""
    await until(lambda: sum("index" in seen.query for seen in node.seen) >= count)


def test_a_watch_gives_the_state_now_and_then_each_change() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            watch = client.kv.watch("a")
            assert await anext(watch) is None
            for count, new in enumerate((b"1", b"2", None, b"3"), 1):
                state = asyncio.ensure_future(anext(watch))
                await waits(node, count)
                store.write("a", new)
                assert value(await state) == new

    asyncio.run(run())


def test_changes_between_two_looks_are_seen_as_the_last_one() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            watch = client.kv.watch("a")
            await anext(watch)
            for number in range(10):
                store.write("a", b"%d" % number)
            assert value(await anext(watch)) == b"9"

    asyncio.run(run())


def test_a_new_index_with_the_same_state_is_not_given() -> None:
    def script(seen: Seen) -> bytes:
        index = int(seen.query.get("index", "0")) + 1
        body = b"MQ==" if index < 5 else b"Mg=="
        row = b'[{"Key":"a","Value":"%s","ModifyIndex":%d}]' % (body, 1 if index < 5 else 5)
        return reply(200, row, {"X-Consul-Index": index})

    async def run() -> None:
        async with nodes(script) as [node], AsyncClient(node.address) as client:
            watch = client.kv.watch("a")
            assert value(await anext(watch)) == b"1"
            assert value(await anext(watch)) == b"2"

    asyncio.run(run())


def test_an_index_that_goes_back_begins_anew() -> None:
    replies = iter([(90, b"MQ=="), (3, b"Mg=="), (3, b"Mg=="), (4, b"Mw==")])

    def script(_: Seen) -> bytes:
        index, body = next(replies)
        row = b'[{"Key":"a","Value":"%s","ModifyIndex":%d}]' % (body, index)
        return reply(200, row, {"X-Consul-Index": index})

    async def run() -> None:
        async with nodes(script) as [node], AsyncClient(node.address) as client:
            watch = client.kv.watch("a")
            assert [value(await anext(watch)) for _ in range(3)] == [b"1", b"2", b"3"]
            asked = [seen.query.get("index") for seen in node.seen]
            assert asked == [None, "90", None, "3"]

    asyncio.run(run())


def test_a_watch_goes_on_at_another_node_where_it_was() -> None:
    async def run() -> None:
        store = Store()
        store.write("a", b"1")
        async with (
            nodes(store, store) as [dying, other],
            AsyncClient([dying.address, other.address]) as client,
        ):
            watch = client.kv.watch("a")
            assert value(await anext(watch)) == b"1"
            state = asyncio.ensure_future(anext(watch))
            await waits(dying, 1)
            await dying.stop()
            await waits(other, 1)
            store.write("a", b"2")
            assert value(await state) == b"2"
            assert other.seen[0].query["index"] == "2"

    asyncio.run(run())


def test_what_changed_while_no_node_could_be_asked_is_seen() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            watch = client.kv.watch("a")
            await anext(watch)
            await node.stop()
            store.write("a", b"1")
            await node.start()
            assert value(await anext(watch)) == b"1"

    asyncio.run(run())


def test_a_tree_is_watched_as_a_whole() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            watch = client.kv.watch_tree("t/")
            assert await anext(watch) == []
            store.write("t/b", b"2")
            store.write("t/a", b"1")
            assert [entry.key for entry in await anext(watch)] == ["t/a", "t/b"]

    asyncio.run(run())


def test_a_watch_gives_up_when_its_timeout_is_over_and_can_be_continued() -> None:
    async def run() -> None:
        async with nodes(CUT) as [node], AsyncClient(node.address) as client:
            watch = client.kv.watch("a", patience_s=0.24)
            with pytest.raises(UnavailableError):
                await anext(watch)
            node.script = Store()
            assert await anext(watch) is None

    asyncio.run(run())


def test_what_has_no_index_cannot_be_watched() -> None:
    async def run() -> None:
        bare = reply(404, headers={"X-Consul-Index": None})
        async with nodes(bare) as [node], AsyncClient(node.address) as client:
            with pytest.raises(PeerError, match="X-Consul-Index"):
                await anext(client.kv.watch("a"))

    asyncio.run(run())
