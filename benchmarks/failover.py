"""How long writes stall when the leader is killed with -9.

Sixteen writers, together about a thousand writes a second, go to the two members that stay. A
write not answered after a quarter of a second is given up and the next one is sent over a new
connection, so that a request that the old leader never answered does not hide that writes work
again. The gap is the longest time between two acknowledged writes.
"""

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import httptools
import uvloop

from benchmarks.pools import fresh
from benchmarks.systems import MEMBERS, System

WRITERS = 16
PERIOD_S = 0.016  # of one writer: together 1,000 writes a second
GIVE_UP_S = 0.25
WARMUP_S = 1.0  # writing before the kill
OVER_S = 1.0  # writing after the first acknowledged write behind the kill
WAIT_S_MAX = 30.0


class FailOver(NamedTuple):
    """What several kills brought.

    Attributes:
        gaps_s: The longest gap of each.
    """

    gaps_s: list[float]

    @property
    def median_s(self) -> float:
        """The middle one."""
        return statistics.median(self.gaps_s)


def measure(system: System, times: int) -> FailOver:
    """Kill the leader `times` times, each time with all three members back."""
    requests = system.requests("put")
    gaps_s: list[float] = []
    for _ in range(times):
        leader = system.leader()
        staying = [system.address(each) for each in range(MEMBERS) if each != leader]
        gaps_s.append(uvloop.run(_longest_gap(system, leader, staying, requests)))
        system.restart(leader)
        time.sleep(WARMUP_S)
    return FailOver(gaps_s)


class _Writer:
    """Writes at its own pace; notes when writes were acknowledged."""

    def __init__(self, addresses: Sequence[str], requests: Sequence[bytes], number: int) -> None:
        self._addresses = addresses
        self._requests = requests
        self._number = number
        self._tries = number
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, acknowledged_s: list[float]) -> None:
        """Write until cancelled."""
        next_s = time.perf_counter() + PERIOD_S * self._number / WRITERS
        while True:
            await asyncio.sleep(max(0.0, next_s - time.perf_counter()))
            next_s = max(next_s + PERIOD_S, time.perf_counter())
            try:
                async with asyncio.timeout(GIVE_UP_S):
                    status = await self._write()
            except (OSError, EOFError, TimeoutError):
                self._close()
            else:
                if status < 300:
                    acknowledged_s.append(time.perf_counter())

    async def _write(self) -> int:
        if self._streams is None:
            self._tries += 1
            host, _, port = self._addresses[self._tries % len(self._addresses)].rpartition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        self._number += WRITERS
        request = self._requests[self._number % len(self._requests)]
        writer.write(fresh(request, self._number))
        answer = _Answer()
        while not answer.is_whole:
            data = await reader.read(65536)
            if not data:
                raise EOFError
            answer.feed(data)
        return answer.status

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class _Answer:
    """One reply, as far as it has come."""

    def __init__(self) -> None:
        self.is_whole = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def status(self) -> int:
        return self._parser.get_status_code()

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.is_whole = True


async def _longest_gap(
    system: System, leader: int, addresses: Sequence[str], requests: Sequence[bytes]
) -> float:
    acknowledged_s: list[float] = []
    writers = [
        asyncio.create_task(_Writer(addresses, requests, number).run(acknowledged_s))
        for number in range(WRITERS)
    ]
    try:
        await asyncio.sleep(WARMUP_S)
        await asyncio.to_thread(system.kill, leader)
        killed_s = time.perf_counter()
        # What was on its way may still be acknowledged; the real gap begins behind it.
        while time.perf_counter() < killed_s + WAIT_S_MAX:
            await asyncio.sleep(OVER_S)
            if sum(each > killed_s + 0.1 for each in acknowledged_s) > OVER_S / PERIOD_S:
                break
    finally:
        for writer in writers:
            writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*writers)
    around = [each for each in acknowledged_s if each > killed_s - WARMUP_S / 2]
    ends = [*around, time.perf_counter()] if len(around) < 2 else around
    return max(later - earlier for earlier, later in itertools.pairwise(ends))
