"""Service discovery over HTTP: `python -m benchmarks.services`, three nodes and the generator.

First registrations of services with a TTL check, through the agents of all three nodes.
For `/v1/health/service/NAME?passing` with 3, 10 and 100 instances, asked of a follower: responses a
second, processor time of that node for each, and latency; then the same while keys are written, so
that the state changes all the time.
"""

import json
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks import load, pools
from benchmarks.processes import usage
from benchmarks.systems import MEMBERS, Quorate

INSTANCES = (3, 10, 100)
CONNECTIONS = 64
REGISTRATIONS = 6_000
CONNECTIONS_REGISTERING = 48
SECONDS = 4.0
WRITERS = 4
WARM_S = 1.0


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        system = Quorate(Path(folder))
        system.start()
        try:
            leader = system.leader()
            member = next(other for other in range(MEMBERS) if other != leader)
            print(_registrations(system))
            for count in INSTANCES:
                _register(system, count)
            for count in INSTANCES:
                print(_figures(system, member, count, SECONDS))
            stop = threading.Event()
            writer = threading.Thread(target=_write, args=(system.address(leader), stop))
            writer.start()
            try:
                for count in INSTANCES:
                    print(f"{_figures(system, member, count, SECONDS)}, while keys are written")
            finally:
                stop.set()
                writer.join()
        finally:
            system.stop()
    return 0


def _registrations(system: Quorate) -> str:
    """Register different services, each connection one after the other."""
    pids = [system.pid(member) for member in range(MEMBERS)]
    before_s = sum(usage(pid).cpu_s for pid in pids)
    with ThreadPoolExecutor(MEMBERS) as pool:
        found = list(pool.map(partial(_registered, system), range(MEMBERS)))
    cpu_us = (sum(usage(pid).cpu_s for pid in pids) - before_s) / REGISTRATIONS * 1e6
    rate, p99_ms = sum(one.per_s for one in found), max(one.p99_ms for one in found)
    return (
        f"registrations: {rate:,.0f}/s, {cpu_us:.0f} us of CPU of all nodes for each, "
        f"p99 {p99_ms:.1f} ms, {sum(one.errors for one in found)} errors"
    )


def _registered(system: Quorate, member: int) -> load.Load:
    numbers = range(member, REGISTRATIONS, MEMBERS)
    requests = [_registration(f"s{number % 500}", f"s-{number}", number) for number in numbers]
    return load.run_once(system.address(member), requests, CONNECTIONS_REGISTERING // MEMBERS)


def _register(system: Quorate, count: int) -> None:
    for number in range(count):
        wanted = _registration(f"web{count}", f"web{count}-{number}", number)
        load.send_all(system.address(number % MEMBERS), [wanted], 1)


def _registration(name: str, id_: str, number: int) -> bytes:
    body = json.dumps(
        {
            "Name": name,
            "ID": id_,
            "Tags": ["v1", "green"],
            "Address": f"10.1.{number // 250 % 250}.{number % 250 + 1}",
            "Port": 8000 + number % 1000,
            "Check": {"TTL": "1h", "Status": "passing"},
        }
    ).encode()
    head = f"PUT /v1/agent/service/register HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _figures(system: Quorate, member: int, count: int, seconds: float) -> str:
    target = f"GET /v1/health/service/web{count}?passing HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    address, pid = system.address(member), system.pid(member)
    load.run(address, [target], CONNECTIONS, WARM_S)
    before_s = usage(pid).cpu_s
    found = load.run(address, [target], CONNECTIONS, seconds)
    cpu_us = (usage(pid).cpu_s - before_s) / max(1, found.requests) * 1e6
    return (
        f"{count} instances: {found.per_s:,.0f}/s, {cpu_us:.0f} us of CPU for each, "
        f"p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms, {found.errors} errors"
    )


def _write(address: str, stop: threading.Event) -> None:
    while not stop.is_set():
        load.run(address, pools.consul_requests("PUT"), WRITERS, WARM_S)


if __name__ == "__main__":
    sys.exit(main())
