"""Real nodes on this machine, as processes of their own: for the demo and for measurements."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.request import ProxyHandler, build_opener

from quorate.runtime.reserved import HOST, free_ports

POLL_S = 0.02  # between two requests to a node that is starting
LOG_LINES_SHOWN = 15  # of a node that did not start

_open = build_opener(ProxyHandler({})).open


class LaunchError(Exception):
    """A node did not start or did not answer in time; the text holds the end of its log."""


class Ports(NamedTuple):
    """Where one node listens."""

    http: int
    server: int


def quorate_command() -> list[str]:
    """The command that runs this installation of Quorate in another process."""
    return [sys.executable, "-c", "import sys; from quorate.cli.main import main; sys.exit(main())"]


class NodeProcess:
    """One `quorate agent` as a process, with its data and its log in `directory`.

    `expect` nodes bootstrap the cluster; 0 if it joins one. `join` are the peer addresses of the
    other nodes, `extra` further flags; `program` is what is run, this installation if None.

    Attributes:
        address: Of its HTTP API, without a scheme.
        command: Its whole command line.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        ports: Ports,
        join: Sequence[str],
        expect: int,
        extra: Sequence[str] = (),
        program: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.ports = ports
        self.data = directory / name
        self.log = directory / f"{name}.log"
        self.address = f"{HOST}:{ports.http}"
        self.command = [
            *(program or quorate_command()), "agent", "-server",
            *(["-bootstrap-expect", str(expect)] if expect else []),
            "-data-dir", str(self.data), "-node", name, "-bind", HOST, "-client", HOST,
            "-http-port", str(ports.http), "-server-port", str(ports.server),
            "-dns-port", "-1",
            *(word for address in join for word in ("-retry-join", address)), *extra,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            LaunchError: It was never started.
        """
        if self._process is None:
            raise LaunchError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start its process, in a session of its own: Ctrl-C here does not reach it."""
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def is_running(self) -> bool:
        """True while its process runs, also if stopped by a signal."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How its process ended, minus the signal if by one; None while it runs."""
        return None if self._process is None else self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process, if it runs."""
        if self.is_running():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End its process at once (kill -9) and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End its process cleanly, or by force after `timeout_s`."""
        if self._process is None:
            return
        self.signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def get(self, path: str, timeout_s: float = 1.0) -> object:
        """Read JSON from its HTTP API.

        Raises:
            OSError, http.client.HTTPException, ValueError: No answer, an error, or no JSON.
        """
        with _open(f"http://{self.address}{path}", timeout=timeout_s) as response:
            return json.load(response)

    def log_end(self) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-LOG_LINES_SHOWN:])


class LocalCluster:
    """Some nodes on this machine that bootstrap a cluster together; see `NodeProcess`.

    `advertise` is the host at which the nodes reach each other, if there are proxies in between.
    """

    def __init__(
        self,
        directory: Path,
        count: int = 3,
        extra: Sequence[str] = (),
        advertise: str = HOST,
        program: Sequence[str] | None = None,
    ) -> None:
        numbers = free_ports(2 * count)
        ports = [Ports(*pair) for pair in zip(numbers[:count], numbers[count:], strict=True)]
        peers = [f"{advertise}:{each.server}" for each in ports]
        extra = [*extra, "-advertise", advertise] if advertise != HOST else extra
        self.nodes = [
            NodeProcess(
                f"n{number + 1}", directory, own, [peer for peer in peers if peer != peers[number]],
                count, extra, program,
            )
            for number, own in enumerate(ports)
        ]  # fmt: skip

    def start(self, timeout_s: float = 20.0) -> None:
        """Start every node and wait until a leader is known to all.

        Raises:
            LaunchError: A node ended or did not answer in time.
        """
        for node in self.nodes:
            node.start()
        self.wait_for_leader(timeout_s)

    def wait_for_leader(self, timeout_s: float = 20.0) -> NodeProcess:
        """Wait until every running node names the same leader; return it.

        Raises:
            LaunchError: A node ended by itself, or they did not agree in time.
        """
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < timeout_s:
            running = [node for node in self.nodes if node.is_running()]
            if not running:
                break
            ports = {_leader_port(node) for node in running}
            for node in running:
                if ports == {node.ports.server}:
                    return node
            time.sleep(POLL_S)
        ended = [node for node in self.nodes if not node.is_running()]
        node = (ended or self.nodes)[0]
        waited_s = time.monotonic() - begun_s
        raise LaunchError(
            f"no leader after {waited_s:.0f} s; {node.name} {'ended' if ended else 'says'}:\n"
            f"{node.log_end()}"
        )

    def stop(self) -> None:
        """End every node; stopped ones (SIGSTOP) too."""
        for node in self.nodes:
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGTERM)
        for node in self.nodes:
            node.stop()


def _leader_port(node: NodeProcess) -> int:
    """The peer port of the leader a node knows; 0 if it knows none or does not answer."""
    try:
        answer = node.get("/v1/status/leader")
    except (OSError, http.client.HTTPException, ValueError):
        return 0
    port = str(answer).rpartition(":")[2]
    return int(port) if port.isdigit() else 0
