import asyncio
import time

import pytest

from quorate.base.errors import (
    ConflictError,
    ForbiddenError,
    OutcomeUnknownError,
    QuorateError,
    RequestError,
    UnavailableError,
)
from quorate.client import AsyncClient, endpoints
from quorate.client.errors import ExchangeError
from quorate.client.replies import Reply, error_of
from quorate.client.requests import Request
from quorate.client.retry import Trouble, error_of_failure, may_repeat, pause_s
from tests.unit.client.fakes import Node, always, nodes, refusal, reply

WRITE = Request(b"PUT /v1/kv/a HTTP/1.1\r\n")
READ = Request(b"GET /v1/kv/a HTTP/1.1\r\n", is_repeatable=True)
NODE = endpoints.parse("n1")
NO_LEADER = refusal(500, "no_quorum", "No cluster leader")


OK = reply(200, b"true", {"X-Quorate-Index": 7})


def error(status: int, body: bytes, request: Request = WRITE, **headers: bytes) -> QuorateError:
    spelt = {b"X-" + name.replace("_", "-").encode(): value for name, value in headers.items()}
    return error_of(Reply(status, spelt, body), request)


def test_a_definite_refusal_is_tried_at_the_next_node_and_the_choice_is_sticky() -> None:
    async def run() -> None:
        async with nodes(NO_LEADER, OK) as [lonely, other]:
            async with AsyncClient([lonely.address, other.address]) as client:
                for _ in range(3):
                    assert await client.kv.put("a", b"1") == 7
            assert (len(lonely.seen), len(other.seen)) == (1, 3)

    asyncio.run(run())


def test_an_error_repeats_what_the_server_said_with_its_status() -> None:
    error = error_of(Reply(500, {}, b"No cluster leader\n"), READ)
    assert error.response == "Unexpected response code: 500 (No cluster leader)"
    trouble = Trouble(READ, 1, begun_s=0.0, until_s=1.0, patience_s=1.0)
    with pytest.raises(UnavailableError, match="given up") as caught:
        trouble.next_try_after(Reply(500, {}, b"No cluster leader\n"), NODE, 0.0, 1.0)
    assert caught.value.response == error.response


def test_an_indefinite_refusal_of_a_write_is_raised_and_not_repeated() -> None:
    async def run() -> None:
        unknown = refusal(500, "outcome_unknown", "lost sight of it", definite=False)
        async with nodes(unknown, OK) as [first, other]:
            async with AsyncClient([first.address, other.address]) as client:
                with pytest.raises(OutcomeUnknownError, match="lost sight of it"):
                    await client.kv.cas("a", b"1", 0)
            assert (len(first.seen), len(other.seen)) == (1, 0)

    asyncio.run(run())


def test_a_refused_connection_is_definite_and_tried_elsewhere() -> None:
    async def run() -> None:
        async with nodes(OK, OK) as [gone, other]:
            await gone.stop()
            async with AsyncClient([gone.address, other.address]) as client:
                assert await client.kv.put("a", b"1") == 7

    asyncio.run(run())


def test_many_calls_that_fail_together_move_on_by_one_node() -> None:
    async def run() -> None:
        async with nodes(NO_LEADER, OK, OK) as [lonely, second, third]:
            addresses = [node.address for node in (lonely, second, third)]
            async with AsyncClient(addresses) as client:
                await asyncio.gather(*(client.kv.put(f"k{n}", b"1") for n in range(50)))
            assert (len(lonely.seen), len(second.seen), len(third.seen)) == (50, 50, 0)

    asyncio.run(run())


def test_when_all_nodes_refuse_the_client_tries_until_the_deadline() -> None:
    async def run() -> None:
        async with nodes(NO_LEADER) as [node], AsyncClient(node.address) as client:
            with pytest.raises(UnavailableError, match=r"No cluster leader.*given up") as caught:
                await client.kv.put("a", b"1", deadline_s=0.3)
            assert caught.value.code == "no_quorum"
            assert len(node.seen) >= 2

    asyncio.run(run())


def test_a_node_that_comes_back_within_the_deadline_serves_the_call() -> None:
    async def run() -> None:
        node = Node(always(OK))
        await node.start()
        async with AsyncClient(node.address) as client:
            assert await client.kv.put("a", b"1") == 7
            await node.stop()
            read = asyncio.create_task(client.kv.read("a"))
            await asyncio.sleep(0.01)
            await node.start()
            assert await read == b"true"
        await node.stop()

    asyncio.run(run())


def test_an_overloaded_node_is_given_the_time_it_asks_for() -> None:
    async def run() -> None:
        busy = reply(
            429,
            "full",
            {"X-Quorate-Error": "overloaded", "X-Quorate-Definite": "true", "Retry-After": 1},
        )
        async with nodes(busy) as [node], AsyncClient(node.address) as client:
            begun_s = time.monotonic()
            with pytest.raises(UnavailableError) as caught:
                await client.kv.put("a", b"1", deadline_s=0.5)
            assert time.monotonic() - begun_s < 0.4  # it knew that the time is too short
            assert caught.value.retry_after_s == 1.0

    asyncio.run(run())


def test_a_silent_node_costs_a_read_one_attempt_only() -> None:
    async def run() -> None:
        async with nodes(None, reply(200, b"v")) as [silent, other]:
            addresses = [silent.address, other.address]
            async with AsyncClient(addresses, attempt_s=0.05) as client:
                assert await client.kv.read("a") == b"v"
                assert await client.kv.read("a") == b"v"
            assert len(silent.seen) == 1

    asyncio.run(run())


def test_a_request_that_makes_no_sense_is_not_repeated() -> None:
    async def run() -> None:
        async with nodes(refusal(400, "bad_request", "no")) as [node]:
            async with AsyncClient([node.address, node.address]) as client:
                with pytest.raises(RequestError, match="PUT /v1/kv/a: no"):
                    await client.kv.put("a", b"1")
            assert len(node.seen) == 1

    asyncio.run(run())


def test_errors_are_read_from_the_headers_first() -> None:
    assert isinstance(error(500, b"", Quorate_Error=b"precondition"), ConflictError)
    assert error(500, b"", Quorate_Error=b"read_only").code == "read_only"
    assert error(500, b"", Quorate_Error=b"no_quorum", Quorate_Definite=b"false").code == (
        "outcome_unknown"
    )


def test_errors_of_other_servers_are_read_from_status_and_text() -> None:
    assert isinstance(error(403, b"Permission denied"), ForbiddenError)
    assert isinstance(error(400, b"Missing key name"), RequestError)
    assert error(413, b"").code == "too_large"
    assert error(429, b"").code == "overloaded"
    assert error(500, b"No cluster leader").code == "no_quorum"


def test_a_failure_of_which_nobody_says_that_it_is_definite_is_unknown_for_writes_only() -> None:
    assert error(502, b"Bad Gateway").code == "outcome_unknown"
    assert error(502, b"Bad Gateway", READ).code == "unreachable"


def test_a_lost_request_is_unknown_only_if_it_was_sent_and_writes() -> None:
    sent, unsent = ExchangeError("cut", is_sent=True), ExchangeError("cut", is_sent=False)
    assert error_of_failure(sent, WRITE).code == "outcome_unknown"
    assert error_of_failure(unsent, WRITE).code == "unreachable"
    assert error_of_failure(sent, READ).code == "unreachable"


def test_only_what_passes_is_tried_again() -> None:
    assert may_repeat(UnavailableError("no_quorum", ""), WRITE)
    assert not may_repeat(UnavailableError("too_few_nodes", ""), WRITE)
    assert not may_repeat(OutcomeUnknownError("outcome_unknown", ""), WRITE)
    assert may_repeat(OutcomeUnknownError("outcome_unknown", ""), READ)
    assert not may_repeat(ConflictError("precondition", ""), READ)


def test_pauses_begin_when_all_nodes_were_asked_and_grow_to_a_limit() -> None:
    passing = UnavailableError("no_quorum", "")
    assert [pause_s(passing, tries, 3) for tries in (1, 2)] == [0.0, 0.0]
    assert 0.025 <= pause_s(passing, 3, 3) <= 0.05
    assert 0.5 <= pause_s(passing, 300, 3) <= 1.0
    assert pause_s(UnavailableError("overloaded", "", 4.0), 3, 3) == 4.0
