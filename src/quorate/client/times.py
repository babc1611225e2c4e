"""Waiting, once for each of the two clients; the generator swaps one for the other."""

import asyncio
import time
from pathlib import Path


async def async_sleep(duration_s: float) -> None:
    """Wait, and let others run."""
    await asyncio.sleep(duration_s)


def sleep(duration_s: float) -> None:
    """Wait in this thread."""
    time.sleep(duration_s)


async def async_read_file(path: Path) -> bytes:
    """Read a file in a thread: it may be large."""
    return await asyncio.to_thread(path.read_bytes)


def read_file(path: Path) -> bytes:
    """Read a file."""
    return path.read_bytes()
