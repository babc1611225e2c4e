"""A node with few file descriptors, and clients that want them all: refused, counted and logged."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.lab.launch import LocalCluster, NodeProcess, quorate_command
from quorate.runtime.reserved import HOST

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

MIB = 1024 * 1024
FILES = 256
FEW = ["/bin/sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh", *quorate_command()]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    file = tmp_path / "quorate.json"
    often = {"wal_segment_bytes": MIB, "snapshot_log_bytes": MIB, "free_bytes_min": 16 * MIB}
    file.write_text(json.dumps({"quorate": often}))
    cluster = LocalCluster(tmp_path, 3, extra=["-config-file", str(file)], program=FEW)
    cluster.start()
    yield cluster
    cluster.stop()


def put(node: NodeProcess, key: str, value: bytes) -> bytes:
    """Write a key; the status line, or what came instead."""
    with socket.create_connection((HOST, node.ports.http)) as client:
        client.sendall(
            b"PUT /v1/kv/%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
            % (key.encode(), len(value), value)
        )
        return client.recv(65536).partition(b"\r\n")[0]


def taken(node: NodeProcess, count: int) -> tuple[list[socket.socket], int]:
    """So many clients of different addresses that wait for ever; and how many were refused."""
    ask = b"GET /v1/kv/k?index=1000000&wait=600s HTTP/1.1\r\nHost: x\r\n\r\n"
    made: list[socket.socket] = []
    for number in range(count):
        client = socket.socket()
        client.bind((f"127.0.9.{number // 50 + 1}", 0))
        client.connect((HOST, node.ports.http))
        client.sendall(ask)
        made.append(client)
    put(node, "after", b"1")  # by then all of them were accepted or refused
    refused = 0
    for client in made:
        client.setblocking(False)
        try:
            refused += client.recv(100).startswith(b"HTTP/1.1 429")
        except BlockingIOError:
            continue
        except ConnectionResetError:
            refused += 1
    return made, refused


def descriptors(node: NodeProcess) -> int:
    return len(list(Path(f"/proc/{node.pid}/fd").iterdir()))


def test_clients_that_want_every_descriptor_leave_the_disk_and_the_peers_theirs(
    cluster: LocalCluster,
) -> None:
    node, other, _ = cluster.nodes
    clients, refused = taken(node, 400)
    assert refused > 200
    assert descriptors(node) < FILES - 32

    other.kill()  # it must find its way back to the crowded one
    other.start()
    third = cluster.nodes[2]
    for number in range(30):  # needs new files of the log, and snapshots
        assert put(third, f"big{number % 4}", os.urandom(500_000)) == b"HTTP/1.1 200 OK"

    for client in clients:
        client.close()
    while not put(node, "served", b"1").startswith(b"HTTP/1.1 200"):
        pass
    for each in cluster.nodes:
        assert each.is_running(), each.log_end()
        assert "corrupt" not in each.log.read_text()
    assert "few files may be open" in node.log.read_text()
