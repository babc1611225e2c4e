"""Elect one leader among several processes. Start it three times, then stop the leader.

python examples/election.py [NAME [host:port ...]]
"""
# ruff: noqa: T201 - it talks to people

import asyncio
import sys

from quorate import AsyncClient, LockLostError

KEY = "examples/leader"


async def follow(client: AsyncClient) -> None:
    """Say who leads, whenever that changes."""
    async for leader in client.election(KEY, b"").observe():
        print("leader:", leader.value.decode() if leader else "nobody")


async def lead(name: str, fence: int) -> None:
    """Do what only the leader does."""
    while True:
        print(f"{name} leads, with fence {fence}")
        await asyncio.sleep(2)


async def campaign(client: AsyncClient, name: str) -> None:
    """Campaign for leadership again and again."""
    while True:
        try:
            async with client.election(KEY, name.encode(), ttl_s=10) as leading:
                await lead(name, leading.fence)
        except LockLostError as error:
            print("no longer leading:", error)


async def main() -> None:
    """Campaign and follow until interrupted."""
    name, *endpoints = sys.argv[1:] or ["somebody"]
    async with AsyncClient(endpoints or None) as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(client))
        tasks.create_task(campaign(client, name))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("bye")
