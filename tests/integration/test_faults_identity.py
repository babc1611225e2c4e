"""What people do wrong: directories copied or swapped, clusters mixed up, ports and files taken."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from quorate.base.errors import QuorateError
from quorate.client import AsyncClient
from quorate.lab.launch import LocalCluster, NodeProcess, Ports
from quorate.runtime.reserved import HOST, free_ports
from tests.integration import damage
from tests.integration.shim import Shim
from tests.integration.stage import SLOW_MACHINE, Stage, log_of, played
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

REFUSED = 1
HOUR_S = 3600


def peers(stage: Stage) -> list[str]:
    """Where the nodes of a stage are dialed by others."""
    return [f"{HOST}:{node.ports.server}" for node in stage.nodes]


def sized(stage: Stage) -> list[str]:
    """The flags all nodes of a stage have."""
    return ["-config-file", str(stage.directory / "quorate.json")]


async def refused(node: NodeProcess) -> str:
    """Start a node that must end at once, with words and without a trace; return the words."""
    since = node.log.stat().st_size if node.log.exists() else 0
    began_s = time.monotonic()
    node.start()
    while node.is_running():
        assert time.monotonic() - began_s < HANG_S, f"it goes on\n{node.log_end()}"
        await asyncio.sleep(0.02)
    said = log_of(node, since)
    assert node.exit_code == REFUSED
    assert "Traceback" not in said
    return said


# --- other clusters ---------------------------------------------------------------------------


def test_a_node_of_another_cluster_at_the_address_of_ours_is_refused(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        ours = stage.others(await stage.leader())[0]
        ours.kill()
        other = NodeProcess("x", tmp_path, ours.ports, [], 0, ["-bootstrap", *sized(stage)])
        other.start()
        try:
            for node in stage.others(ours):
                await stage.says(node, "peer refused", "belongs to cluster")
            await stage.says(other, "peer refused", "belongs to cluster", "empty directory")
            await stage.load.writes(100)
        finally:
            await asyncio.to_thread(other.stop)
        await stage.start(ours)

    played(tmp_path, story)


def test_a_node_of_another_cluster_that_dials_ours_is_refused(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        folder = tmp_path / "others"
        folder.mkdir()
        others = LocalCluster(folder, 2, sized(stage))
        unknown, partner = others.nodes
        try:
            await asyncio.to_thread(others.start)
            unknown.kill()
            partner.kill()
            lost = NodeProcess("n1", folder, unknown.ports, peers(stage), 0, sized(stage))
            others.nodes[:] = [lost]
            lost.start()  # its partner is gone, so it dials the address to join: ours
            await stage.says(lost, "peer refused", "belongs to cluster")
            for node in stage.nodes:
                await stage.says(node, "peer refused", "belongs to cluster")
            await stage.load.writes(100)
            assert len(await damage.configuration(stage.nodes[0])) == 3
        finally:
            await asyncio.to_thread(others.stop)

    played(tmp_path, story)


# --- copies of a directory --------------------------------------------------------------------


async def restarted(stage: Stage, node: NodeProcess) -> None:
    """Kill a node and start it again."""
    node.kill()
    await stage.start(node)


def copy_of(stage: Stage, node: NodeProcess) -> NodeProcess:
    """A node that runs on a copy of another one's directory, as it is now."""
    folder = stage.directory / "copies"
    folder.mkdir()
    shutil.copytree(node.data, folder / node.name)
    return NodeProcess(node.name, folder, Ports(*free_ports(2)), peers(stage), 0, sized(stage))


@pytest.mark.parametrize(
    ("newer_by", "complaint"), [(1, "runs twice"), (2, "its data directory is an old copy")]
)
def test_a_copied_directory_is_refused_and_the_original_goes_on(
    tmp_path: Path, newer_by: int, complaint: str
) -> None:
    async def story(stage: Stage) -> None:
        original = stage.others(await stage.leader())[0]
        original.kill()
        copy = copy_of(stage, original)
        await stage.start(original)
        for _ in range(newer_by - 1):
            await restarted(stage, original)
        copy.start()
        try:
            for node in stage.others(original):
                await stage.says(node, "peer refused", complaint)
            await stage.says(copy, "refused by peer")
            await stage.load.writes(100)
            await stage.caught_up(original)
            async with AsyncClient(copy.address, deadline_s=1.0) as client:
                with pytest.raises(QuorateError):
                    await client.kv.put("by/the/copy", b"x")
        finally:
            await asyncio.to_thread(copy.stop)

    played(tmp_path, story)


def test_a_copy_with_a_newer_incarnation_is_another_node_and_the_original_comes_back(
    tmp_path: Path,
) -> None:
    """Its number takes the links of the original, but it has shown less: it is notified.

    A peer that the original dials again before that takes it for the older one: then it, too, goes
    on under a new id, once its name is free.
    """

    async def story(stage: Stage) -> None:
        original = stage.others(await stage.leader())[0]
        original.kill()
        copy = copy_of(stage, original)
        await stage.start(original)
        await restarted(stage, original)
        await stage.load.writes(100)
        identity = copy.data / "node.json"
        node = json.loads(identity.read_text())
        identity.write_text(json.dumps(node | {"incarnation": node["incarnation"] + 5}))
        copy.start()
        try:
            await stage.says(copy, "this data directory is an old copy", "under a new id")
            await stage.says(copy, "joining a cluster")
            assert json.loads(identity.read_text())["id"] != node["id"]
            await stage.load.writes(100)
        finally:
            await asyncio.to_thread(copy.stop)
        await stage.load.writes(100)
        await stage.caught_up(original)

    played(tmp_path, story)


# --- directories ------------------------------------------------------------------------------


def test_the_log_of_another_node_is_refused(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        one, two = stage.others(await stage.leader())
        one.kill()
        two.kill()
        swap(one.data / "wal", two.data / "wal")
        for node in (one, two):
            said = await refused(node)
            assert "is the log of node" in said
            assert "put back the log that was here" in said
        swap(one.data / "wal", two.data / "wal")
        one.start()
        two.start()
        await stage.caught_up(one)
        await stage.caught_up(two)

    played(tmp_path, story)


def swap(one: Path, two: Path) -> None:
    """Give two folders each other's name."""
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def test_a_directory_started_under_another_name_is_the_same_node(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        node = stage.others(await stage.leader())[0]
        identity = json.loads((node.data / "node.json").read_text())["id"]
        node.kill()
        (tmp_path / "renamed").symlink_to(node.data)
        renamed = NodeProcess("renamed", tmp_path, node.ports, peers(stage), 0, sized(stage))
        renamed.start()

        async def is_known() -> bool:
            servers = await damage.configuration(stage.others(node)[0])
            return ("renamed", identity) in [(each["Node"], each["ID"]) for each in servers]

        try:
            await stage.until(is_known, "the new name is not known")
            assert len(await damage.configuration(renamed)) == 3
        finally:
            await asyncio.to_thread(renamed.stop)
        await stage.start(node)

    played(tmp_path, story)


@pytest.fixture
def read_only(tmp_path: Path) -> Generator[Path, None, None]:
    """A directory that nobody may write, whoever asks."""
    path = tmp_path / "n1"
    path.mkdir()
    place = str(path)
    for words in (["mount", "--bind", place, place], ["mount", "-o", "remount,bind,ro", place]):
        done = subprocess.run(words, capture_output=True, check=False, text=True)
        if done.returncode != 0:
            pytest.skip(f"no right to mount: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_directory_without_permission_is_named(read_only: Path) -> None:
    node = NodeProcess("n1", read_only.parent, Ports(*free_ports(2)), [], 0, ["-bootstrap"])
    said = asyncio.run(refused(node))
    assert str(read_only) in said
    assert "Give the user that runs Quorate the right" in said


# --- ports and files --------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["http", "server"])
def test_a_port_in_use_is_named_at_once_and_the_directory_left_whole(
    tmp_path: Path, which: str
) -> None:
    async def story(stage: Stage) -> None:
        node = stage.others(await stage.leader())[0]
        await asyncio.to_thread(node.stop)
        port = node.ports.http if which == "http" else node.ports.server
        with socket.create_server((HOST, port)):
            said = await refused(node)
        assert f"port {port} on {HOST} is in use by another process" in said
        assert f"choose another port with -{which}-port" in said
        await stage.start(node)
        assert "tables made anew" not in log_of(node)

    played(tmp_path, story)


def test_of_several_addresses_for_clients_the_one_in_use_is_named(tmp_path: Path) -> None:
    ports = Ports(*free_ports(2))
    extra = ["-bootstrap", "-client", f"{HOST} 127.0.0.3"]
    with socket.create_server(("127.0.0.3", ports.http)):
        said = asyncio.run(refused(NodeProcess("n1", tmp_path, ports, [], 0, extra)))
    assert f"port {ports.http} on 127.0.0.3 is in use" in said


def test_all_faults_of_a_configuration_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    timing = {"heartbeat_s": 2.0, "election_timeout_s": 1.0, "dead_s": 0.5}
    wrong = {"quorate": {"timing": timing, "wal_segment_bytes": 1}, "servr": True, "bind_adr": ""}
    file.write_text(json.dumps(wrong))
    extra = ["-bootstrap", "-config-file", str(file)]
    said = asyncio.run(refused(NodeProcess("n1", tmp_path, Ports(*free_ports(2)), [], 0, extra)))
    for words in (
        "servr", "bind_adr", "timing.heartbeat_s must be at most a third",
        "timing.dead_s must not be shorter", "wal_segment_bytes must be at least",
    ):  # fmt: skip
        assert words in said
    assert not (tmp_path / "n1/node.json").exists()


# --- clocks -----------------------------------------------------------------------------------


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    return Shim(tmp_path / "shim", monkeypatch)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_wall_clock_that_jumps_ends_no_session_and_no_leadership(
    tmp_path: Path, shim: Shim, who: str
) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        victim = leader if who == "leader" else stage.others(leader)[0]
        async with (
            AsyncClient(stage.endpoints) as client,
            client.lock("locks/held", ttl_s=30.0, lock_delay_s=0.0) as held,
        ):
            forgotten = await client.session.create(ttl_s=1.0)
            for ahead_s in (HOUR_S, -HOUR_S, 0):
                shim.order(victim, ahead_s=ahead_s)
                await stage.load.writes(100)
                held.check()
                assert await client.session.info(held.session) is not None
            assert await stage.leader() is leader

            async def has_ended() -> bool:
                return await client.session.info(forgotten) is None

            await stage.until(has_ended, "a session that nobody renews goes on")
            held.check()
        assert stage.load.history.errors == {}

    played(tmp_path, story, config=SLOW_MACHINE | {"session_ttl_min": "1s"})
