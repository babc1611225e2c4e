"""Sleeping and blocking work, for each of the two clients; the generator exchanges the names."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


async def async_sleep(duration_s: float) -> None:
    """Wait without blocking the event loop."""
    await asyncio.sleep(duration_s)


def sleep(duration_s: float) -> None:
    """Wait in this thread."""
    time.sleep(duration_s)


async def async_run(work: Callable[[], Value]) -> Value:
    """Do blocking work, such as reading or syncing a file, in a thread."""
    return await asyncio.to_thread(work)


def run(work: Callable[[], Value]) -> Value:
    """Do blocking work in this thread."""
    return work()
