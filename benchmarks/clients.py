"""How fast our own client in Python writes: 64 puts at once from one process."""

import asyncio
import random
import time

import uvloop

from benchmarks.pools import KEYS, VALUE_BYTES
from benchmarks.systems import MEMBERS, System
from quorate.client import AsyncClient

CONCURRENCY = 64


def puts_per_s(system: System, seconds: float) -> float:
    """Puts a second through the leader, by one client used by 64 tasks."""
    leader = system.leader()
    addresses = [system.address((leader + turn) % MEMBERS) for turn in range(MEMBERS)]
    return uvloop.run(_puts_per_s(addresses, seconds))


async def _puts_per_s(addresses: list[str], seconds: float) -> float:
    rng = random.Random(1)
    done = 0
    rest = b"v" * (VALUE_BYTES - 8)
    end_s = time.perf_counter() + seconds

    async with AsyncClient(addresses) as client:

        async def write() -> None:
            nonlocal done
            while time.perf_counter() < end_s:
                await client.kv.put(f"bench/{rng.randrange(KEYS):05d}", b"%08d" % done + rest)
                done += 1

        began_s = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONCURRENCY):
                tasks.create_task(write())
        return done / (time.perf_counter() - began_s)
