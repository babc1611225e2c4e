"""What clients can make a node hold in memory: a ceiling for each attack, on a real process.

The ceilings are a few times what the budget allows, for the interpreter and its allocator, and a
fraction of what each attack took before there was a budget. Nothing here depends on speed: an
attack sends until the node takes no more, and the highest memory of the process counts.
"""

import gzip
import http.client
import json
import os
import selectors
import socket
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.lab.launch import LocalCluster, NodeProcess
from quorate.runtime.reserved import HOST

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

KIB, MIB = 1024, 1024 * 1024
HELD_BYTES_MAX, CLIENT_BYTES_MAX = 48 * MIB, 24 * MIB
LIMITS = {
    "limits": {
        "http_held_bytes_max": HELD_BYTES_MAX,
        "http_client_bytes_max": CLIENT_BYTES_MAX,
        "http_connections_max": 1500,
    },
    "free_bytes_min": 16 * MIB,
}
STALLED_S = 1.0  # a client that can send nothing for so long is refused, or made to wait


class Sending:
    """One connection, and what is still to be sent on it."""

    def __init__(self, client: socket.socket, pieces: Iterator[bytes]) -> None:
        self._client = client
        self._pieces = pieces
        self._rest = memoryview(b"")

    def more(self) -> bool:
        """Send some more; False if that was all, or the other end hung up."""
        try:
            if not self._rest:
                self._rest = memoryview(next(self._pieces, b""))
            if not self._rest:
                return False
            self._rest = self._rest[self._client.send(self._rest) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


class Attacked:
    """A node, and connections to it that only ever send."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.sockets: list[socket.socket] = []

    def peak_bytes(self) -> int:
        """The highest memory of the process since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> int:
        """Count the highest memory anew; returns what is used now."""
        Path(f"/proc/{self.node.pid}/clear_refs").write_text("5")
        return self._status("VmRSS")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.node.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * KIB
        raise AssertionError(f"no {name}")

    def opened(self, count: int, host: str = HOST) -> list[socket.socket]:
        """Connections from one address that take as little as the system lets them."""
        made: list[socket.socket] = []
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.bind((host, 0))
            client.connect((HOST, self.node.ports.http))
            client.setblocking(False)
            made.append(client)
        self.sockets += made
        return made

    def send(
        self, clients: list[socket.socket], data: bytes | Callable[[], Iterator[bytes]]
    ) -> None:
        """Send the same on all of them, in turn, until all is taken or nothing more is."""
        with selectors.DefaultSelector() as selector:
            for client in clients:
                pieces = iter([data]) if isinstance(data, bytes) else data()
                selector.register(client, selectors.EVENT_WRITE, Sending(client, pieces))
            while selector.get_map() and (ready := selector.select(STALLED_S)):
                for key, _ in ready:
                    if not key.data.more():
                        selector.unregister(key.fileobj)

    def hang_up(self) -> None:
        """Close all connections, and wait until the node holds nothing for them."""
        for client in self.sockets:
            client.close()
        self.sockets.clear()
        while self.is_burdened():
            pass

    def is_burdened(self) -> bool:
        """Whether the node still has connections beside the one that asks."""
        try:
            return self.metric("http_held_bytes") > 0 or self.metric("http_connections") > 1
        except (OSError, http.client.HTTPException, ValueError):  # it is full
            return True

    def metric(self, name: str) -> float:
        """A gauge or counter of the node."""
        found: Any = self.node.get("/v1/agent/metrics")
        for each in found["Gauges"]:
            if each["Name"] == f"quorate.{name}":
                return float(each["Value"])
        for each in found["Counters"]:
            if each["Name"] == f"quorate.{name}":
                return float(each["Count"])
        raise AssertionError(f"no {name}")

    def put(self, key: str, value: bytes) -> None:
        """Write a key."""
        with socket.create_connection((HOST, self.node.ports.http)) as client:
            client.sendall(
                b"PUT /v1/kv/%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
                % (key.encode(), len(value), value)
            )
            assert client.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Attacked]:
    directory = tmp_path
    file = directory / "quorate.json"
    file.write_text(json.dumps({"quorate": LIMITS}))
    cluster = LocalCluster(directory, 1, extra=["-config-file", str(file)])
    cluster.start()
    attacked = Attacked(cluster.nodes[0])
    for number in range(50):
        attacked.put(f"big/{number:02d}", os.urandom(100 * KIB))
    yield attacked
    attacked.hang_up()
    assert cluster.nodes[0].is_running()
    cluster.stop()


def attack(node: Attacked, ceiling_bytes: int, *steps: Callable[[], None]) -> None:
    """Do something, and judge how much memory it took; then the node must be as before."""
    before_bytes = node.forget_peak()
    for step in steps:
        step()
    for _ in range(5):  # others are served meanwhile; and what was sent is read by then
        node.put("after", b"1")
    grown_bytes = node.peak_bytes() - before_bytes
    assert node.node.is_running(), node.node.log_end()
    assert grown_bytes < ceiling_bytes, f"grew by {grown_bytes / MIB:.0f} MiB"
    node.hang_up()


def test_listings_that_nobody_reads(node: Attacked) -> None:
    """150 connections, 7 MiB each: a GiB, of which each holds the piece that comes next."""
    clients = node.opened(150)
    ask = b"GET /v1/kv/big/?recurse HTTP/1.1\r\nHost: x\r\n\r\n"
    attack(node, 110 * MIB, lambda: node.send(clients, ask))


def test_values_that_nobody_reads(node: Attacked) -> None:
    clients = node.opened(150)
    ask = b"GET /v1/kv/big/01?raw HTTP/1.1\r\nHost: x\r\n\r\n" * 200
    attack(node, 90 * MIB, lambda: node.send(clients, ask))


def test_blocking_queries_on_long_keys(node: Attacked) -> None:
    """4,000 of them took 230 MiB."""
    clients = node.opened(20)
    ask = b"GET /v1/kv/%b?index=1000000 HTTP/1.1\r\nHost: x\r\n\r\n" % (b"k" * 15_000)
    attack(node, 60 * MIB, lambda: node.send(clients, ask * 200))


def test_blocking_queries_on_short_keys(node: Attacked) -> None:
    clients = node.opened(150)
    ask = b"GET /v1/kv/k?index=1000000 HTTP/1.1\r\nHost: x\r\n\r\n"
    attack(node, 110 * MIB, lambda: node.send(clients, ask * 250))


def test_half_bodies(node: Attacked) -> None:
    clients = node.opened(150)
    half = b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 520000\r\n\r\n" + bytes(500_000)
    attack(node, 60 * MIB, lambda: node.send(clients, half))


def test_half_bodies_from_many_addresses(node: Attacked) -> None:
    """No address is over its own limit."""
    clients = [each for number in range(1, 11) for each in node.opened(40, f"127.0.5.{number}")]
    half = b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 520000\r\n\r\n" + bytes(500_000)
    attack(node, 100 * MIB, lambda: node.send(clients, half))


def test_half_bodies_from_very_many_addresses(node: Attacked) -> None:
    """None of them holds a MiB: together they held four times what all may."""
    clients = [each for number in range(1, 191) for each in node.opened(2, f"127.0.6.{number}")]
    half = b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 520000\r\n\r\n" + bytes(500_000)

    def judge() -> None:
        assert node.metric("http_held_bytes") <= HELD_BYTES_MAX

    attack(node, 100 * MIB, lambda: node.send(clients, half), judge)


def test_bodies_in_tiny_chunks(node: Attacked) -> None:
    """Each chunk was an object of its own: 28 times its size."""
    clients = node.opened(100)
    head = b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    attack(node, 60 * MIB, lambda: node.send(clients, head + b"2\r\nab\r\n" * 50_000))


def test_trailers_without_end(node: Attacked) -> None:
    clients = node.opened(50)
    head = b"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    attack(node, 40 * MIB, lambda: node.send(clients, head + b"X-A: b\r\n" * 300_000))


def test_half_headers(node: Attacked) -> None:
    clients = [each for number in range(1, 5) for each in node.opened(150, f"127.0.6.{number}")]
    half = b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"y" * 120_000
    attack(node, 110 * MIB, lambda: node.send(clients, half))


def test_many_header_lines(node: Attacked) -> None:
    clients = node.opened(150)
    half = b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n" + b"".join(b"%d:\r\n" % n for n in range(990))
    attack(node, 60 * MIB, lambda: node.send(clients, half))


def test_idle_connections(node: Attacked) -> None:
    def ask() -> None:
        for number in range(1, 15):
            clients = node.opened(100, f"127.0.7.{number}")
            node.send(clients, b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n")

    attack(node, 40 * MIB, ask)


def test_connections_beyond_the_limit_of_all(node: Attacked) -> None:
    for number in range(1, 9):
        node.opened(200, f"127.0.8.{number}")
    with socket.create_connection((HOST, node.node.ports.http)) as late:
        assert b"Too many connections to this node" in late.recv(65536)
    node.hang_up()
    node.put("after", b"1")
    assert node.metric("http_connections_refused") > 0


def test_unfinished_snapshots(node: Attacked) -> None:
    """Four of them took 1.3 GB."""
    clients = node.opened(6)

    def pieces() -> Iterator[bytes]:
        yield b"PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n\r\n"
        for _ in range(60):
            yield bytes(MIB)

    attack(node, 40 * MIB, lambda: node.send(clients, pieces))


def test_an_archive_that_unpacks_to_half_a_gigabyte(node: Attacked) -> None:
    """1.5 MB took 1.5 GB."""
    packer = zlib.compressobj(1, wbits=31)
    info = tarfile.TarInfo("other")
    info.size = 500 * MIB
    bomb = packer.compress(info.tobuf(tarfile.USTAR_FORMAT))
    bomb += b"".join(packer.compress(bytes(MIB)) for _ in range(500)) + packer.flush()
    plain = gzip.compress(bytes(50 * MIB))

    def put() -> None:
        for data in (bomb, plain):
            with socket.create_connection((HOST, node.node.ports.http), timeout=60) as client:
                head = b"PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(
                    data
                )
                client.sendall(head + data)
                assert client.recv(65536).startswith(b"HTTP/1.1 500")

    attack(node, 40 * MIB, put)


def test_saved_snapshots_that_nobody_takes(node: Attacked) -> None:
    clients = node.opened(100)
    ask = b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\n\r\n"
    attack(node, 60 * MIB, lambda: node.send(clients, ask * 20))
