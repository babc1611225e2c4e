"""Sessions, status, snapshots, and what has no method."""

import asyncio
import json
from pathlib import Path

import pytest

from quorate.base.errors import NotFoundError, RequestError, UnavailableError
from quorate.client import AsyncClient, MemberInfo
from tests.unit.client.fakes import CUT, Script, Seen, Store, always, nodes, refusal, reply, until


def test_a_session_is_made_renewed_listed_and_ended() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            session = await client.session.create("mine", ttl_s=15, behavior="delete")
            info = await client.session.renew(session)
            assert info is not None
            assert (info.id, info.name, info.ttl_s) == (session, "mine", 15.0)
            assert (info.behavior, info.lock_delay_s) == ("delete", 15.0)
            assert await client.session.info(session) == info
            assert await client.session.all() == [info]
            await client.session.destroy(session)
            assert await client.session.info(session) is None
            assert await client.session.renew(session) is None

    asyncio.run(run())


def test_a_session_depends_on_no_node_by_default() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            await client.session.create()
            assert json.loads(node.seen[0].body)["NodeChecks"] == []

    asyncio.run(run())


def test_an_id_that_would_be_another_path_is_refused() -> None:
    async def run() -> None:
        async with AsyncClient() as client:
            for session in ("", "a/b", "..", "a\n"):
                with pytest.raises(RequestError):
                    await client.session.renew(session)

    asyncio.run(run())


def test_a_key_cannot_be_taken_for_an_unknown_session() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            with pytest.raises(NotFoundError, match="invalid session"):
                await client.kv.acquire("a", b"", "gone")

    asyncio.run(run())


def test_the_status_comes_in_our_words() -> None:
    replies = {
        "/v1/status/leader": "10.0.0.1:8300",
        "/v1/status/peers": ["10.0.0.1:8300"],
        "/v1/agent/members": [
            {"Name": "n1", "Addr": "10.0.0.1", "Port": 8301, "Status": 1, "Tags": {"role": "x"}},
            {"Name": "n2", "Addr": "10.0.0.2", "Port": 8301, "Status": 4, "Tags": None},
        ],
    }

    def script(seen: Seen) -> bytes:
        return reply(200, json.dumps(replies[seen.path]))

    async def run() -> None:
        async with nodes(script) as [node], AsyncClient(node.address) as client:
            assert await client.status.leader() == "10.0.0.1:8300"
            assert await client.status.peers() == ["10.0.0.1:8300"]
            assert await client.status.members() == [
                MemberInfo("n1", "10.0.0.1", 8301, "alive", {"role": "x"}),
                MemberInfo("n2", "10.0.0.2", 8301, "failed", {}),
            ]

    asyncio.run(run())


def snapshots(answer: bytes) -> Script:
    """A node that reads keys, and replies this when asked for a snapshot."""
    return lambda seen: answer if seen.path == "/v1/snapshot" else reply(404)


def test_a_snapshot_is_saved_whole_and_restored(tmp_path: Path) -> None:
    state = bytes(range(256)) * 2000
    path = tmp_path / "backup.snap"

    def script(seen: Seen) -> bytes:
        return reply(200, state if seen.method == "GET" else b"", {"X-Consul-Index": 42})

    async def run() -> None:
        async with nodes(script) as [node], AsyncClient(node.address) as client:
            assert await client.snapshot.save(path) == 42
            assert path.read_bytes() == state
            await client.snapshot.restore(path)
            assert node.seen[-1].body == state

    asyncio.run(run())
    assert [child.name for child in tmp_path.iterdir()] == ["backup.snap"]


def test_a_snapshot_cut_off_leaves_no_file_and_the_old_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "backup.snap"
    path.write_bytes(b"old")

    async def run() -> None:
        async with (
            nodes(snapshots(reply(200, b"x" * 1000)[:-9] + CUT)) as [node],
            AsyncClient(node.address) as client,
        ):
            with pytest.raises(UnavailableError):
                await client.snapshot.save(path, deadline_s=0.2)
        assert path.read_bytes() == b"old"

    asyncio.run(run())
    assert [child.name for child in tmp_path.iterdir()] == ["backup.snap"]


def test_a_snapshot_is_begun_anew_at_the_next_node(tmp_path: Path) -> None:
    whole = reply(200, b"y" * 1000)

    async def run() -> None:
        async with (
            nodes(snapshots(whole[:-9] + CUT), snapshots(whole)) as [cutting, other],
            AsyncClient([cutting.address, other.address]) as client,
        ):
            await client.snapshot.save(tmp_path / "s")
        assert (tmp_path / "s").read_bytes() == b"y" * 1000

    asyncio.run(run())


def test_two_snapshots_saved_to_one_place_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "s"
    texts = (b"a" * 100_000, b"b" * 200_000)

    async def run() -> None:
        async with (
            nodes(*(snapshots(reply(200, text)[:-9]) for text in texts)) as both,
            AsyncClient(both[0].address) as one,
            AsyncClient(both[1].address) as other,
        ):
            saving = [asyncio.create_task(each.snapshot.save(path)) for each in (one, other)]
            await until(lambda: sum(part.stat().st_size for part in tmp_path.iterdir()) > 250_000)
            for node, text in zip(both, texts, strict=True):
                for connection in tuple(node.connections):
                    if connection.requests and connection.transport and node.seen:
                        connection.transport.write(text[-9:])
            await asyncio.gather(*saving)

    asyncio.run(run())
    assert path.read_bytes() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_is_no_place_for_a_snapshot_and_nothing_is_asked_for_it(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with nodes(snapshots(b"")) as [node], AsyncClient(node.address) as client:
            with pytest.raises(IsADirectoryError):
                await client.snapshot.save(tmp_path)
            assert node.seen == []

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_method_can_be_asked_for() -> None:
    async def run() -> None:
        async with (
            nodes(reply(200, {"a": 1})) as [node],
            AsyncClient(node.address) as client,
        ):
            answer = await client.call("GET", "/v1/agent/self", pretty=True, dc="dc 1")
            assert json.loads(answer.body) == {"a": 1}
            assert node.seen[0].query == {"pretty": "", "dc": "dc 1"}
            node.script = always(refusal(404, "not_found", "no such thing"))
            with pytest.raises(NotFoundError, match="no such thing"):
                await client.call("PUT", "/v1/nothing")

    asyncio.run(run())
