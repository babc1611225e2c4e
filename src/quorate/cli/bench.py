"""`quorate bench`: how fast a running cluster answers, measured from this machine."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from quorate.base.errors import QuorateError
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.output import Json, columns, fail, note, progress, show
from quorate.client.aio.client import AsyncClient

KEYS = 1000


@connected("bench", "", "Error! Not measured", has_progress=True)
def bench(
    connection: ConnectionFlags,
    *,
    seconds: Annotated[float, "Length of each part."] = 3.0,
    concurrency: Annotated[int, "Calls at once."] = 64,
    value_bytes: Annotated[int, "Size of a value."] = 256,
    prefix: Annotated[str, "Keys are written, and deleted, below it."] = "quorate-bench/",
    json: Json = False,
) -> None:
    """Write, read and read stale for some seconds each, with our own client; then clean up.

    Examples:
        quorate bench
        quorate bench -seconds=10 -concurrency=256 -value-bytes=4096
    """
    if not prefix.strip("/"):
        fail("Error! -prefix must not be empty: all keys below it are deleted at the end")
    if seconds <= 0 or concurrency < 1 or value_bytes < 0:
        fail("Error! -seconds, -concurrency and -value-bytes must be positive")
    if connection.client.kv.keys(prefix):
        fail(f"Error! There are keys below {prefix} already; choose another -prefix")
    note(f"{concurrency} calls at once, values of {value_bytes} bytes, {seconds:g} s each")
    numbers = itertools.count()

    def value() -> bytes:  # a repeated value would be less work
        return (b"%0*d" % (value_bytes, next(numbers)))[-value_bytes:] if value_bytes else b""

    async def measure() -> list[Measured]:
        async with AsyncClient(connection.node, token=connection.secret) as client:
            calls: dict[str, Call] = {
                "put": lambda key: client.kv.put(key, value()),
                "get": client.kv.read,
                "get stale": lambda key: client.kv.read(key, stale=True),
            }
            found: list[Measured] = []
            try:
                with progress("measuring", len(calls) * 1000) as advance:
                    for name, call in calls.items():
                        found.append(await _measured(name, call, prefix, seconds, concurrency))
                        advance(1000)
            finally:
                await client.kv.delete_tree(prefix)
            return found

    found = asyncio.run(measure())
    heading = ["", "per s", "p50 ms", "p99 ms", "longest ms", "errors"]
    rows = (
        [name, f"{per_s:,.0f}", *(f"{each:.2f}" for each in latencies_ms), str(errors)]
        for name, per_s, *latencies_ms, errors in found
    )
    show([each._asdict() for each in found], columns([heading, *rows]), json)


class Measured(NamedTuple):
    """The results of one kind of call."""

    name: str
    per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int


Call = Callable[[str], Awaitable[object]]


async def _measured(
    name: str, call: Call, prefix: str, seconds: float, concurrency: int
) -> Measured:
    keys = [f"{prefix}{number:04d}" for number in range(KEYS)]
    random.Random(1).shuffle(keys)  # noqa: S311 - only spreads the load
    next_key = itertools.cycle(keys)
    took_s: list[float] = []
    errors = 0
    began_s = time.perf_counter()

    async def work() -> None:
        nonlocal errors
        while (start_s := time.perf_counter()) < began_s + seconds:
            try:
                await call(next(next_key))
            except QuorateError:
                errors += 1
            else:
                took_s.append(time.perf_counter() - start_s)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(work())
    whole_s = time.perf_counter() - began_s
    took_s.sort()
    p50_ms, p99_ms, max_ms = (
        round(1000 * took_s[min(len(took_s) - 1, int(part * len(took_s)))], 3) if took_s else 0.0
        for part in (0.5, 0.99, 1.0)
    )
    return Measured(name, round(len(took_s) / whole_s, 1), p50_ms, p99_ms, max_ms, errors)
