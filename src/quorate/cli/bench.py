"""`quorate bench`: how fast a running cluster answers, seen from here."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from quorate.base.errors import QuorateError
from quorate.cli.connect import Connection, connected
from quorate.cli.output import Json, fail, note, progress, say_columns, say_json
from quorate.client.aio.client import AsyncClient

KEYS = 1000


@connected("bench", "", "Error! Not measured", takes_time=True)
def bench(
    connection: Connection,
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
    with connection.client() as client:
        if client.kv.keys(prefix):
            fail(f"Error! There are keys below {prefix} already; choose another -prefix")
    note(f"{concurrency} calls at once, values of {value_bytes} bytes, {seconds:g} s each")
    found = measured(
        connection.node(), connection.secret(), prefix, seconds, concurrency, value_bytes
    )
    if json:
        say_json([each._asdict() for each in found])
        return
    heading = ["", "per s", "p50 ms", "p99 ms", "longest ms", "errors"]
    rows = [
        [
            each.name,
            f"{each.per_s:,.0f}",
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
            f"{each.max_ms:.2f}",
            str(each.errors),
        ]
        for each in found
    ]
    say_columns([heading, *rows])


class Measured(NamedTuple):
    """What one kind of call did."""

    name: str
    per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int


Call = Callable[[str], Awaitable[object]]


def measured(
    node: str, token: str, prefix: str, seconds: float, concurrency: int, value_bytes: int
) -> list[Measured]:
    """Measure puts, reads and stale reads; the keys are gone afterwards.

    Args:
        node: Endpoint of the client.
        token: Sent with every request.
        prefix: Before every key.
        seconds: Length of each part.
        concurrency: Calls at once.
        value_bytes: Size of a value.

    Raises:
        QuorateError: The cluster does not answer at all.
    """
    return asyncio.run(_measured(node, token, prefix, seconds, concurrency, value_bytes))


async def _measured(
    node: str, token: str, prefix: str, seconds: float, concurrency: int, value_bytes: int
) -> list[Measured]:
    numbers = itertools.count()

    def value() -> bytes:  # never twice the same: that would be less work
        return b"%0*d" % (value_bytes, next(numbers)) if value_bytes else b""

    async with AsyncClient(node, token=token) as client:
        calls: dict[str, Call] = {
            "put": lambda key: client.kv.put(key, value()[-value_bytes:]),
            "get": client.kv.read,
            "get stale": lambda key: client.kv.read(key, stale=True),
        }
        found: list[Measured] = []
        try:
            with progress("measuring", len(calls) * 1000) as advance:
                for name, call in calls.items():
                    found.append(await _loaded(name, call, prefix, seconds, concurrency))
                    advance(1000)
        finally:
            await client.kv.delete_tree(prefix)
    return found


async def _loaded(name: str, call: Call, prefix: str, seconds: float, concurrency: int) -> Measured:
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
    return Measured(
        name,
        round(len(took_s) / whole_s, 1),
        round(1000 * _quantile(took_s, 0.5), 3),
        round(1000 * _quantile(took_s, 0.99), 3),
        round(1000 * _quantile(took_s, 1.0), 3),
        errors,
    )


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
