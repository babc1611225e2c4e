"""DNS: `python -m benchmarks.dns`, one node and the generator on this machine.

For A and SRV of a service with ten instances, in the same run: replies a second with 32 queries
under way, processor time of the node for each, and what the library alone would take to read such a
query and to make such a reply.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import timeit
from functools import partial
from http.client import HTTPConnection

import dns.message
import dns.rrset

from benchmarks.processes import usage
from quorate.lab.launch import quorate_command
from quorate.runtime.reserved import HOST, free_ports

INSTANCES = 10
UNDER_WAY = 32
QUERIES = 60_000
WARM = 2_000
SERVICE = "web.service.consul."
START_S = 60.0


def main() -> int:
    """Measure and print."""
    http_port, server_port, dns_port = free_ports(3)
    ports = [f"-http-port={http_port}", f"-server-port={server_port}", f"-dns-port={dns_port}"]
    words = [*quorate_command(), "agent", "-dev", "-log-level=error", *ports]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            words, env={**os.environ, "TMPDIR": folder}, stderr=subprocess.DEVNULL
        ) as node,
    ):
        try:
            _register(http_port)
            for qtype in ("A", "SRV"):
                rate, cpu_us = _served(node.pid, dns_port, qtype)
                print(
                    f"{qtype}: {rate:,.0f} replies/s, {cpu_us:.1f} us of CPU of the node for each"
                )
        finally:
            node.kill()
    read = partial(dns.message.from_wire, _query("SRV"))
    for name, step in (("read a query", read), ("make a reply", _made)):
        took_us = min(timeit.repeat(step, number=500, repeat=5)) / 500 * 1e6
        print(f"the library alone to {name}: {took_us:.0f} us")
    return 0


def _register(port: int) -> None:
    deadline_s = time.monotonic() + START_S
    for number in range(INSTANCES):
        place = {"Address": f"10.1.0.{number + 1}", "Port": 8000 + number}
        body = json.dumps({"Name": "web", "ID": f"w{number}", **place})
        while True:
            line = HTTPConnection(HOST, port)
            try:
                line.request("PUT", "/v1/agent/service/register", body)
                if line.getresponse().status == 200:
                    break
            except OSError:
                if time.monotonic() > deadline_s:
                    raise
            finally:
                line.close()
            time.sleep(0.05)


def _query(qtype: str) -> bytes:
    return dns.message.make_query(SERVICE, qtype, use_edns=0, payload=4096).to_wire()


def _served(pid: int, port: int, qtype: str) -> tuple[float, float]:
    query = _query(qtype)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((HOST, port))
        client.settimeout(START_S)
        for _ in range(UNDER_WAY):
            client.send(query)
        _exchange(client, query, WARM)
        began_s, before_s = time.monotonic(), usage(pid).cpu_s
        _exchange(client, query, QUERIES)
        took_s, cpu_s = time.monotonic() - began_s, usage(pid).cpu_s - before_s
    return QUERIES / took_s, cpu_s / QUERIES * 1e6


def _exchange(client: socket.socket, query: bytes, count: int) -> None:
    for _ in range(count):
        client.recv(65_535)
        client.send(query)


def _made() -> None:
    reply = dns.message.make_response(dns.message.make_query(SERVICE, "SRV"))
    names = [f"n{number}.node.dc1.consul." for number in range(INSTANCES)]
    targets = [f"1 1 80 {name}" for name in names]
    reply.answer.append(dns.rrset.from_text_list(SERVICE, 0, "IN", "SRV", targets))
    for number, name in enumerate(names):
        reply.additional.append(dns.rrset.from_text(name, 0, "IN", "A", f"10.1.0.{number}"))
    reply.to_wire()


if __name__ == "__main__":
    sys.exit(main())
