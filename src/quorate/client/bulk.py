"""Writing many keys concurrently; a module of its own, so that few commands import asyncio."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from quorate.base.errors import QuorateError, RequestError
from quorate.client.aio.client import AsyncClient
from quorate.client.requests import fits_path

WRITERS = 64  # concurrent puts, which share a node's bundles; more gain nothing
DEADLINE_S = 30.0

Item = tuple[str, bytes, int]  # key, value, flags


def write_all(
    nodes: str | Sequence[str], token: str, items: Iterable[Item], done: Callable[[], object]
) -> None:
    """Write every item, and call `done` after each; stop at the first that fails.

    Raises:
        QuorateError: One could not be written; those before it were, some after it may have been.
    """
    waiting = iter(items)

    async def write(client: AsyncClient) -> None:
        for key, value, flags in waiting:
            await _put(client, key, value, flags)
            done()

    async def write_together() -> None:
        async with AsyncClient(nodes, token=token, deadline_s=DEADLINE_S) as client:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(WRITERS):
                        tasks.create_task(write(client))
            except* QuorateError as group:
                raise group.exceptions[0] from None

    asyncio.run(write_together())


async def _put(client: AsyncClient, key: str, value: bytes, flags: int) -> None:
    """Write a key; by a transaction if no path can carry it, which only transactions write."""
    if fits_path(key):
        await client.kv.put(key, value, flags=flags)
        return
    done = await client.txn().put(key, value, flags=flags).commit()
    if not done:
        raise RequestError("bad_request", f"key {key!r}: {done.faults[0].text}")
