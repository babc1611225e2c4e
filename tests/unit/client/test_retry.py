import asyncio
import time

import pytest

from quorate.base.errors import (
    ConflictError,
    ForbiddenError,
    OutcomeUnknownError,
    PeerError,
    QuorateError,
    RequestError,
    UnavailableError,
)
from quorate.client import AsyncClient, endpoints
from quorate.client.errors import ExchangeError
from quorate.client.replies import Reply, error_of
from quorate.client.requests import ClientRequest
from quorate.client.retry import RetryState, error_of_failure, may_repeat, pause_s
from quorate.wire.hello import MAGIC
from tests.limits import HANG_S
from tests.unit.client.fakes import Answer, Node, Seen, always, nodes, refusal, reply

HOUR_S, LONG_S = 3600, 7200
WRITE = ClientRequest(b"PUT /v1/kv/a HTTP/1.1\r\n")
READ = ClientRequest(b"GET /v1/kv/a HTTP/1.1\r\n", is_repeatable=True)
BARE: dict[str, object] = {"X-Consul-Index": None}
NODE = endpoints.parse("n1")
NO_LEADER = refusal(500, "no_quorum", "No cluster leader")


OK = reply(200, b"true", {"X-Quorate-Index": 7})


def error(
    status: int, body: bytes, request: ClientRequest = WRITE, **headers: bytes
) -> QuorateError:
    spelt = {b"X-" + name.replace("_", "-").encode(): value for name, value in headers.items()}
    return error_of(Reply(status, spelt, body), request)


def test_a_definite_refusal_is_tried_at_the_next_node_and_the_choice_is_sticky() -> None:
    async def run() -> None:
        async with nodes(NO_LEADER, OK) as [isolated, other]:
            async with AsyncClient([isolated.address, other.address]) as client:
                for _ in range(3):
                    assert await client.kv.put("a", b"1") == 7
            assert (len(isolated.seen), len(other.seen)) == (1, 3)

    asyncio.run(run())


def test_an_error_repeats_what_the_server_said_with_its_status() -> None:
    error = error_of(Reply(500, {}, b"No cluster leader\n"), READ)
    assert error.response == "Unexpected response code: 500 (No cluster leader)"
    retries = RetryState(READ, 1, begun_s=0.0, until_s=1.0, failing_s_max=1.0)
    with pytest.raises(UnavailableError, match="given up") as caught:
        retries.next_try_after(Reply(500, {}, b"No cluster leader\n"), NODE, 0.0, 1.0)
    assert caught.value.response == error.response


def test_a_removed_node_is_left_for_another_one_and_reported_at_once_if_there_is_none() -> None:
    removed = refusal(503, "removed", "this node, n3, was removed from cluster c: ask another one")

    async def run() -> None:
        async with nodes(removed, OK) as [gone, other]:
            async with AsyncClient([gone.address, other.address]) as client:
                assert await client.kv.put("a", b"1") == 7
            async with AsyncClient(gone.address, deadline_s=HOUR_S) as client:
                with pytest.raises(UnavailableError, match="was removed from cluster c") as caught:
                    await client.kv.put("a", b"1")
                assert caught.value.code == "removed"
                assert caught.value.text.count("PUT /v1/kv/a: ") == 1
            assert len(gone.seen) == 2

    asyncio.run(run())


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
        async with nodes(NO_LEADER, OK, OK) as [isolated, second, third]:
            addresses = [node.address for node in (isolated, second, third)]
            async with AsyncClient(addresses) as client:
                await asyncio.gather(*(client.kv.put(f"k{n}", b"1") for n in range(50)))
            assert (len(isolated.seen), len(second.seen), len(third.seen)) == (50, 50, 0)

    asyncio.run(run())


def test_when_all_nodes_refuse_the_client_tries_until_the_deadline() -> None:
    async def run() -> None:
        async with nodes(NO_LEADER) as [node], AsyncClient(node.address) as client:
            with pytest.raises(UnavailableError, match=r"No cluster leader.*given up") as caught:
                await client.kv.put("a", b"1", deadline_s=0.8)
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
            {
                "X-Quorate-Error": "overloaded",
                "X-Quorate-Definite": "true",
                "Retry-After": 2 * HOUR_S,
            },
        )
        async with nodes(busy) as [node], AsyncClient(node.address) as client:
            begun_s = time.monotonic()
            with pytest.raises(UnavailableError) as caught:
                await client.kv.put("a", b"1", deadline_s=HOUR_S)
            assert time.monotonic() - begun_s < HANG_S  # it knew that the time is too short
            assert caught.value.retry_after_s == LONG_S

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


def test_a_failure_that_is_not_marked_as_definite_is_unknown_for_writes_only() -> None:
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


# --- which error is raised at the deadline -------------------------------------------------------


def test_a_write_short_of_time_carries_its_deadline_and_an_ordinary_one_does_not() -> None:
    async def run() -> None:
        async with nodes(OK) as [node], AsyncClient(node.address) as client:
            await client.kv.put("a", b"1")
            await client.kv.put("a", b"1", deadline_s=2.0)
            assert [seen.headers.get("X-Quorate-Deadline") for seen in node.seen] == [
                None,
                "1500ms",
            ]

    asyncio.run(run())


def test_every_try_after_the_first_carries_the_time_that_is_left() -> None:
    async def run() -> None:
        async with nodes(NO_LEADER, OK) as [isolated, other]:
            async with AsyncClient([isolated.address, other.address], deadline_s=7.5) as client:
                assert await client.kv.put("a", b"1") == 7
            assert "X-Quorate-Deadline" not in isolated.seen[0].headers
            left_ms = int(other.seen[0].headers["X-Quorate-Deadline"].removesuffix("ms"))
            assert 0 < left_ms <= 6500

    asyncio.run(run())


def test_the_reason_of_a_node_is_not_replaced_by_silence_at_the_deadline() -> None:
    async def run() -> None:
        reason = "No cluster leader: waiting for 2 of 3 nodes to bootstrap"
        replies = iter([refusal(500, "no_quorum", reason)])
        async with (
            nodes(lambda _: next(replies, None)) as [node],
            AsyncClient(node.address, attempt_s=0.05) as client,
        ):
            with pytest.raises(UnavailableError, match=reason) as caught:
                await client.kv.get("a", deadline_s=0.3)
            assert caught.value.code == "no_quorum"
            assert len(node.seen) > 1

    asyncio.run(run())


def test_an_unknown_outcome_tells_what_was_said_before() -> None:
    retries = RetryState(WRITE, 1, begun_s=0.0, until_s=10.0, failing_s_max=10.0)
    refused = Reply(500, {b"X-Quorate-Error": b"no_quorum"}, b"No cluster leader: n2 is silent")
    retries.next_try_after(refused, NODE, 0.0, 1.0)
    with pytest.raises(OutcomeUnknownError, match=r"cut.*before that.*n2 is silent"):
        retries.next_try_after(ExchangeError("cut", is_sent=True), NODE, 1.0, 2.0)


def test_a_write_is_not_begun_that_a_server_without_deadlines_would_hold_for_too_long() -> None:
    retries = RetryState(WRITE, 1, begun_s=0.0, until_s=10.0, failing_s_max=10.0)
    with pytest.raises(UnavailableError, match="No cluster leader") as caught:
        retries.next_try_after(Reply(500, {}, b"No cluster leader"), NODE, 0.0, 7.0)
    assert caught.value.definite


def test_a_write_is_not_tried_again_when_its_answer_might_come_too_late() -> None:
    refused = Reply(500, {b"X-Quorate-Error": b"no_quorum"}, b"No cluster leader: n2 is silent")
    retries = RetryState(WRITE, 1, begun_s=0.0, until_s=3.0, failing_s_max=10.0)
    assert retries.next_try_after(refused, NODE, 0.0, 2.0) > 0
    with pytest.raises(UnavailableError, match="n2 is silent"):
        retries.next_try_after(refused, NODE, 2.1, 2.6)


def test_a_try_that_went_well_for_long_may_be_repeated_however_late_it_is() -> None:
    retries = RetryState(READ, 1, begun_s=0.0, until_s=600.0, failing_s_max=10.0)
    cut = ExchangeError("cut", is_sent=True)
    assert retries.next_try_after(cut, NODE, 0.0, 300.0) > 0
    with pytest.raises(UnavailableError):
        retries.next_try_after(cut, NODE, 310.0, 310.0)


# --- where no node replies ----------------------------------------------------------------------


def test_nothing_that_listens_is_reported_at_once_by_its_address() -> None:
    async def run() -> None:
        async with nodes(OK, OK) as [gone, gone_too]:
            await gone.stop()
            await gone_too.stop()
            async with AsyncClient([gone.address, gone_too.address], deadline_s=1e6) as client:
                with pytest.raises(UnavailableError) as caught:
                    await client.kv.put("a", b"1")
            for node in (gone, gone_too):
                assert f"{node.address}: nothing listens there" in caught.value.text

    asyncio.run(run())


@pytest.mark.parametrize(
    ("greeting", "text"),
    [
        (MAGIC + b"\x10\0\0\0", "this is a node's server port; its HTTP port is usually 8500"),
        (
            reply(400, "this is the server port", {"X-Quorate-Server-Port": "n1:8500"}),
            "this is a node's server port; its HTTP API is at n1:8500",
        ),
        (
            reply(400, "this is the server port", {"X-Quorate-Server-Port": ""}),
            "this is a node's server port; it has no HTTP port",
        ),
        (b"\x15\x03\x03\0\x02\x02\x28", "this port uses TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "this is no HTTP port: it sends b'SSH-2.0"),
    ],
)
def test_another_service_is_reported_at_once_and_definite(greeting: bytes, text: str) -> None:
    async def run() -> None:
        async with nodes(greeting) as [node], AsyncClient(node.address, deadline_s=1e6) as client:
            for call in (client.kv.put("a", b"1"), client.kv.get("a")):
                with pytest.raises(UnavailableError, match=text):
                    await call

    asyncio.run(run())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_reported_at_once_with_its_place(status: int) -> None:
    async def run() -> None:
        answer = reply(status, b"", {"Location": "https://other/v1"})
        async with nodes(answer) as [node], AsyncClient(node.address, deadline_s=1e6) as client:
            for call in (client.kv.put("a", b"1"), client.kv.get("a")):
                with pytest.raises(PeerError, match="https://other/v1"):
                    await call

    asyncio.run(run())


@pytest.mark.parametrize("answer", [reply(200, "<html>", BARE), reply(404, "<html>", BARE)])
def test_what_another_web_server_answers_is_taken_for_no_value(answer: bytes) -> None:
    async def run() -> None:
        async with nodes(answer) as [node], AsyncClient(node.address) as client:
            for call in (client.kv.get("a"), client.kv.read("a"), client.kv.tree("a")):
                with pytest.raises(PeerError, match="HTTP API of Quorate or Consul"):
                    await call

    asyncio.run(run())


# --- writes that are sent again --------------------------------------------------------------

AGAIN = ClientRequest(b"PUT /v1/kv/a?acquire=s HTTP/1.1\r\n", is_repeatable=True, is_write=True)
LOST = ExchangeError("n1: no reply within 1 s", is_sent=True)
UNSENT = ExchangeError("n1: no connection", is_sent=False)
REFUSED = Reply(500, {b"X-Quorate-Error": b"no_quorum"}, b"No cluster leader\n")
NO_GATEWAY = Reply(504, {}, b"a proxy gave up\n")


@pytest.mark.parametrize("lost", [LOST, NO_GATEWAY], ids=["silence", "a proxy's word"])
@pytest.mark.parametrize("last", [LOST, UNSENT, REFUSED], ids=["silence", "unsent", "refused"])
def test_a_write_without_an_answer_stays_indefinite_however_the_next_tries_end(
    lost: Reply | ExchangeError, last: Reply | ExchangeError
) -> None:
    retries = RetryState(AGAIN, 1, begun_s=0.0, until_s=3.0, failing_s_max=10.0)
    retries.next_try_after(lost, NODE, 0.0, 1.0)
    with pytest.raises(OutcomeUnknownError, match="may have happened") as caught:
        retries.next_try_after(last, NODE, 2.0, 3.0)
    assert not caught.value.definite
    assert ("No cluster leader" in caught.value.text) == (last is REFUSED)


@pytest.mark.parametrize("last", [UNSENT, REFUSED], ids=["unsent", "refused"])
def test_a_write_that_every_node_refused_is_definite(last: Reply | ExchangeError) -> None:
    retries = RetryState(AGAIN, 1, begun_s=0.0, until_s=3.0, failing_s_max=10.0)
    retries.next_try_after(REFUSED, NODE, 0.0, 1.0)
    with pytest.raises(UnavailableError, match="No cluster leader"):
        retries.next_try_after(last, NODE, 2.0, 3.0)


@pytest.mark.parametrize("status", [400, 403, 404, 302])
@pytest.mark.parametrize("first", [LOST, NO_GATEWAY, UNSENT, REFUSED])
def test_a_refusal_is_definite_only_if_no_earlier_try_of_a_write_had_no_reply(
    first: Reply | ExchangeError, status: int
) -> None:
    retries = RetryState(AGAIN, 1, begun_s=0.0, until_s=9.0, failing_s_max=10.0)
    retries.next_try_after(first, NODE, 0.0, 1.0)
    with pytest.raises(QuorateError, match="no, never") as caught:
        retries.next_try_after(Reply(status, {b"Location": b"no, never"}, b"no, never"), NODE, 2, 3)
    assert caught.value.definite == (first in {UNSENT, REFUSED})
    assert caught.value.response == f"Unexpected response code: {status} (no, never)"


def test_a_read_without_an_answer_is_definite() -> None:
    retries = RetryState(READ, 1, begun_s=0.0, until_s=3.0, failing_s_max=10.0)
    with pytest.raises(UnavailableError):
        retries.next_try_after(LOST, NODE, 0.0, 3.0)


def test_every_try_of_a_write_tells_its_limit_so_that_the_node_withdraws_it() -> None:
    async def run() -> None:
        async with nodes(OK) as [node]:
            async with AsyncClient([node.address]) as client:
                assert await client.kv.acquire("a", b"1", "s")
            assert "x-quorate-deadline" in {name.lower() for name in node.seen[0].headers}

    asyncio.run(run())


def test_a_lock_that_was_not_acquired_is_reported_as_such_though_a_try_had_no_answer() -> None:
    async def run() -> None:
        def script(seen: Seen) -> Answer:
            if seen.path == "/v1/session/create":
                return reply(200, {"ID": "s"})
            return None if "acquire" in seen.query else reply(200, b"true")

        async with nodes(script) as [node]:
            async with AsyncClient([node.address]) as client:
                for wait_s in (0.2, 2.0, HANG_S):  # a slow machine may not get so far in less
                    with pytest.raises(UnavailableError) as caught:
                        await client.lock("a", wait_s=wait_s).acquire()
                    if any("acquire" in seen.query for seen in node.seen):
                        break
            assert "no reply" in caught.value.text
            assert node.seen[-1].path.startswith("/v1/session/destroy"), "it can not be held later"

    asyncio.run(run())
