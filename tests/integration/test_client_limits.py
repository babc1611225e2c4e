"""Limits of the client at a real node: not bootstrapped, stopped, or asked at its server port."""

import os
import signal
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from quorate import Client, Paxos
from quorate.base.errors import QuorateError, UnavailableError
from tests.integration.test_agent import MAIN, agent, free_port
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LIMIT_S = 2.0

Calls = dict[str, Callable[[], object]]


def calls(client: Client, folder: Path) -> Calls:
    return {
        "lock": client.lock("l", wait_s=LIMIT_S).acquire,
        "lock that is only tried": client.lock("l", wait_s=0).acquire,
        "get": lambda: client.kv.get("k"),
        "save": lambda: client.snapshot.save(folder / "s"),
        "decide": lambda: Paxos(client).decide("p"),
        "watch": lambda: next(client.kv.watch("k", patience_s=LIMIT_S)),
        "put": lambda: client.kv.put("k", "v"),
        "create": client.session.create,
    }


@pytest.fixture
def isolated(tmp_path: Path) -> Generator[tuple[int, int], None, None]:
    """One of three nodes, the only one that runs: its HTTP port and its process."""
    port = free_port()
    flags = ("-server", "-bootstrap-expect=3", "-bind=127.0.0.1", f"-data-dir={tmp_path / 'data'}")
    join = f"-retry-join=127.0.0.1:{free_port()}"
    with agent(*flags, join, f"-http-port={port}") as process:
        yield port, process.pid


def test_a_node_that_is_not_bootstrapped_gives_its_reason_within_every_limit(
    isolated: tuple[int, int], tmp_path: Path
) -> None:
    with Client(f"127.0.0.1:{isolated[0]}", deadline_s=LIMIT_S) as client:
        for call in calls(client, tmp_path).values():
            with pytest.raises(UnavailableError, match="waiting for 2 of 3 nodes") as caught:
                call()
            assert caught.value.definite


def test_the_command_line_says_at_once_what_it_waits_for(isolated: tuple[int, int]) -> None:
    environment = os.environ | {"CONSUL_HTTP_ADDR": f"127.0.0.1:{isolated[0]}"}
    words = [*MAIN, "kv", "get", "a"]
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()  # long before the deadline, at which the last one comes
        assert "knows no leader: waiting for 2 of 3 nodes to bootstrap" in first
        assert process.poll() is None
        _, rest = process.communicate(timeout=HANG_S)
        assert process.returncode != 0
        assert "waiting for 2 of 3 nodes to bootstrap" in rest


def test_a_node_that_is_stopped_does_not_hold_its_clients(
    isolated: tuple[int, int], tmp_path: Path
) -> None:
    port, pid = isolated
    os.kill(pid, signal.SIGSTOP)
    try:
        with Client(f"127.0.0.1:{port}", deadline_s=LIMIT_S) as client:
            for call in calls(client, tmp_path).values():
                with pytest.raises(QuorateError):
                    call()
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_server_port_of_a_node_is_reported_at_once() -> None:
    server_port, http_port = free_port(), free_port()
    flags = ("-dev", f"-server-port={server_port}", f"-http-port={http_port}")
    why = f"this is a node's server port; its HTTP API is at 127.0.0.1:{http_port}"
    with (
        agent(*flags),
        Client(f"127.0.0.1:{server_port}", deadline_s=1e6) as client,
        pytest.raises(UnavailableError, match=why),
    ):
        client.kv.put("k", "v")
