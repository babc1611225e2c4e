import asyncio
import json

import pytest

from quorate.base.errors import PeerError, RequestError
from quorate.client import AsyncClient, KvEntry
from tests.unit.client.fakes import Seen, Store, nodes, reply


def test_what_is_put_is_got_with_all_its_parts() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            index = await client.kv.put("a/b", b"\x00\xff", flags=2**64 - 1)
            assert await client.kv.get("a/b") == KvEntry(
                "a/b", b"\x00\xff", 2**64 - 1, index, index
            )
            assert await client.kv.get("none") is None

    asyncio.run(run())


def test_an_empty_value_is_a_value() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            await client.kv.put("a", b"")
            entry = await client.kv.get("a")
            assert entry is not None
            assert entry.value == b""

    asyncio.run(run())


def test_a_lost_cas_is_an_answer_and_a_won_one_tells_its_index() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            first = await client.kv.cas("a", b"1", 0)
            assert first
            assert not await client.kv.cas("a", b"2", 0)
            assert await client.kv.cas("a", b"2", first.index)
            assert not await client.kv.delete("a", index=first.index)
            assert await client.kv.delete("a")

    asyncio.run(run())


def test_a_tree_comes_in_order_and_an_absent_one_is_empty() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            for key in ("t/b", "t/a", "u"):
                await client.kv.put(key, key.encode())
            assert [entry.key for entry in await client.kv.tree("t/")] == ["t/a", "t/b"]
            assert await client.kv.tree("v/") == []

    asyncio.run(run())


def test_names_are_listed_with_a_separator() -> None:
    async def run() -> None:
        async with nodes(reply(200, ["a/", "b"])) as [node]:
            async with AsyncClient(node.address) as client:
                assert await client.kv.keys(separator="/") == ["a/", "b"]
            assert node.seen[0].query == {"keys": "", "separator": "/"}

    asyncio.run(run())


@pytest.mark.parametrize(
    "key",
    ["a b", "ü/ç", "100%", "a?b#c", "a+b", "/rooted", "a/", "...", ".hidden", "a/.b", "'\"<>"],
)
def test_any_key_that_a_path_can_carry_arrives_as_it_is(key: str) -> None:
    async def run() -> None:
        async with nodes(reply(200, b"true")) as [node]:
            async with AsyncClient(node.address) as client:
                await client.kv.put(key, b"1")
            assert node.seen[0].path == "/v1/kv/" + key

    asyncio.run(run())


@pytest.mark.parametrize(
    "key", ["", "a//b", "//a", "a/./b", "a/..", ".", "..", "a\nb", "\x7f", "\ud800", "k" * 5000]
)
def test_a_key_that_would_arrive_as_another_is_refused_here(key: str) -> None:
    async def run() -> None:
        async with AsyncClient() as client:
            with pytest.raises(RequestError):
                await client.kv.put(key, b"1")

    asyncio.run(run())


def test_a_value_above_the_limit_is_refused_here() -> None:
    async def run() -> None:
        async with AsyncClient() as client:
            with pytest.raises(RequestError, match="524289 bytes, at most 524288"):
                await client.kv.put("a", bytes(512 * 1024 + 1))

    asyncio.run(run())


def test_a_large_value_has_a_connection_of_its_own() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address, pipes=1) as client:
            await asyncio.gather(client.kv.put("a", bytes(400_000)), client.kv.put("b", b"1"))
            assert len(node.connections) == 2
            entry = await client.kv.get("a")
            assert entry is not None
            assert entry.value == bytes(400_000)

    asyncio.run(run())


def test_the_token_goes_with_every_request() -> None:
    async def run() -> None:
        async with nodes(reply(200, b"v")) as [node]:
            async with AsyncClient(node.address, token="s3cret") as client:
                await client.kv.read("a")
            assert node.seen[0].headers["X-Consul-Token"] == "s3cret"

    asyncio.run(run())


def test_a_token_with_a_line_end_is_refused() -> None:
    with pytest.raises(RequestError):
        AsyncClient(token="a\r\nX-Evil: 1")


def test_a_reply_of_another_shape_is_the_nodes_fault() -> None:
    async def run() -> None:
        async with (
            nodes(reply(200, {"a": 1})) as [node],
            AsyncClient(node.address) as client,
        ):
            with pytest.raises(PeerError, match="unknown form"):
                await client.kv.get("a")

    asyncio.run(run())


def test_a_transaction_is_sent_whole_and_its_answer_read() -> None:
    def script(seen: Seen) -> bytes:
        verbs = [operation["KV"]["Verb"] for operation in json.loads(seen.body)]
        if "check-index" in verbs:
            what = 'failed index check for key "a", current modify index 5 != 4'
            return reply(409, {"Results": None, "Errors": [{"OpIndex": 0, "What": what}]})
        row = {"KV": {"Key": "a", "Value": "MQ==", "ModifyIndex": 9, "CreateIndex": 9}}
        return reply(200, {"Results": [row], "Errors": None}, {"X-Quorate-Index": 9})

    async def run() -> None:
        async with nodes(script) as [node], AsyncClient(node.address) as client:
            done = await client.txn().put("a", b"1").delete("b", index=3).get("a").commit()
            assert done
            assert done.entries == (KvEntry("a", b"1", 0, 9, 9),)
            assert done.index == 9
            assert json.loads(node.seen[0].body) == [
                {"KV": {"Verb": "set", "Key": "a", "Value": "MQ==", "Flags": 0}},
                {"KV": {"Verb": "delete-cas", "Key": "b", "Index": 3}},
                {"KV": {"Verb": "get", "Key": "a"}},
            ]
            lost = await client.txn().check_index("a", 4).put("a", b"2").commit()
            assert not lost
            assert [(fault.place, "index check" in fault.text) for fault in lost.faults] == [
                (0, True)
            ]

    asyncio.run(run())


def test_a_transaction_of_too_many_operations_is_refused_here() -> None:
    async def run() -> None:
        async with AsyncClient() as client:
            txn = client.txn()
            for _ in range(129):
                txn.get("a")
            with pytest.raises(RequestError, match="129 operations, at most 128"):
                await txn.commit()

    asyncio.run(run())
