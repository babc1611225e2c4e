"""Service discovery over HTTP: `python -m benchmarks.services`, three nodes and the generator.

For `/v1/health/service/NAME?passing` with 3, 10 and 100 instances, asked of a follower: responses a
second, processor time of that node for each, and latency; then the same while keys are written, so
that the state changes all the time.
"""

import json
import sys
import tempfile
import threading
from http.client import HTTPConnection
from pathlib import Path

from benchmarks import load, pools
from benchmarks.processes import usage
from benchmarks.systems import MEMBERS, Quorate

INSTANCES = (3, 10, 100)
CONNECTIONS = 64
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


def _register(system: Quorate, count: int) -> None:
    for number in range(count):
        host, _, port = system.address(number % MEMBERS).rpartition(":")
        line = HTTPConnection(host, int(port))
        address = {"Address": f"10.1.0.{number + 1}", "Port": 8000 + number}
        text = {"Name": f"web{count}", "ID": f"web{count}-{number}", "Tags": ["v1", "green"]}
        check = {"Check": {"TTL": "1h", "Status": "passing"}}
        line.request("PUT", "/v1/agent/service/register", json.dumps({**text, **address, **check}))
        reply = line.getresponse()
        if reply.status != 200:
            raise load.LoadError(f"a registration was refused: {reply.read()!r}")
        line.close()


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
