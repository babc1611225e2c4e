"""The systems that are measured: three members each on this machine, fsync as they ship."""

import http.client
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks import pools
from quorate import __version__
from quorate.lab.launch import LaunchError, LocalCluster
from quorate.runtime.reserved import HOST, free_ports

MEMBERS = 3


class System(Protocol):
    """A cluster of three members that a generator can load.

    Members are known by their place, 0 to 2.
    """

    name: str
    version: str
    command: str

    def start(self) -> None:
        """Start every member and wait for a leader."""

    def stop(self) -> None:
        """End every member."""

    def address(self, member: int) -> str:
        """`host:port` of a member's HTTP API."""
        ...

    def pid(self, member: int) -> int:
        """Its process id."""
        ...

    def leader(self) -> int:
        """Which member leads; waits until there is one."""
        ...

    def kill(self, member: int) -> None:
        """End it with kill -9."""

    def restart(self, member: int) -> None:
        """Start a killed one again and wait until all agree on a leader."""

    def requests(self, verb: str) -> list[bytes]:
        """The requests of one workload."""
        ...


def shown(words: Sequence[str], directory: Path) -> str:
    """A member's command for readers elsewhere: without where this machine kept its data."""
    return " ".join(words).replace(str(directory), "DIRECTORY")


def program_of(checkout: Path) -> list[str]:
    """How to run the build in another checkout, which has its own `.venv`.

    Raises:
        FileNotFoundError: It has none; `make check` there makes it.
    """
    python = checkout.resolve() / ".venv/bin/python"
    if not python.exists():
        raise FileNotFoundError(f"{python}: run `make check` in that checkout first")
    return [str(python), "-c", "import sys; from quorate.cli.main import main; sys.exit(main())"]


class Quorate:
    """Three `quorate agent` processes, of this build or of another one.

    Args:
        directory: Where data and logs go.
        name: Shown in results.
        program: What runs a node; None: this build.
    """

    def __init__(
        self, directory: Path, name: str = "quorate", program: Sequence[str] | None = None
    ) -> None:
        self.name = name
        self._cluster = LocalCluster(directory, MEMBERS, program=program)
        words = self._cluster.nodes[0].command
        self.command = shown(["quorate", *words[words.index("agent") :]], directory)
        self.version = __version__

    def start(self) -> None:
        """See System."""
        self._cluster.start()

    def stop(self) -> None:
        """See System."""
        self._cluster.stop()

    def address(self, member: int) -> str:
        """See System."""
        return self._cluster.nodes[member].address

    def pid(self, member: int) -> int:
        """See System."""
        return self._cluster.nodes[member].pid

    def leader(self) -> int:
        """See System."""
        return self._cluster.nodes.index(self._cluster.wait_for_leader())

    def kill(self, member: int) -> None:
        """See System."""
        self._cluster.nodes[member].kill()

    def restart(self, member: int) -> None:
        """See System."""
        self._cluster.nodes[member].start()
        self._cluster.wait_for_leader()

    def requests(self, verb: str) -> list[bytes]:
        """See System."""
        return pools.consul_requests(verb)


class Etcd:
    """Three etcd processes; clients talk to the JSON gateway."""

    name = "etcd"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ports = free_ports(2 * MEMBERS)
        self._client_ports, self._peer_ports = ports[:MEMBERS], ports[MEMBERS:]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * MEMBERS
        self.command = shown(self._words(0), directory)
        said = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=False)
        self.version = said.stdout.splitlines()[0].rpartition(" ")[2] if said.stdout else "unknown"

    @staticmethod
    def is_installed() -> bool:
        """True if there is an etcd on the path."""
        return shutil.which("etcd") is not None

    def _words(self, member: int) -> list[str]:
        peers = ",".join(
            f"m{each}=http://{HOST}:{self._peer_ports[each]}" for each in range(MEMBERS)
        )
        client = f"http://{HOST}:{self._client_ports[member]}"
        peer = f"http://{HOST}:{self._peer_ports[member]}"
        return [
            "etcd", "--name", f"m{member}", "--data-dir", str(self._directory / f"m{member}"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", peers, "--initial-cluster-state", "new",
        ]  # fmt: skip

    def _start(self, member: int) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f"m{member}.log").open("ab") as log:
            self._processes[member] = subprocess.Popen(
                self._words(member), stdout=log, stderr=log, start_new_session=True
            )

    def start(self) -> None:
        """See System."""
        for member in range(MEMBERS):
            self._start(member)
        self.leader()

    def stop(self) -> None:
        """See System."""
        for process in self._processes:
            if process is not None:
                process.terminate()
        for process in self._processes:
            if process is not None:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def address(self, member: int) -> str:
        """See System."""
        return f"{HOST}:{self._client_ports[member]}"

    def pid(self, member: int) -> int:
        """See System."""
        process = self._processes[member]
        if process is None:
            raise LaunchError(f"etcd member {member} is not running")
        return process.pid

    def leader(self) -> int:
        """See System."""
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            responses = [self._status(member) for member in self._running()]
            leaders = {answer.get("leader") for answer in responses}
            if len(leaders) == 1 and (leader := leaders.pop()) not in {None, "0"}:
                for member, answer in zip(self._running(), responses, strict=True):
                    if answer["header"]["member_id"] == leader:
                        return member
            time.sleep(0.02)
        raise LaunchError(f"etcd has no leader after 20 s; see {self._directory}")

    def _running(self) -> list[int]:
        return [
            member
            for member, process in enumerate(self._processes)
            if process is not None and process.poll() is None
        ]

    def _status(self, member: int) -> dict[str, Any]:
        connection = http.client.HTTPConnection(HOST, self._client_ports[member], timeout=1)
        try:
            connection.request("POST", "/v3/maintenance/status", "{}")
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            answer = {}
        finally:
            connection.close()
        return answer

    def kill(self, member: int) -> None:
        """See System."""
        process = self._processes[member]
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def restart(self, member: int) -> None:
        """See System."""
        self._start(member)
        self.leader()

    def requests(self, verb: str) -> list[bytes]:
        """See System."""
        return pools.etcd_requests(verb)
