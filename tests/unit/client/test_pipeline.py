import asyncio
import inspect
import sys

import pytest

from quorate.base.errors import OutcomeUnknownError, PeerError, UnavailableError
from quorate.client import AsyncClient, endpoints
from quorate.client.endpoints import Endpoint
from quorate.client.errors import ExchangeError
from quorate.client.pipeline import PooledConnection
from quorate.client.replies import ReplyReader
from quorate.client.requests import LONG_BODY_BYTES, put_request
from quorate.client.transport import AsyncClientTransport, Settings
from tests.limits import HANG_S
from tests.unit.client import leaping
from tests.unit.client.fakes import CUT, Answer, Seen, always, nodes, reply, until

OK = reply(200, b"true", {"X-Quorate-Index": 7})


def test_calls_made_together_share_connections_and_each_gets_its_own_reply() -> None:
    def echo(seen: Seen) -> bytes:
        return reply(200, b"true", {"X-Quorate-Index": int(seen.path.rpartition("/")[2])})

    async def run() -> None:
        async with nodes(echo) as [node], AsyncClient(node.address) as client:
            puts = (client.kv.put(f"n/{number}", b"x") for number in range(1, 101))
            assert await asyncio.gather(*puts) == list(range(1, 101))
            assert len(node.connections) == 2

    asyncio.run(run())


def test_requests_leave_before_earlier_replies_have_come() -> None:
    async def run() -> None:
        waiting: list[asyncio.Future[bytes]] = []

        def when_all_are_here(_: Seen) -> Answer:
            waiting.append(asyncio.get_running_loop().create_future())
            if len(waiting) == 5:
                for number, future in reversed(tuple(enumerate(waiting))):
                    future.set_result(reply(200, b"v%d" % number))
            return waiting[-1]

        async with nodes(when_all_are_here) as [node], AsyncClient(node.address, pipes=1) as client:
            values = await asyncio.gather(*(client.kv.read(f"k{n}") for n in range(5)))
            assert values == [b"v0", b"v1", b"v2", b"v3", b"v4"]
            assert [seen.path for seen in node.seen] == [f"/v1/kv/k{n}" for n in range(5)]
            assert len(node.connections) == 1

    asyncio.run(run())


def test_a_reply_in_chunks_and_pieces_is_put_together() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nX-Consul-Index: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    )

    def script(seen: Seen) -> bytes:
        return chunked if seen.path.endswith("a") else reply(200, b"next")

    async def run() -> None:
        async with nodes(script) as [node], AsyncClient(node.address, pipes=1) as client:
            both = await asyncio.gather(client.kv.read("a"), client.kv.read("b"))
            assert list(both) == [b"hello world", b"next"]

    asyncio.run(run())


def test_a_write_cut_off_in_mid_reply_has_an_unknown_outcome_and_is_not_repeated() -> None:
    async def run() -> None:
        async with (
            nodes(OK[:-2] + CUT, OK) as [cutting, other],
            AsyncClient([cutting.address, other.address]) as client,
        ):
            with pytest.raises(OutcomeUnknownError, match="may have happened"):
                await client.kv.put("a", b"1")
            assert (len(cutting.seen), len(other.seen)) == (1, 0)
            assert await client.kv.put("a", b"1") == 7  # the next call asks the other node
            assert (len(cutting.seen), len(other.seen)) == (1, 1)

    asyncio.run(run())


def test_a_read_cut_off_in_mid_reply_is_asked_of_the_next_node() -> None:
    async def run() -> None:
        whole = reply(200, b"value")
        async with (
            nodes(whole[:-2] + CUT, whole) as [cutting, other],
            AsyncClient([cutting.address, other.address]) as client,
        ):
            assert await client.kv.read("a") == b"value"
            assert client.endpoint == other.address

    asyncio.run(run())


def test_what_is_no_http_ends_the_connection_not_the_client() -> None:
    async def run() -> None:
        async with (
            nodes(b"220 smtp ready\r\n", OK) as [odd, other],
            AsyncClient([odd.address, other.address]) as client,
        ):
            assert await client.kv.put("a", b"1") == 7
            assert (client.endpoint, len(odd.seen)) == (other.address, 1)

    asyncio.run(run())


def test_what_is_no_http_after_a_reply_leaves_the_outcome_of_a_write_unknown() -> None:
    async def run() -> None:
        async with nodes(OK) as [node], AsyncClient(node.address) as client:
            assert await client.kv.put("a", b"1") == 7
            node.script = always(b"220 smtp ready\r\n")
            with pytest.raises(OutcomeUnknownError, match="no HTTP"):
                await client.kv.put("a", b"1")

    asyncio.run(run())


DAMAGED = [b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/9 so\r\n", b"HTTP/1.1\r\n"]


@pytest.mark.parametrize("answer", DAMAGED)
def test_a_damaged_first_reply_of_a_server_of_http_leaves_the_outcome_unknown(
    answer: bytes,
) -> None:
    """It has understood the request, unlike who speaks another protocol: see `is_foreign`."""

    async def run() -> None:
        async with (
            nodes(answer, OK) as [odd, other],
            AsyncClient([odd.address, other.address]) as client,
        ):
            with pytest.raises(OutcomeUnknownError, match="no HTTP"):
                await client.kv.put("a", b"1")
            assert (len(odd.seen), len(other.seen)) == (1, 0)

    asyncio.run(run())


def test_a_first_reply_that_is_damaged_behind_its_first_piece_is_one_of_http_too() -> None:
    reader = ReplyReader(lambda _, __: None, lambda _: None)
    reader.feed(b"HT")
    with pytest.raises(PeerError):
        reader.feed(b"TP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
    assert (reader.is_foreign, reader.first) == (False, b"HTTP/1.1 200 OK\r\nContent"[:24])


def test_a_reply_to_no_request_ends_the_connection() -> None:
    async def run() -> None:
        async with nodes(OK + OK) as [node], AsyncClient(node.address) as client:
            assert await client.kv.put("a", b"1") == 7
            assert await client.kv.put("a", b"1") == 7
            assert len(node.seen) == 2

    asyncio.run(run())


def test_a_connection_that_the_node_closes_after_its_reply_is_not_used_again() -> None:
    async def run() -> None:
        closing = reply(200, b"true", {"Connection": "close", "X-Quorate-Index": 7}) + CUT
        async with nodes(closing) as [node], AsyncClient(node.address) as client:
            for _ in range(3):
                assert await client.kv.put("a", b"1") == 7
            assert len(node.seen) == 3

    asyncio.run(run())


def test_a_deadline_ends_a_write_as_unknown_and_a_read_as_unreachable() -> None:
    async def run() -> None:
        async with nodes(None) as [silent], AsyncClient(silent.address) as client:
            with pytest.raises(OutcomeUnknownError, match="no reply within"):
                await client.kv.put("a", b"1", deadline_s=0.05)
            with pytest.raises(UnavailableError, match="no reply within") as caught:
                await client.kv.get("a", deadline_s=0.05)
            assert caught.value.code == "unreachable"
            assert caught.value.definite

    asyncio.run(run())


def test_the_reply_of_a_call_that_was_given_up_is_dropped() -> None:
    async def run() -> None:
        late: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        async with nodes(lambda _: late) as [node], AsyncClient(node.address, pipes=1) as client:
            with pytest.raises(OutcomeUnknownError):
                await client.kv.put("a", b"1", deadline_s=0.02)
            node.script = always(reply(200, b"mine"))
            mine = asyncio.create_task(client.kv.read("b"))
            await until(lambda: len(node.seen) == 2)
            late.set_result(reply(200, b"true"))
            assert await mine == b"mine"
            assert len(node.connections) == 1

    asyncio.run(run())


def test_a_cancelled_blocking_read_hangs_up() -> None:
    async def run() -> None:
        async with nodes(None) as [node], AsyncClient(node.address) as client:
            task = asyncio.create_task(client.kv.watch("a").look())
            await until(lambda: bool(node.seen))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not node.connections)

    asyncio.run(run())


def test_stale_reads_do_not_wait_behind_writes() -> None:
    async def run() -> None:
        def slow_writes(seen: Seen) -> Answer:
            return None if seen.method == "PUT" else reply(200, b"old")

        async with nodes(slow_writes) as [node], AsyncClient(node.address, pipes=1) as client:
            put = asyncio.create_task(client.kv.put("a", b"1", deadline_s=HANG_S))
            await until(lambda: bool(node.seen))
            assert await client.kv.read("a", stale=True, deadline_s=HANG_S) == b"old"
            put.cancel()

    asyncio.run(run())


def test_a_node_that_goes_silent_is_left_by_new_calls() -> None:
    async def run() -> None:
        async with nodes(None, OK) as [silent, other]:
            client = AsyncClient([silent.address, other.address], attempt_s=0.05)
            async with client:
                with pytest.raises(OutcomeUnknownError):
                    await client.kv.put("a", b"1", deadline_s=0.05)
                assert await client.kv.put("a", b"1") == 7
                assert client.endpoint == other.address

    asyncio.run(run())


def test_closing_fails_what_is_under_way_and_what_comes_after() -> None:
    async def run() -> None:
        async with nodes(None) as [node]:
            client = AsyncClient(node.address)
            task = asyncio.create_task(client.kv.put("a", b"1"))
            await until(lambda: bool(node.seen))
            await client.close()
            with pytest.raises(OutcomeUnknownError, match="closed"):
                await task
            with pytest.raises(UnavailableError, match="closed"):
                await client.kv.put("a", b"1")

    asyncio.run(run())


def test_a_node_that_owes_a_reply_for_long_is_reported_and_its_dead_connection_dropped() -> None:
    async def run() -> None:
        left: list[Endpoint] = []
        async with nodes(None) as [silent]:
            endpoint = endpoints.parse(silent.address)
            transport = AsyncClientTransport(Settings(stall_s=0.05, stalled=left.append))
            request = put_request("a", "", b"1")
            waiting = transport.exchange(endpoint, request, transport.now_s() + 0.3)
            with pytest.raises(ExchangeError) as caught:
                await waiting
            assert caught.value.is_sent
            assert set(left) == {endpoint}  # new calls could leave before this one's end
            await until(lambda: not silent.connections)
            await transport.close()

    asyncio.run(run())


class Wire(asyncio.Transport):
    """A connection that takes what is written until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closed:
            self.written += data

    def close(self) -> None:
        self.is_closed = True


def test_a_request_behind_the_last_reply_of_a_connection_was_not_sent() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        ended: list[PooledConnection] = []
        connection = PooledConnection(endpoints.parse("n1"), b"", loop, ended.append)
        wire = Wire()
        connection.connection_made(wire)
        first = connection.submit(put_request("a", "", b"1"), loop.time() + HANG_S)
        await asyncio.sleep(0)
        second = connection.submit(put_request("b", "", b"2"), loop.time() + HANG_S)
        connection.data_received(reply(200, b"true", {"Connection": "close"}))
        await asyncio.sleep(0)
        connection.connection_lost(None)
        assert (await first).status == 200
        with pytest.raises(ExchangeError) as caught:
            await second
        assert (caught.value.is_sent, b"/v1/kv/b" in wire.written) == (False, False)
        assert ended == [connection]

    asyncio.run(run())


def test_connections_that_were_idle_for_long_are_dropped_however_many_there_are() -> None:
    count = 80  # fewer than a listener's backlog; each took a level of the stack

    async def work() -> None:
        async with nodes(always(reply(200, "[]"))) as [node], AsyncClient(node.address) as client:
            await asyncio.gather(*(client.kv.tree(f"k{number}") for number in range(count)))
            assert len(node.connections) == count
            await asyncio.sleep(31.0)
            limit = sys.getrecursionlimit()
            sys.setrecursionlimit(len(inspect.stack(0)) + count)
            try:
                await client.kv.tree("k")
            finally:
                sys.setrecursionlimit(limit)
            await until(lambda: len(node.connections) == 1)

    leaping.run(work())


def test_a_long_transaction_has_a_connection_of_its_own() -> None:
    async def run() -> None:
        def slow_transactions(seen: Seen) -> Answer:
            return None if seen.path == "/v1/txn" else OK

        async with nodes(slow_transactions) as [node], AsyncClient(node.address, pipes=1) as client:
            long = client.txn().put("a", bytes(LONG_BODY_BYTES)).commit(deadline_s=HANG_S)
            waiting = asyncio.create_task(long)
            await until(lambda: bool(node.seen))
            assert await client.kv.put("b", "1", deadline_s=HANG_S) == 7
            waiting.cancel()

    asyncio.run(run())
