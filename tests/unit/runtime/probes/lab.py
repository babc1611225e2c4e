"""Targets of probes, in the loop of the test: raw servers that do what a test says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from quorate.monitoring.definitions import SECOND_NS, CheckDefinition
from quorate.runtime.probes.found import ProbeFinding
from quorate.runtime.probes.runner import ProbeRunner
from tests.limits import HANG_S

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

NEVER_NS = int(HANG_S * SECOND_NS)
"""A timeout that a probe which ends does not reach."""

SOON_NS = SECOND_NS // 20
"""A timeout for targets that never answer."""


def check(**fields: Any) -> CheckDefinition:
    """A check; without a timeout it has one that it does not reach."""
    common: dict[str, Any] = {
        "id": "c",
        "name": "c",
        "interval_ns": SECOND_NS,
        "timeout_ns": NEVER_NS,
    }
    return CheckDefinition(**common | fields)


async def probed(definition: CheckDefinition, bytes_max: int = 4096) -> ProbeFinding:
    """The result of one probe."""
    runner = ProbeRunner(bytes_max, runs_scripts=True)
    result: asyncio.Future[ProbeFinding] = asyncio.get_running_loop().create_future()
    runner.start(definition, lambda status, output: result.set_result(ProbeFinding(status, output)))
    async with asyncio.timeout(2 * HANG_S):
        return await result


def one(definition: CheckDefinition, bytes_max: int = 4096) -> ProbeFinding:
    """The same, in a loop of its own."""
    return uvloop.run(probed(definition, bytes_max))


def against(
    handler: Handler, definition_of: Callable[[int], CheckDefinition], bytes_max: int = 4096
) -> ProbeFinding:
    """The result of a probe of a server, which gets each connection; see `definition_of`: port."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def story() -> ProbeFinding:
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await probed(definition_of(port), bytes_max)
        finally:
            server.close()

    return uvloop.run(story())


async def request_of(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """First line, headers and body of a request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in head[1:]:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return head[0], headers, body
