"""Every call that waits ends within its limit, whatever the other end does.

A table of calls times a table of states of the other end, on a clock that leaps.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quorate import AsyncClient, AsyncPaxos, Client, Paxos
from quorate.base.errors import OutcomeUnknownError, QuorateError, UnavailableError
from quorate.client import LockHeldError
from quorate.wire.hello import MAGIC
from tests.unit.client import leaping
from tests.unit.client.fakes import (
    CUT,
    Answer,
    Seen,
    Store,
    nodes,
    nodes_in_thread,
    refusal,
    reply,
)

LIMIT_S = 3.0
SLACK_S = 1.0  # for what is given back after a failure
HOLD_S = 7.0  # how long a node holds what finds no leader
FILE = Path(__file__)

Call = Callable[[AsyncClient, Path], Awaitable[object]]


CALLS: dict[str, Call] = {
    "kv.get": lambda client, _: client.kv.get("a", deadline_s=LIMIT_S),
    "kv.get stale": lambda client, _: client.kv.get("a", stale=True, deadline_s=LIMIT_S),
    "kv.read": lambda client, _: client.kv.read("a", deadline_s=LIMIT_S),
    "kv.tree": lambda client, _: client.kv.tree("a", deadline_s=LIMIT_S),
    "kv.keys": lambda client, _: client.kv.keys("a", deadline_s=LIMIT_S),
    "kv.put": lambda client, _: client.kv.put("a", "1", deadline_s=LIMIT_S),
    "kv.put long": lambda client, _: client.kv.put("a", bytes(500_000), deadline_s=LIMIT_S),
    "kv.cas": lambda client, _: client.kv.cas("a", "1", 0, deadline_s=LIMIT_S),
    "kv.delete": lambda client, _: client.kv.delete("a", deadline_s=LIMIT_S),
    "kv.delete_tree": lambda client, _: client.kv.delete_tree("a", deadline_s=LIMIT_S),
    "kv.acquire": lambda client, _: client.kv.acquire("a", "", "s", deadline_s=LIMIT_S),
    "kv.release": lambda client, _: client.kv.release("a", "", "s", deadline_s=LIMIT_S),
    "kv.watch": lambda client, _: anext(client.kv.watch("a", patience_s=LIMIT_S)),
    "kv.watch_tree": lambda client, _: anext(client.kv.watch_tree("a", patience_s=LIMIT_S)),
    "session.create": lambda client, _: client.session.create(deadline_s=LIMIT_S),
    "session.renew": lambda client, _: client.session.renew("s", deadline_s=LIMIT_S),
    "session.destroy": lambda client, _: client.session.destroy("s", deadline_s=LIMIT_S),
    "session.info": lambda client, _: client.session.info("s", deadline_s=LIMIT_S),
    "session.all": lambda client, _: client.session.all(deadline_s=LIMIT_S),
    "status.leader": lambda client, _: client.status.leader(deadline_s=LIMIT_S),
    "status.peers": lambda client, _: client.status.peers(deadline_s=LIMIT_S),
    "status.members": lambda client, _: client.status.members(deadline_s=LIMIT_S),
    "snapshot.save": lambda client, folder: client.snapshot.save(folder / "s", deadline_s=LIMIT_S),
    "snapshot.save stale": lambda client, folder: client.snapshot.save(
        folder / "s", stale=True, deadline_s=LIMIT_S
    ),
    "snapshot.save, as it is by default": lambda client, folder: client.snapshot.save(folder / "s"),
    "snapshot.restore": lambda client, _: client.snapshot.restore(FILE, deadline_s=LIMIT_S),
    "txn": lambda client, _: client.txn().put("a", "1").commit(deadline_s=LIMIT_S),
    "txn that reads": lambda client, _: client.txn().get("a").commit(deadline_s=LIMIT_S),
    "call": lambda client, _: client.call("GET", "/v1/agent/self", deadline_s=LIMIT_S),
    "lock": lambda client, _: client.lock("l", wait_s=LIMIT_S).acquire(),
    "lock that is only tried": lambda client, _: client.lock("l", wait_s=0).acquire(),
    "semaphore": lambda client, _: client.semaphore("m", 1, wait_s=LIMIT_S).acquire(),
    "semaphore that is only tried": lambda client, _: client.semaphore("m", 1, wait_s=0).acquire(),
    "election": lambda client, _: client.election("e", "me", wait_s=LIMIT_S).acquire(),
    "election.leader": lambda client, _: client.election("e", "").leader(deadline_s=LIMIT_S),
    "election.observe": lambda client, _: anext(
        client.election("e", "").observe(patience_s=LIMIT_S)
    ),
    "paxos.propose": lambda client, _: AsyncPaxos(client).propose("p", "1", deadline_s=LIMIT_S),
    "paxos.accept": lambda client, _: AsyncPaxos(client).accept("p", deadline_s=LIMIT_S),
    "paxos.decide": lambda client, _: AsyncPaxos(client).decide("p", deadline_s=LIMIT_S),
    "paxos.decide, as it is by default": lambda client, _: AsyncPaxos(client).decide("p"),
}

NO_LEADER = refusal(500, "no_quorum", "No cluster leader: waiting for 2 of 3 nodes to bootstrap")


def later(delay_s: float, answer: bytes) -> asyncio.Future[bytes]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()
    loop.call_later(delay_s, future.set_result, answer)
    return future


def without_leader(seen: Seen) -> Answer:
    """As a node does it: held for the time that the client gives, answered definitely."""
    limit = seen.headers.get("X-Quorate-Deadline", "").removesuffix("ms")
    return later(min(HOLD_S, float(limit) / 1000) if limit else HOLD_S, NO_LEADER)


def without_leader_as_consul(_: Seen) -> Answer:
    return later(HOLD_S, reply(500, "No cluster leader", {"X-Consul-Index": None}))


STATES: dict[str, Callable[[Seen], Answer] | bytes | None] = {
    "says nothing": None,
    "has no leader": without_leader,
    "has no leader, and knows no deadlines": without_leader_as_consul,
    "has no leader, and says so at once": NO_LEADER,
    "does not know the outcome": refusal(500, "outcome_unknown", "lost", definite=False),
    "is overloaded": reply(429, "full", {"X-Quorate-Error": "overloaded", "Retry-After": 1}),
    "has been removed": refusal(503, "unreachable", "this node was removed from the cluster"),
    "is stopping": refusal(503, "stopping", "bye"),
    "hangs up": CUT,
    "hangs up in mid reply": reply(200, b"x" * 99)[:-9] + CUT,
    "stops in mid reply": reply(200, b"x" * 99)[:-9],
    "stops in mid headers": b"HTTP/1.1 200 OK\r\nX-Consul-In",
    "sends interim replies only": b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    "is a server port": reply(400, "", {"X-Quorate-Server-Port": "n1:8500"}),
    "is a server port that speaks first": MAGIC + bytes(64),
    "is another service": b"+OK ready\r\n",
    "is another web server": reply(200, "<html>hello</html>", {"X-Consul-Index": None}),
    "finds nothing": reply(404, "<html>gone</html>", {"X-Consul-Index": None}),
    "redirects": reply(302, "", {"Location": "http://elsewhere/"}),
    "fails": reply(502, "Bad Gateway"),
}


def dies_after(replies: int) -> Callable[[Seen], Answer]:
    """A cluster that works for a few requests, and then says nothing; another holds the lock."""
    store = Store()
    store.sessions["other"] = {"ID": "other"}
    for key in ("l", "e", "m/other"):
        store.write(key, b"", "other")
    store.write("m/.lock", b'{"Limit":1,"Holders":{"other":true}}')
    left = replies

    def script(seen: Seen) -> Answer:
        nonlocal left
        left -= 1
        return store(seen) if left >= 0 else None

    return script


async def overdue(
    addresses: Sequence[str], folder: Path, limit_s: float, names: Iterable[str] = CALLS
) -> dict[str, str]:
    """The calls that did not end with an error of ours in time, all made at once, and why."""
    loop = asyncio.get_running_loop()
    found: dict[str, str] = {}

    async def check(name: str) -> None:
        own = folder / name.replace(" ", "-")
        own.mkdir()
        async with AsyncClient(addresses, deadline_s=LIMIT_S) as client:
            begun_s = loop.time()
            try:
                found[name] = f"returned {await CALLS[name](client, own)!r}"
            except QuorateError as error:
                took_s = loop.time() - begun_s
                if took_s > limit_s:
                    found[name] = f"took {took_s:.3f} s: {error}"

    await asyncio.gather(*(check(name) for name in names))
    return found


@asynccontextmanager
async def a_drip() -> AsyncGenerator[str, None]:
    """An address where replies come byte by byte, and never end."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nX-Consul-Index: 1\r\nContent-Length: 999999\r\n\r\n")
            while True:
                writer.write(b"[")
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()


@pytest.mark.parametrize("state", STATES)
def test_every_call_ends_within_its_limit_when_a_node(state: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with nodes(STATES[state]) as [node]:
            found = await overdue([node.address], tmp_path, LIMIT_S + SLACK_S)
            if state == "is another web server":
                del found["call"]  # it makes nothing of a reply
            assert found == {}

    leaping.run(work())


def test_every_call_ends_within_its_limit_when_a_reply_drips(tmp_path: Path) -> None:
    async def work() -> None:
        async with a_drip() as address:
            assert await overdue([address], tmp_path, LIMIT_S + SLACK_S) == {}

    leaping.run(work())


def test_every_call_ends_at_once_when_nothing_listens(tmp_path: Path) -> None:
    async def work() -> None:
        async with nodes(None) as [node]:
            await node.stop()
            assert await overdue([node.address], tmp_path, 0.5) == {}

    leaping.run(work())


def test_every_call_ends_within_its_limit_when_no_node_of_three_is_of_use(tmp_path: Path) -> None:
    async def work() -> None:
        async with nodes(None, without_leader, None) as three:
            addresses = [node.address for node in three]
            assert await overdue(addresses, tmp_path, LIMIT_S + SLACK_S) == {}

    leaping.run(work())


@pytest.mark.parametrize("replies", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "name",
    [
        "lock",
        "lock that is only tried",
        "semaphore",
        "semaphore that is only tried",
        "election",
        "paxos.decide",
    ],
)
def test_a_call_of_several_requests_ends_in_time_when_the_cluster_dies_between_them(
    name: str, replies: int, tmp_path: Path
) -> None:
    async def work() -> None:
        async with nodes(dies_after(replies)) as [node]:
            assert await overdue([node.address], tmp_path, LIMIT_S + SLACK_S, [name]) == {}

    leaping.run(work())


# --- what is said at the end ----------------------------------------------------------------------


@pytest.mark.parametrize("limit_s", [0.5, 3.0, 6.9, 7.2, 10.0, 15.0])
@pytest.mark.parametrize("name", ["kv.put", "kv.cas", "txn", "session.create", "kv.get", "lock"])
def test_no_leader_stays_definite_and_keeps_its_reason_at_every_deadline(
    name: str, limit_s: float
) -> None:
    calls: dict[str, Callable[[AsyncClient], Awaitable[object]]] = {
        "kv.put": lambda client: client.kv.put("a", "1", deadline_s=limit_s),
        "kv.cas": lambda client: client.kv.cas("a", "1", 0, deadline_s=limit_s),
        "txn": lambda client: client.txn().put("a", "1").commit(deadline_s=limit_s),
        "session.create": lambda client: client.session.create(deadline_s=limit_s),
        "kv.get": lambda client: client.kv.get("a", deadline_s=limit_s),
        "lock": lambda client: client.lock("l", wait_s=limit_s).acquire(),
    }

    async def work() -> None:
        async with nodes(without_leader) as [node], AsyncClient(node.address) as client:
            with pytest.raises(QuorateError, match="waiting for 2 of 3 nodes") as caught:
                await calls[name](client)
            assert caught.value.definite
            assert caught.value.code == "no_quorum"

    leaping.run(work())


def test_a_lock_without_an_answer_tells_what_was_waited_for() -> None:
    async def work() -> None:
        async with nodes(None) as [node], AsyncClient(node.address) as client:
            with pytest.raises(UnavailableError, match=r"lock 'l'.*no reply within") as caught:
                await client.lock("l", wait_s=LIMIT_S).acquire()
            assert "may have happened" not in caught.value.text

    leaping.run(work())


def test_a_lock_that_another_holds_is_reported_so_though_the_cluster_falls_silent() -> None:
    async def work() -> None:
        async with (
            nodes(dies_after(3)) as [node],
            AsyncClient(node.address, deadline_s=LIMIT_S) as client,
        ):
            with pytest.raises(LockHeldError, match="session other holds it"):
                await client.lock("l", wait_s=LIMIT_S).acquire()

    leaping.run(work())


# --- the sync client, whose sockets are its own ---------------------------------------------------


@pytest.mark.parametrize(
    "state",
    ["says nothing", "stops in mid reply", "hangs up", "has no leader, and says so at once"],
)
def test_calls_of_the_sync_client_end(state: str, tmp_path: Path) -> None:
    limit_s = 0.05
    with (
        nodes_in_thread(STATES[state]) as [node],
        Client(node.address, deadline_s=limit_s) as client,
    ):
        calls: list[Callable[[], object]] = [
            lambda: client.kv.get("a"),
            lambda: client.kv.put("a", "1"),
            lambda: client.lock("l", wait_s=limit_s).acquire(),
            lambda: client.lock("l", wait_s=0).acquire(),
            lambda: client.snapshot.save(tmp_path / "s"),
            lambda: next(client.kv.watch("a", patience_s=limit_s)),
            lambda: Paxos(client).decide("p"),
        ]
        for call in calls:
            with pytest.raises(QuorateError):
                call()


def test_bytes_that_drip_in_do_not_prolong_a_call_of_the_sync_client() -> None:
    async def serve() -> None:
        async with a_drip() as address:
            with Client(address, deadline_s=0.1) as client:
                with pytest.raises(QuorateError, match="in time"):
                    await asyncio.to_thread(client.kv.get, "a")
                with pytest.raises(QuorateError, match="in time"):
                    await asyncio.to_thread(client.kv.put, "a", "1")

    asyncio.run(serve())


def test_a_limit_without_end_is_one_that_sockets_take() -> None:
    answer = reply(200, b"true", {"X-Quorate-Index": 7})
    with nodes_in_thread(answer) as [node], Client(node.address) as client:
        assert client.kv.put("a", "1", deadline_s=float("inf")) == 7


def test_an_unknown_outcome_stays_unknown() -> None:
    async def work() -> None:
        async with nodes(None) as [node], AsyncClient(node.address) as client:
            with pytest.raises(OutcomeUnknownError):
                await client.kv.put("a", "1", deadline_s=LIMIT_S)

    leaping.run(work())
