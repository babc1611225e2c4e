"""Many requests on one connection: those that make no sense, and those whose order counts."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from quorate.lab.launch import NodeProcess
from quorate.runtime.reserved import HOST
from tests.integration.stage import SLOW_MACHINE, Stage, log_of, played
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ATTACKER = "127.0.0.9"  # the load comes from elsewhere
SECRET = "c0ffee-is-nobodys-business"
AT_ONCE = 25

SENSELESS = {
    "acquire": ("PUT", "/v1/kv/a?acquire=%ff", SECRET),
    "release": ("PUT", "/v1/kv/a?release=%ed%a0%80", SECRET),
    "flags": ("PUT", "/v1/kv/a?flags=" + "9" * 5000, SECRET),
    "wait": ("GET", "/v1/kv/a?index=1&wait=" + "9" * 5000 + "s", ""),
    "id": ("DELETE", "/v1/operator/raft/peer?id=%ff", ""),
    "session": ("PUT", "/v1/session/renew/%ff", SECRET),
    "Session": (
        "PUT",
        "/v1/txn",
        f'[{{"KV":{{"Verb":"lock","Key":"{SECRET}","Session":"\\ud800"}}}}]',
    ),
    "Flags": ("PUT", "/v1/txn", f'[{{"KV":{{"Verb":"set","Key":"{SECRET}","Flags":1e309}}}}]'),
    "Name": ("PUT", "/v1/session/create", f'{{"Name":"{SECRET}\\ud800"}}'),
    "LockDelay": ("PUT", "/v1/session/create", f'{{"Name":"{SECRET}","LockDelay":1e400}}'),
    "Tags": ("PUT", "/v1/agent/service/register", f'{{"Name":"a","Tags":["{SECRET}\\ud800"]}}'),
    "values": ("PUT", "/v1/txn", "[" + "[]," * 170_000 + "1]"),
}
"""By the word that the answer must have."""


def bytes_of(method: str, target: str, body: str) -> bytes:
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: x\r\nX-Consul-Token: {SECRET}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


async def responses(node: NodeProcess, data: bytes, count: int) -> list[bytes]:
    """Send these requests in one piece, and take so many answers."""
    reader, writer = await asyncio.open_connection(HOST, node.ports.http, local_addr=(ATTACKER, 0))
    found: list[bytes] = []
    try:
        async with asyncio.timeout(HANG_S):
            writer.write(data)
            for _ in range(count):
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                [length] = [line[16:] for line in lines if line.startswith(b"content-length: ")]
                found.append(head + await reader.readexactly(int(length)))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return found


def test_senseless_requests_are_refused_and_nobody_notices(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        for word, (method, target, body) in SENSELESS.items():
            data = bytes_of(method, target, body)
            for node in stage.nodes:
                for answer in await responses(node, data * AT_ONCE, AT_ONCE):
                    status, _, rest = answer.partition(b"\r\n")
                    assert status.startswith(b"HTTP/1.1 400 "), (word, answer)
                    assert b"X-Quorate-Definite: true" in rest, (word, answer)
                    assert word.encode() in rest, (word, answer)
        await stage.load.writes(100)
        assert await stage.leader() is leader
        assert stage.load.history.errors == {}
        for node in stage.nodes:
            assert SECRET not in log_of(node)
            assert "internal error" not in log_of(node)

    played(tmp_path, story, config=SLOW_MACHINE)


def test_pipelined_reads_and_writes_of_a_key_take_effect_in_their_order(tmp_path: Path) -> None:
    """On every node, under load, in pairs and in runs."""

    def sent(number: int) -> bytes:
        put = bytes_of("PUT", "/v1/kv/order", str(number))
        get = bytes_of("GET", "/v1/kv/order?raw", "")
        runs = number % 4 + 1
        return bytes_of("PUT", "/v1/kv/order", "older") * runs + put + get * runs

    async def story(stage: Stage) -> None:
        for node in stage.nodes:
            data = b"".join(sent(number) for number in range(AT_ONCE))
            found = await responses(node, data, sum(2 * (n % 4 + 1) + 1 for n in range(AT_ONCE)))
            bodies = [answer.partition(b"\r\n\r\n")[2] for answer in found]
            expected: list[bytes] = []
            for number in range(AT_ONCE):
                runs = number % 4 + 1
                expected += [b"true"] * (runs + 1) + [b"%d" % number] * runs
            assert bodies == expected
        await stage.load.writes(100)

    played(tmp_path, story)
