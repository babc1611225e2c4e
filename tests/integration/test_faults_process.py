"""What processes suffer: killed, frozen, restarted, all under load."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from quorate.lab.launch import NodeProcess
from tests.integration.load import Load
from tests.integration.stage import Stage, played
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


async def stopped(node: NodeProcess) -> None:
    """End a node cleanly: by itself, not by force when it was waited for long enough."""
    await asyncio.to_thread(node.stop, HANG_S)
    assert node.exit_code == 0


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_kill_9_of_one_node_costs_nothing_acknowledged(tmp_path: Path, who: str) -> None:
    async def story(stage: Stage) -> None:
        for _ in range(3):
            leader = await stage.leader()
            victim = leader if who == "leader" else stage.others(leader)[0]
            victim.kill()
            await stage.load.writes()
            await stage.start(victim)

    played(tmp_path, story)


def test_a_frozen_leader_serves_nothing_stale_when_it_wakes(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        frozen = await stage.leader()
        frozen.signal(signal.SIGSTOP)
        await stage.leader(stage.others(frozen))
        await stage.load.writes(100)
        history = stage.load.history
        late = Load([frozen.address], clients=6, is_pinned=True, history=history, first=100)
        late.start()  # their requests wait in the frozen node's sockets
        await asyncio.sleep(0.5)
        frozen.signal(signal.SIGCONT)
        try:
            await late.writes()
            await stage.caught_up(frozen)
        finally:
            await late.stop()

    played(tmp_path, story)


def test_a_leader_that_freezes_again_and_again_does_no_harm(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for frozen_s in (0.2, 1.5, 0.5, 2.5):
            frozen = await stage.leader()
            frozen.signal(signal.SIGSTOP)
            await asyncio.sleep(frozen_s)
            frozen.signal(signal.SIGCONT)
            await stage.load.writes(50)

    played(tmp_path, story)


def test_all_nodes_killed_at_once_remember_what_they_acknowledged(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for _ in range(2):
            for node in stage.nodes:
                node.signal(signal.SIGKILL)
            for node in stage.nodes:
                node.kill()
            for node in stage.nodes:
                node.start()
            await stage.load.writes()

    played(tmp_path, story)


def test_a_majority_that_dies_stops_the_writes_until_it_is_back(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        leader.kill()
        stage.others(leader)[0].kill()
        with pytest.raises(TimeoutError):
            await stage.load.writes(1, patience_s=3.0)
        stage.others(leader)[0].start()
        await stage.load.writes()
        await stage.start(leader)

    played(tmp_path, story)


def test_a_rolling_restart_stops_nobody(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        history = stage.load.history
        began_s = time.monotonic()
        await stage.load.writes(200)
        calm_s = history.longest_pause_s(began_s)  # how slow this machine is just now
        began_s = time.monotonic()
        for node in stage.nodes:
            await stopped(node)
            await stage.start(node)
            await stage.load.writes()
        assert history.longest_pause_s(began_s) < 2.0 + 20 * calm_s

    played(tmp_path, story)


def test_all_nodes_stop_cleanly_at_once_under_load(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await asyncio.gather(*(stopped(node) for node in stage.nodes))
        for node in stage.nodes:
            node.start()
        await stage.load.writes()

    played(tmp_path, story)


def test_a_node_stops_in_time_while_nobody_else_answers(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        for other in stage.others(leader):
            other.signal(signal.SIGSTOP)
        await stopped(leader)
        for other in stage.others(leader):
            other.signal(signal.SIGCONT)
        await stage.start(leader)

    played(tmp_path, story)
