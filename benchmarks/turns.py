"""What large requests do to others: `python -m benchmarks turns --help`.

While one client asks for much (wakes thousands of watchers, removes a large tree, restores a
snapshot, reads long lists), other clients write one small key at a time through every member. The
figures are theirs: the latency of these writes, the ones that failed, how often the leader changed
and how long a node's turns and the delays of its ticks were at worst, as its histograms tell.

The others write from a process of their own, so that the load generator does not delay them.
"""

import argparse
import asyncio
import base64
import datetime as dt
import http.client
import json
import multiprocessing
import queue
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.systems import MEMBERS, Quorate

PACE_S = 0.01  # of one writer: one write each 10 ms, if they are answered as fast
PAUSE_S = 1.0
TIMEOUT_S = 60.0
TXN_OPS = 128
PIPELINED = 50  # blocking queries of one connection
READERS = 40


class Others(NamedTuple):
    """What the others saw.

    Attributes:
        writes: Answered with success while the large requests ran.
        failed: Answered with an error, or not at all.
        leader_changes: How many leaders followed another one.
        turn_max_ms: Bound of the histogram's bucket in which the longest turn of any member was;
            0 if there was none.
        lag_max_ms: The same for the delay of a tick, which is how long the loop stood still.
    """

    writes: int
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    leader_changes: int
    turn_max_ms: float
    lag_max_ms: float
    seconds: float


class Write(NamedTuple):
    """One write of the others: when it began and ended, by the clock that all processes share."""

    began_s: float
    ended_s: float
    is_done: bool


class Scale(NamedTuple):
    """How large the large requests are."""

    watchers: int
    tree_keys: int
    list_keys: int
    restore_keys: int


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks turns", description=__doc__)
    parser.add_argument("--watchers", type=int, default=10_000)
    parser.add_argument("--tree-keys", type=int, default=200_000)
    parser.add_argument("--list-keys", type=int, default=50_000)
    parser.add_argument("--restore-keys", type=int, default=1_000_000)
    parser.add_argument("--share", type=float, default=1.0, help="of all these numbers")
    parser.add_argument("--only", action="append", default=[], choices=list(SCENARIOS))
    parser.add_argument("--directory", type=Path, help="where data goes; a temporary one if unset")
    parser.add_argument("--label", default="turns", help="added to the name of the result file")
    parser.add_argument("--no-file", action="store_true", help="print only")
    return parser.parse_args(words)


# --- the others -----------------------------------------------------------------------------------


def write_on(addresses: Sequence[str], stop: Any, found: Any) -> None:
    """Write through every address until stopped; runs in a process of its own."""
    seen: list[Write] = []
    threads = [
        threading.Thread(target=_write_one, args=(address, number, stop, seen))
        for number, address in enumerate(addresses)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put(seen)


def _write_one(address: str, number: int, stop: Any, seen: list[Write]) -> None:
    connection, count = http.client.HTTPConnection(address, timeout=TIMEOUT_S), 0
    while not stop.is_set():
        count += 1
        began_s = time.monotonic()
        try:
            connection.request("PUT", f"/v1/kv/others/{number}", b"%d" % count)
            answer = connection.getresponse()
            is_done = answer.read().strip() == b"true"
        except (OSError, http.client.HTTPException):
            connection.close()
            is_done = False
        ended_s = time.monotonic()
        seen.append(Write(began_s, ended_s, is_done))
        time.sleep(max(0.0, PACE_S - (ended_s - began_s)))
    connection.close()


class _Watch:
    """The others at work while a scenario runs."""

    def __init__(self, system: Quorate) -> None:
        self._addresses = [system.address(member) for member in range(MEMBERS)]
        context = multiprocessing.get_context("spawn")
        self._stop, self._found = context.Event(), context.Queue()
        self._process = context.Process(
            target=write_on, args=(self._addresses, self._stop, self._found), daemon=True
        )
        self._leaders: list[str] = []
        self._looker = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Watch":
        self._process.start()
        time.sleep(PAUSE_S)
        self._before = [page(address) for address in self._addresses]
        self._began_s = time.monotonic()
        self._looker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended_s = time.monotonic()
        self._after = [page(address) for address in self._addresses]
        time.sleep(PAUSE_S)
        self._stop.set()
        self._seen: list[Write] = self._found.get(timeout=2 * TIMEOUT_S)
        self._process.join()
        self._looker.join()

    def _look(self) -> None:
        """Who leads: asked of every member in turn."""
        number = 0
        while not self._stop.is_set():
            number += 1
            address = self._addresses[number % MEMBERS]
            try:
                leader = json.loads(ask(address, "GET", "/v1/status/leader")[1])
            except (OSError, http.client.HTTPException, ValueError):
                continue
            if leader and leader not in self._leaders[-1:]:
                self._leaders.append(leader)
            time.sleep(0.1)

    def found(self) -> Others:
        """What they saw."""
        meanwhile = [
            each
            for each in self._seen
            if each.ended_s > self._began_s and each.began_s < self._ended_s
        ]
        took_ms = sorted(latencies_ms(meanwhile))
        return Others(
            sum(each.is_done for each in meanwhile),
            sum(not each.is_done for each in meanwhile),
            quantile(took_ms, 0.5),
            quantile(took_ms, 0.99),
            quantile(took_ms, 1.0),
            max(0, len(self._leaders) - 1),
            self._longest_ms("quorate_turn_seconds"),
            self._longest_ms("quorate_loop_lag_seconds"),
            self._ended_s - self._began_s,
        )

    def _longest_ms(self, name: str) -> float:
        pages = zip(self._before, self._after, strict=True)
        return max(longest_ms(name, before, after) for before, after in pages)


def page(address: str) -> str:
    """A member's metrics, in the text format of Prometheus."""
    return ask(address, "GET", "/v1/agent/metrics?format=prometheus")[1].decode()


def longest_ms(name: str, before: str, after: str) -> float:
    """Bound of the bucket that holds the longest duration that was observed between two pages.

    Infinite if it was longer than every bound, 0 if none was observed.
    """
    earlier, later = _buckets(name, before), _buckets(name, after)
    new = {bound: count - earlier.get(bound, 0) for bound, count in later.items()}
    all_new = max(new.values(), default=0)
    if not all_new:
        return 0.0
    return 1000 * min(bound for bound, count in new.items() if count == all_new)


def _buckets(name: str, text: str) -> dict[float, float]:
    """How many durations of a histogram were at most as long as each bound, in seconds."""
    found = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$', text, re.MULTILINE)
    return {float(bound): float(count) for bound, count in found}


def latencies_ms(writes: Sequence[Write]) -> list[float]:
    """What writers at this pace would have seen: who waits long does not write meanwhile.

    A write that took long stands for those, too, that its writer would have begun behind it.
    """
    found: list[float] = []
    for each in writes:
        took_s = each.ended_s - each.began_s
        while each.is_done and took_s > 0:
            found.append(1000 * took_s)
            took_s -= PACE_S
    return found


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of the others lies; 0 if there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


# --- requests ------------------------------------------------------------------------------------


def ask(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One request over a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=10 * TIMEOUT_S)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def fill(address: str, prefix: str, keys: int, value: bytes = b"v" * 100) -> None:
    """Write keys, many in a transaction."""
    text = base64.b64encode(value).decode()
    for first in range(0, keys, TXN_OPS):
        ops = [
            {"KV": {"Verb": "set", "Key": f"{prefix}{number:08d}", "Value": text}}
            for number in range(first, min(first + TXN_OPS, keys))
        ]
        status, said = ask(address, "PUT", "/v1/txn", json.dumps(ops).encode())
        if status != 200:
            raise RuntimeError(f"filling: {status} {said[:200]!r}")


# --- scenarios -----------------------------------------------------------------------------------


def remove_tree(address: str, scale: Scale) -> Callable[[], None]:
    """`DELETE ?recurse` of a large tree."""
    fill(address, "tree/", scale.tree_keys)

    def run() -> None:
        ask(address, "DELETE", "/v1/kv/tree/?recurse")

    return run


def read_lists(address: str, scale: Scale) -> Callable[[], None]:
    """Many readers of a long list at once."""
    fill(address, "list/", scale.list_keys)

    def run() -> None:
        threads = [
            threading.Thread(target=ask, args=(address, "GET", "/v1/kv/list/?recurse"))
            for _ in range(READERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return run


def wake_watchers(address: str, scale: Scale) -> Callable[[], None]:
    """One write that thousands wait for."""
    fill(address, "watched/", 20)
    ready: queue.Queue[bool] = queue.Queue()
    go = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_wait_all(address, scale.watchers, ready, go)), daemon=True
    )
    thread.start()
    ready.get()

    def run() -> None:
        go.set()
        thread.join()

    return run


async def _wait_all(
    address: str, watchers: int, ready: "queue.Queue[bool]", go: threading.Event
) -> None:
    host, _, port = address.rpartition(":")
    index = await asyncio.to_thread(_index_of, address)
    request = (
        f"GET /v1/kv/watched/?recurse&index={index}&wait=600s HTTP/1.1\r\nHost: bench\r\n\r\n"
    ).encode()
    connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, int]] = []
    for first in range(0, watchers, PIPELINED):
        own = f"127.0.9.{1 + len(connections) // 150}"
        count = min(PIPELINED, watchers - first)
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=(own, 0))
        writer.write(request * count)
        connections.append((reader, writer, count))
    await asyncio.sleep(2 * PAUSE_S)
    ready.put(True)
    await asyncio.to_thread(go.wait)
    await asyncio.to_thread(ask, address, "PUT", "/v1/kv/watched/00000000", b"new")
    await asyncio.gather(*(_take(reader, count) for reader, _, count in connections))
    for _, writer, _ in connections:
        writer.close()


async def _take(reader: asyncio.StreamReader, count: int) -> None:
    for _ in range(count):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)


def _index_of(address: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    connection.request("GET", "/v1/kv/watched/?recurse")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return int(answer.headers["X-Consul-Index"])


def restore(address: str, scale: Scale) -> Callable[[], None]:
    """A snapshot of many keys put back."""
    fill(address, "kept/", scale.restore_keys)
    _, snapshot = ask(address, "GET", "/v1/snapshot")

    def run() -> None:
        status, said = ask(address, "PUT", "/v1/snapshot", snapshot)
        if status != 200:
            raise RuntimeError(f"restoring: {status} {said[:200]!r}")

    return run


SCENARIOS: dict[str, Callable[[str, Scale], Callable[[], None]]] = {
    "watchers": wake_watchers,
    "tree": remove_tree,
    "lists": read_lists,
    "restore": restore,
}


def measured(name: str, directory: Path, scale: Scale) -> Others:
    """Run one scenario on a cluster of its own; the large requests go to a follower."""
    system = Quorate(directory)
    try:
        system.start()
        target = system.address((system.leader() + 1) % MEMBERS)
        run = SCENARIOS[name](target, scale)
        with _Watch(system) as watch:
            run()
        return watch.found()
    finally:
        system.stop()


def main(words: Sequence[str]) -> int:
    """Measure, print, write the result file."""
    options = parsed(words)
    scale = Scale(
        int(options.watchers * options.share),
        int(options.tree_keys * options.share),
        int(options.list_keys * options.share),
        int(options.restore_keys * options.share),
    )
    console = Console(width=max(100, Console().width))
    found: dict[str, Others] = {}
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="quorate-turns-") as scratch:
        for name in options.only or SCENARIOS:
            console.print(f"{name} …")
            found[name] = measured(name, Path(scratch) / name, scale)
    table = Table("", *Others._fields)
    for name, others in found.items():
        figures = [f"{value:.1f}" if isinstance(value, float) else str(value) for value in others]
        table.add_row(name, *figures)
    console.print(table)
    if not options.no_file:
        commit = report.commit()
        content = {
            "commit": commit,
            "command": " ".join(["python -m benchmarks turns", *words]),
            "machine": report.machine(Path(tempfile.gettempdir())),
            "scale": scale._asdict(),
            "others": {name: others._asdict() for name, others in found.items()},
        }
        today = dt.datetime.now(dt.UTC).date()
        console.print(str(report.write(content, report.name_of(today, commit, options.label))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
