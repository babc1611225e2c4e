"""Load on a running cluster by our own client."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from quorate.base.errors import QuorateError
from quorate.cli.output import progress
from quorate.client.aio.client import AsyncClient

KEYS = 1000


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
            with progress("measuring", len(calls) * 1000) as bar:
                for name, call in calls.items():
                    found.append(await _loaded(name, call, prefix, seconds, concurrency))
                    bar.advance(1000)
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
