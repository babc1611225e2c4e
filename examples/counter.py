"""Count with several processes, without a lock: read, add, write only if nobody else did.

python examples/counter.py [host:port ...]
"""
# ruff: noqa: T201 - it prints

import asyncio
import sys

from quorate import AsyncClient, OutcomeUnknownError

KEY = "examples/counter"
ADDITIONS = 100


async def add_one(client: AsyncClient) -> int:
    """Add one and return the new count."""
    while True:
        entry = await client.kv.get(KEY)
        count = int(entry.value) + 1 if entry else 1
        if await client.kv.cas(KEY, str(count).encode(), entry.modify_index if entry else 0):
            return count


async def main() -> None:
    """Add a hundred times, ten at once, and say what stands there."""
    async with AsyncClient(sys.argv[1:] or None) as client:

        async def add_some() -> None:
            for _ in range(ADDITIONS // 10):
                await add_one(client)

        try:
            await asyncio.gather(*(add_some() for _ in range(10)))
        except OutcomeUnknownError as error:
            print(f"one addition may have happened or not: {error}")
        value = await client.kv.read(KEY)
        print("the counter stands at", (value or b"0").decode())


if __name__ == "__main__":
    asyncio.run(main())
