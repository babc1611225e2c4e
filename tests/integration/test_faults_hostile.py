"""What hostile clients and peers do to one node under load: garbage, floods, silence."""

import asyncio
import contextlib
import os
import random
import struct
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quorate.base.batches import Member
from quorate.base.config import ClusterConfig
from quorate.base.ids import GroupNumber, NodeId
from quorate.base.messages import ReadIndexRequest
from quorate.client import AsyncClient
from quorate.lab.launch import NodeProcess
from quorate.runtime.reserved import HOST
from quorate.wire.frame import encode_frame
from quorate.wire.hello import (
    MAGIC,
    VERSION_MAX,
    VERSION_MIN,
    Hello,
    config_hash,
    encode_hello,
)
from tests.integration.stage import MIB, SLOW_MACHINE, Stage, played
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ATTACKER = "127.0.0.9"  # the load comes from elsewhere
GROWTH_BYTES_MAX = 96 * MIB
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def resident_bytes(node: NodeProcess) -> int:
    """The memory a node's process has."""
    return int(Path(f"/proc/{node.pid}/statm").read_text().split()[1]) * PAGE_BYTES


@asynccontextmanager
async def connected(port: int, count: int = 1) -> AsyncGenerator[list[Connection], None]:
    """Some connections to a port of a node; those that were refused at once are left out."""
    found: list[Connection] = []
    try:
        for _ in range(count):
            with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop's word for closed
                found.append(await asyncio.open_connection(HOST, port, local_addr=(ATTACKER, 0)))
        yield found
    finally:
        for _, writer in found:
            writer.transport.abort()


async def said(connection: Connection, data: bytes) -> None:
    """Send bytes, as far as the other end takes them."""
    _, writer = connection
    with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop's word for closed
        writer.write(data)
        await writer.drain()


async def rest_of(connection: Connection) -> bytes:
    """All that comes until the other end closes, which it must."""
    reader, _ = connection
    received = b""
    with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop's word for closed
        async with asyncio.timeout(HANG_S):
            while data := await reader.read(65536):
                received += data
    return received


async def borne(stage: Stage, victim: NodeProcess, attack: Awaitable[None]) -> None:
    """Make an attack while the load goes on: nothing suffers from it, and memory stays bounded."""
    leader = await stage.leader()
    before = resident_bytes(victim)
    await attack
    grown = resident_bytes(victim) - before
    assert grown < GROWTH_BYTES_MAX, f"{grown / MIB:.0f} MiB more"
    await stage.load.writes(100)
    assert await stage.leader() is leader
    assert stage.load.history.errors == {}
    assert victim.is_running()


# --- the port for peers -----------------------------------------------------------------------


def hello_of(number: int, cluster_id: str = "") -> bytes:
    """What a node says first that nobody knows."""
    name = f"unknown-{number}"
    member = Member(NodeId(name), name, f"{ATTACKER}:1", "")
    return encode_hello(
        Hello(VERSION_MIN, VERSION_MAX, cluster_id, member, 1, number, config_hash(ClusterConfig()))
    )


def announced(length: int) -> bytes:
    """The head of a frame that claims to be so long."""
    return struct.pack("<IIIII", 0, length, 0, 0, 0)


OPENINGS: dict[str, tuple[bytes, str]] = {
    "garbage": (random.Random(1).randbytes(MIB), "does not speak Quorate's node protocol"),
    "http": (b"GET / HTTP/1.1\r\n\r\n", "does not speak Quorate's node protocol"),
    "a huge handshake": (MAGIC + struct.pack("<II", 2**32 - 1, 0), "announced a handshake of"),
    "a damaged handshake": (MAGIC + struct.pack("<II", 4, 0) + b"abcd", "was damaged on its way"),
    "a handshake, then garbage": (hello_of(1) + b"\x07" * 4096, "peer announced a frame of"),
    "a huge frame": (hello_of(2) + announced(2**32 - 1), "peer announced a frame of"),
    "a damaged frame": (hello_of(3) + announced(100) + bytes(100), "frame was damaged"),
    "a group that is not here": (
        hello_of(5) + b"".join(encode_frame(ReadIndexRequest(1), GroupNumber(7))),
        "of group 7, and this node hosts group 0 only",
    ),
    "another cluster": (hello_of(4, "no-such-cluster"), "belongs to cluster no-such-cluster"),
}


def test_what_breaks_the_peer_protocol_costs_its_connection_only(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()

        async def attack() -> None:
            for data, complaint in OPENINGS.values():
                for _ in range(5):
                    async with connected(victim.ports.server) as found:
                        for connection in found:
                            await said(connection, data)
                            await rest_of(connection)
                await stage.says(victim, "peer refused", complaint)

        await borne(stage, victim, attack())

    played(tmp_path, story, config=SLOW_MACHINE)


def test_a_stream_without_end_is_cut_off(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()

        async def attack() -> None:
            block = random.Random(2).randbytes(MIB)
            async with connected(victim.ports.server, 8) as found:
                for connection in found:
                    await said(connection, MAGIC)
                for _ in range(64):
                    await asyncio.gather(*(said(connection, block) for connection in found))
                await asyncio.gather(*map(rest_of, found))

        await borne(stage, victim, attack())

    played(tmp_path, story, config=SLOW_MACHINE)


def test_connections_that_say_nothing_keep_no_node_out(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()
        other = stage.others(victim)[0]

        async def attack() -> None:
            async with connected(victim.ports.server, 300) as silent:
                other.kill()
                await stage.start(other)  # its place among unknown connections may be taken
                await asyncio.gather(*map(rest_of, silent))

        before = resident_bytes(victim)
        await attack()
        assert resident_bytes(victim) - before < GROWTH_BYTES_MAX
        await stage.says(victim, "said no whole Hello within")

    played(tmp_path, story, config=SLOW_MACHINE)


def test_half_a_frame_and_then_silence_is_borne(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()

        before = resident_bytes(victim)

        async def attack() -> None:
            async with connected(victim.ports.server, 60) as found:
                for number, connection in enumerate(found):
                    head = hello_of(100 + number) + announced(16 * MIB)
                    await said(connection, head + bytes(5 * MIB))
                await stage.load.writes(300)
                grown = resident_bytes(victim) - before
                assert grown < GROWTH_BYTES_MAX, f"{grown / MIB:.0f} MiB more"

        await borne(stage, victim, attack())
        await stage.says(victim, "peer refused", "left a message unfinished")

    played(tmp_path, story, config=SLOW_MACHINE)


# --- the port for clients ---------------------------------------------------------------------

LONG = b"x" * 600_000
BROKEN: dict[str, tuple[bytes, bytes]] = {
    "garbage": (random.Random(3).randbytes(4096), b"400 "),
    "a long header": (b"GET / HTTP/1.1\r\nX: " + b"y" * 300_000, b"431 "),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000, b"431 "),
    "a long path": (b"GET /" + b"z" * 300_000, b"431 "),
    "no chunk": (
        b"PUT /v1/kv/bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"400 ",
    ),
    "a chunk without end": (
        (
            b"PUT /v1/kv/bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"fffffffffffffffff\r\n"
        ),
        b"400 ",
    ),
    "two lengths": (
        b"PUT /v1/kv/bad HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"400 ",
    ),
    "a length and chunks": (
        b"PUT /v1/kv/bad HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"400 ",
    ),
    "a body that says it is too long": (
        b"PUT /v1/kv/bad HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
        b"413 ",
    ),
    "chunks that become too long": (
        b"PUT /v1/kv/bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(LONG), LONG),
        b"413 ",
    ),
    "no method": (b"DANCE /v1/kv/bad HTTP/1.1\r\nHost: a\r\n\r\n", b"405 "),
    "a method of others": (
        b"PATCH /v1/kv/bad HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"405 ",
    ),
    "no version": (b"GET /v1/kv/bad HTTP/9.9\r\nHost: a\r\n\r\n", b"400 "),
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"400 "),
}


def test_what_is_no_good_http_is_answered_and_closed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()

        async def attack() -> None:
            for name, (data, status) in BROKEN.items():
                for _ in range(3):
                    async with connected(victim.ports.http) as found:
                        for connection in found:
                            await said(connection, data)
                            received = await rest_of(connection)
                            assert received.startswith(b"HTTP/1.1 " + status), (
                                name,
                                received[:200],
                            )

        await borne(stage, victim, attack())
        async with AsyncClient(victim.address) as client:
            assert await client.kv.get("bad") is None

    played(tmp_path, story, config=SLOW_MACHINE)


def test_half_a_body_writes_nothing(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()

        async def attack() -> None:
            head = b"PUT /v1/kv/half HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n"
            async with connected(victim.ports.http, 100) as found:
                for connection in found:
                    await said(connection, head + b"h" * 400_000)
                await stage.load.writes(100)

        await borne(stage, victim, attack())
        async with AsyncClient(victim.address) as client:
            assert await client.kv.get("half") is None

    played(tmp_path, story, config=SLOW_MACHINE)


def test_a_client_that_never_comes_to_the_point_is_cut_off(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()

        async def drip(connection: Connection) -> bytes:
            receiving = asyncio.create_task(rest_of(connection))
            await said(connection, b"GET /v1/kv/slow HTTP/1.1\r\n")
            while not receiving.done():
                await said(connection, b"X: y\r\n")
                await asyncio.wait([receiving], timeout=0.2)
            return await receiving

        async def attack() -> None:
            async with connected(victim.ports.http, 100) as found:
                responses = await asyncio.gather(*map(drip, found))
            assert {answer.split(b" ")[1] for answer in responses} == {b"408"}

        await borne(stage, victim, attack())

    played(tmp_path, story, config=SLOW_MACHINE)


def test_too_many_connections_of_one_client_keep_no_other_out(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()

        async def attack() -> None:
            async with connected(victim.ports.http, 260) as found:
                assert len(found) == 260
                await stage.load.writes(100)
                responses = await asyncio.gather(*map(rest_of, found[200:]))
            assert {answer.split(b"\r\n")[0] for answer in responses} == {
                b"HTTP/1.1 429 Too Many Requests"
            }

        await borne(stage, victim, attack())

    played(tmp_path, story, config=SLOW_MACHINE)


GREEDY: dict[str, bytes] = {
    "stale": b"GET /v1/kv/big?stale HTTP/1.1\r\nHost: a\r\n\r\n" * 2000,
    "default": b"GET /v1/kv/big HTTP/1.1\r\nHost: a\r\n\r\n" * 2000,
    "consistent": b"GET /v1/kv/big?consistent HTTP/1.1\r\nHost: a\r\n\r\n" * 2000,
    "in a transaction": (
        b"PUT /v1/txn HTTP/1.1\r\nHost: a\r\nContent-Length: 39\r\n\r\n"
        b'[{"KV": {"Verb": "get", "Key": "big"}}]'
    )
    * 500,
    "behind one that waits": (
        b"GET /v1/kv/big?index=1000000 HTTP/1.1\r\nHost: a\r\n\r\n"
        + b"GET /v1/kv/big?stale HTTP/1.1\r\nHost: a\r\n\r\n" * 200
    ),
}


@pytest.mark.parametrize("asked", GREEDY.values(), ids=GREEDY.keys())
def test_answers_that_nobody_takes_are_borne(tmp_path: Path, asked: bytes) -> None:
    async def story(stage: Stage) -> None:
        victim = await stage.leader()
        async with AsyncClient(victim.address) as client:
            await client.kv.put("big", b"b" * 500_000)
            before = resident_bytes(victim)

            async def attack() -> None:
                async with connected(victim.ports.http, 20) as found:
                    for _, writer in found:
                        writer.write(asked)
                    await stage.load.writes(300)
                    async with asyncio.timeout(HANG_S):
                        await client.kv.put("small", b"s")
                    grown = resident_bytes(victim) - before
                    assert grown < GROWTH_BYTES_MAX, f"{grown / MIB:.0f} MiB more"

            await borne(stage, victim, attack())

    played(tmp_path, story, config=SLOW_MACHINE)
