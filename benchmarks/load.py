"""The load generators: wrk where it is installed, else our own in Python.

Both send whole requests as they were prepared, keep one on the way per connection, and use one
thread. Ours costs more CPU per request, which the servers then lack: compare only figures of one
generator.
"""

import asyncio
import contextlib
import itertools
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import httptools
import uvloop

from benchmarks.pools import fresh

SCRIPT = Path(__file__).with_name("replay.lua")

NextRequest = Callable[[], bytes | None]  # None: there is nothing left to send


class LoadError(Exception):
    """A generator could not do its work; the text says what it printed."""


class Load(NamedTuple):
    """What a generator saw.

    Attributes:
        requests: Answered in the time.
        seconds: How long it took.
        errors: No connection, no answer, or a status above 399.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int

    @property
    def per_s(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0


def generator() -> str:
    """The generator that will be used, with its version."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return f"python {sys.version.split()[0]}"
    said = subprocess.run([wrk, "--version"], capture_output=True, text=True, check=False)
    return " ".join((said.stdout or said.stderr).split()[:2])


def write_pool(path: Path, requests: Sequence[bytes]) -> None:
    """Write requests the way replay.lua reads them."""
    with path.open("wb") as file:
        for request in requests:
            file.write(b"%d\n%s" % (len(request), request))


def run(address: str, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Load one node for some seconds.

    Args:
        address: `host:port` of the node.
        requests: Whole requests; each connection sends random ones of them.
        connections: How many at once.
        seconds: How long.

    Raises:
        LoadError: The generator failed.
    """
    if shutil.which("wrk") is not None:
        return _run_wrk(address, requests, connections, seconds)
    return uvloop.run(_run_python(address, requests, connections, seconds))


def send_all(address: str, requests: Sequence[bytes], connections: int = 32) -> None:
    """Send every request once, to fill a database.

    Raises:
        LoadError: Something was not answered with success.
    """
    load = run_once(address, requests, connections)
    if load.errors or load.requests != len(requests):
        raise LoadError(f"filling {address}: {load.requests} of {len(requests)} answered, {load}")


def run_once(address: str, requests: Sequence[bytes], connections: int) -> Load:
    """Send every request once, by our own generator; at most a minute."""
    waiting = [fresh(request, 0) for request in reversed(requests)]
    return uvloop.run(
        _drive(address, connections, 60.0, lambda: waiting.pop() if waiting else None)
    )


def _run_wrk(address: str, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as directory:
        pool = Path(directory) / "requests"
        write_pool(pool, requests)
        command = [
            "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
            "-s", str(SCRIPT), f"http://{address}", "--", str(pool),
        ]  # fmt: skip
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in said.stdout.splitlines():
        if line.startswith("RESULT "):
            count, micros, p50, p99, longest, errors = line.split()[1:]
            return Load(
                int(count), int(micros) / 1e6, float(p50), float(p99), float(longest), int(errors)
            )
    raise LoadError(f"{' '.join(command)}\n{said.stdout}{said.stderr}")


# --- our own generator ------------------------------------------------------------------------


class _Tally:
    """What all connections of one run count together."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.errors = 0
        self.is_over = False
        self.idle: asyncio.Event = asyncio.Event()
        self.busy = 0

    def ended(self) -> None:
        self.busy -= 1
        if self.busy == 0:
            self.idle.set()


class _Connection(asyncio.Protocol):
    """One connection with one request on the way."""

    def __init__(self, tally: _Tally, next_request: NextRequest) -> None:
        self._tally = tally
        self._next = next_request
        self._parser = httptools.HttpResponseParser(self)
        self._sent_s = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._tally.busy += 1
        self._send()

    def _send(self) -> None:
        request = None if self._tally.is_over else self._next()
        if request is None:
            self._transport.abort()
            return
        self._sent_s = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._tally.latencies_s.append(time.perf_counter() - self._sent_s)
        if self._parser.get_status_code() > 399:
            self._tally.errors += 1
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.errors += exc is not None
        self._tally.ended()


async def _run_python(
    address: str, requests: Sequence[bytes], connections: int, seconds: float
) -> Load:
    rng = random.Random(time.time())
    numbers = itertools.count(int(time.time()) % 50_000 * 1000)

    def next_request() -> bytes:
        return fresh(rng.choice(requests), next(numbers))

    return await _drive(address, connections, seconds, next_request)


async def _drive(address: str, connections: int, seconds: float, next_request: NextRequest) -> Load:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    tally = _Tally()
    began_s = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(tally, next_request), host, int(port))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(tally.idle.wait(), seconds)
    took_s = time.perf_counter() - began_s
    tally.is_over = True
    count = len(tally.latencies_s)
    ordered_ms = sorted(1000 * each for each in tally.latencies_s)
    return Load(
        count,
        took_s,
        quantile(ordered_ms, 0.5),
        quantile(ordered_ms, 0.99),
        ordered_ms[-1] if ordered_ms else 0.0,
        tally.errors,
    )


def quantile(ordered: Sequence[float], part: float) -> float:
    """The value below which `part` of all lie; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)]
