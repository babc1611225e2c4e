"""Real processes that bootstrap and join: who starts when, and who finds whom."""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from quorate.lab.launch import quorate_command

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TIMEOUT_S = 60.0  # on a loaded machine; nothing here takes ten seconds
POLL_S = 0.1

_numbers = count(1)


def fresh_hosts(number: int) -> list[str]:
    """So many loopback addresses that no other test of this run uses."""
    pid = os.getpid()
    return [f"127.{10 + pid % 200}.{pid // 200 % 250}.{next(_numbers)}" for _ in range(number)]


class Agent:
    """One `quorate agent` on an address of its own."""

    def __init__(self, folder: Path, host: str, name: str, joins: list[str], **keys: Any) -> None:
        self.host, self.name = host, name
        self._config = folder / f"{name}-{host}.json"
        self.log = folder / f"{name}-{host}.log"
        config: dict[str, Any] = {
            "server": True,
            "node_name": name,
            "bind_addr": host,
            "client_addr": host,
            "retry_join": joins,
            "data_dir": str(folder / f"data-{name}-{host}"),
            "quorate": {"wal_segment_bytes": 1 << 20, "free_bytes_min": 1 << 20},
        }
        self._config.write_text(json.dumps(config | keys))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*quorate_command(), "agent", "-config-file", str(self._config)],
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> Any:
        """What it answers; None if it does not, or with an error."""
        request = urllib.request.Request(f"http://{self.host}:8500{path}", data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return json.loads(reply.read())
        except (OSError, ValueError):  # nobody there, or an error, which is text
            return None

    def status(self, path: str) -> tuple[int, str]:
        """Status and text of an answer; 0 if there is none."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:8500{path}", timeout=20) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def leader(self) -> str:
        found = self.ask("/v1/status/leader")
        return found if isinstance(found, str) else ""

    @property
    def members(self) -> dict[str, bool]:
        """The addresses of the members it knows, and whether they vote."""
        found: dict[str, Any] = self.ask("/v1/operator/raft/configuration?stale") or {"Servers": []}
        return {each["Address"]: each["Voter"] for each in found["Servers"]}

    def said(self, text: str) -> bool:
        return text in self.log.read_text()


def until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(POLL_S)


def knows_a_leader(agent: Agent) -> None:
    until(lambda: bool(agent.leader), f"{agent.name} knows no leader")


@contextlib.contextmanager
def running(*agents: Agent) -> Generator[None, None, None]:
    try:
        for agent in agents:
            agent.start()
        yield
    finally:
        for agent in agents:
            agent.stop()


def bootstrapping(folder: Path, hosts: list[str], expect: int, joins: list[str]) -> list[Agent]:
    return [
        Agent(folder, host, f"n{place}", joins, bootstrap_expect=expect)
        for place, host in enumerate(hosts, 1)
    ]


def test_a_node_that_starts_together_with_three_that_bootstrap_is_a_member(tmp_path: Path) -> None:
    hosts = fresh_hosts(4)
    three = bootstrapping(tmp_path, hosts[:3], 3, hosts[:3])
    fourth = Agent(tmp_path, hosts[3], "n4", hosts[:3])
    with running(fourth, *three):
        until(lambda: bool(fourth.leader), "the fourth knows no leader")
        address = f"{hosts[3]}:8300"
        until(lambda: address in three[0].members, "the fourth is no member")
        voters = {each for each, votes in three[0].members.items() if votes}
        assert voters == {f"{host}:8300" for host in hosts[:3]}

        def votes() -> bool:
            fourth.ask(f"/v1/operator/raft/peer?address={address}", "PUT")
            return three[0].members[address]

        until(votes, "it was given no vote")


def test_of_five_that_expect_three_all_are_members_with_one_address_in_common(
    tmp_path: Path,
) -> None:
    hosts = fresh_hosts(5)
    five = bootstrapping(tmp_path, hosts, 3, hosts[:1])
    with running(*five):
        until(lambda: all(agent.leader for agent in five), "somebody knows no leader")
        until(lambda: all(len(agent.members) == 5 for agent in five), "somebody is no member")
        assert len({agent.leader for agent in five}) == 1
        assert sum(five[0].members.values()) == 3


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("expect", [0, 3])
def test_a_node_that_knows_two_clusters_joins_one_and_never_speaks_to_the_other(
    tmp_path: Path, size: int, expect: int
) -> None:
    hosts = fresh_hosts(2 * size + 1)
    ours, theirs, own = hosts[:size], hosts[size:-1], hosts[-1]
    one = bootstrapping(tmp_path, ours, size, ours)
    other = bootstrapping(tmp_path, theirs, size, theirs)
    keys = {"bootstrap_expect": expect} if expect else {}
    both = Agent(tmp_path, own, "both", [*theirs, *ours], **keys)
    with running(*one, *other):
        for agent in (*one, *other):
            knows_a_leader(agent)
        one[0].ask("/v1/kv/ours", "PUT", b"1")
        other[0].ask("/v1/kv/theirs", "PUT", b"1")
        with running(both):
            until(lambda: bool(both.leader), "it knows no leader")
            mine = theirs if both.leader.partition(":")[0] in theirs else ours
            assert mine == theirs  # their address stands first
            until(lambda: both.said("another cluster found"), "it does not say so")
            for turn in range(20):
                other[turn % size].ask(f"/v1/kv/theirs{turn}", "PUT", b"x")
                one[turn % size].ask(f"/v1/kv/ours{turn}", "PUT", b"x")
            until(lambda: len(both.ask("/v1/kv/?keys&stale") or []) == 21, "it does not keep up")
            keys_seen = both.ask("/v1/kv/?keys&stale")
            assert all(key.startswith("theirs") for key in keys_seen)
            assert f"{own}:8300" not in one[0].members
            until(lambda: f"{own}:8300" in other[0].members, "it is no member")
            for agent in (*one, *other, both):
                assert agent.is_running
                assert not agent.said("halted")


def test_a_node_that_waits_for_others_says_how_many_and_whom_it_reached(tmp_path: Path) -> None:
    hosts = fresh_hosts(3)
    alone = Agent(tmp_path, hosts[0], "n1", hosts[1:], bootstrap_expect=3)
    with running(alone):
        until(lambda: alone.status("/v1/kv/a")[0] == 500, "it does not answer")
        assert "waiting for 2 of 3 nodes to bootstrap" in alone.status("/v1/kv/a")[1]
        until(lambda: alone.said("no other node reached"), "it does not say that it reaches nobody")
        assert f"{hosts[1]}:8300" in alone.log.read_text()


def test_a_removed_node_says_so_and_serves_nothing(tmp_path: Path) -> None:
    hosts = fresh_hosts(3)
    three = bootstrapping(tmp_path, hosts, 3, hosts)
    with running(*three):
        for agent in three:
            knows_a_leader(agent)
        three[0].ask("/v1/kv/a", "PUT", b"1")
        gone = next(agent for agent in three if not agent.leader.startswith(agent.host))
        stays = next(agent for agent in three if agent is not gone)
        stays.ask(f"/v1/operator/raft/peer?address={gone.host}:8300", "DELETE")
        until(lambda: gone.said("removed"), "it does not say that it was removed")
        for path in ("/v1/kv/a", "/v1/kv/a?stale"):
            status, text = gone.status(path)
            assert status == 503
            assert "was removed from cluster" in text
        shown = {each["Name"]: each["Status"] for each in gone.ask("/v1/agent/members")}
        assert shown[gone.name] == 3
        shown = {each["Name"]: each["Status"] for each in stays.ask("/v1/agent/members")}
        assert shown[gone.name] == 3
