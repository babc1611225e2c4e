"""Development nodes as processes, for foreign clients."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from quorate.lab.launch import quorate_command
from quorate.runtime.reserved import HOST, free_ports

START_S = 120.0  # as `tests.limits.HANG_S`: other suites load this file by itself


class Server(NamedTuple):
    """A running node, and what every case may know of it."""

    port: int
    facts: dict[str, Any]


@contextmanager
def started(config: dict[str, Any]) -> Generator[Server, None, None]:
    """A new node with nothing in it."""
    http_port, server_port, dns_port = free_ports(3)
    whole = {
        "node_name": "node-1",
        "bind_addr": HOST,
        "client_addr": HOST,
        **config,
        "ports": {"http": http_port, "server": server_port, "dns": dns_port},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(whole))
        words = [*quorate_command(), "agent", "-dev", "-log-level=error", f"-config-file={file}"]
        # The node puts its data directory there, and does not live to remove it.
        with subprocess.Popen(words, env={**os.environ, "TMPDIR": folder}) as process:
            try:
                yield Server(http_port, facts(http_port, dns_port, process))
            finally:
                process.kill()


def facts(port: int, dns_port: int, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait until the node serves; then what cases may name."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            leader = asked(port, "/v1/status/leader")
            config = asked(port, "/v1/agent/self")["Config"]
            if leader and asked(port, f"/v1/health/node/{config['NodeName']}"):
                return {
                    "node": config["NodeName"],
                    "node_id": config["NodeID"],
                    "dc": config["Datacenter"],
                    "server": leader,
                    "host": HOST,
                    "host_hex": ip_address(HOST).packed.hex(),
                    "http_port": port,
                    "dns_port": dns_port,
                }
        except (OSError, HTTPException, ValueError):  # not yet
            pass
        time.sleep(0.05)
    raise AssertionError("the node did not start")


def asked(port: int, path: str) -> Any:
    line = HTTPConnection(HOST, port, timeout=START_S)
    try:
        line.request("GET", path)
        return json.loads(line.getresponse().read())
    finally:
        line.close()
