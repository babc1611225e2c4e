"""What networks do: part nodes, let bytes through one way only, come and go."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.load import Load
from tests.integration.stage import SLOW_MACHINE, Stage, played

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

APART_S = 3.0  # longer than an election takes


def test_a_leader_cut_off_serves_nothing_stale_and_comes_back(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        isolated = await stage.leader()
        others = stage.others(isolated)
        late = Load(
            [isolated.address], clients=6, is_pinned=True, history=stage.load.history, first=100
        )
        stage.wires.part([isolated], others)
        late.start()  # they ask the one that is cut off, from the first moment on
        try:
            await stage.leader(others)
            await stage.load.writes(100)
            stage.wires.heal()
            await stage.caught_up(isolated)
        finally:
            await late.stop()

    played(tmp_path, story, is_wired=True)


def test_a_follower_cut_off_disturbs_nobody_and_catches_up(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        isolated, other = stage.others(leader)
        stage.wires.part([isolated], [leader, other])
        await asyncio.sleep(APART_S * 4)  # as `SLOW_MACHINE` has it
        stage.wires.heal()
        await stage.caught_up(isolated)
        assert await stage.leader() is leader  # who came back did not depose it

    played(tmp_path, story, config=SLOW_MACHINE, is_wired=True)


def test_nodes_that_are_all_apart_go_on_when_they_meet_again(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for node in stage.nodes:
            stage.wires.cut([node], stage.others(node))
        with pytest.raises(TimeoutError):
            await stage.load.writes(1, patience_s=APART_S)
        stage.wires.heal()

    played(tmp_path, story, is_wired=True)


def test_a_bridge_between_two_that_do_not_reach_each_other_keeps_the_cluster_going(
    tmp_path: Path,
) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        one, bridge = stage.others(leader)
        stage.wires.part([leader], [one])
        for _ in range(5):
            await stage.load.writes()
            await asyncio.sleep(APART_S / 5)
        await stage.leader([leader, bridge])
        stage.wires.heal()

    played(tmp_path, story, is_wired=True)


@pytest.mark.parametrize("way", ["from", "to"])
def test_a_leader_reachable_one_way_only_is_replaced(tmp_path: Path, way: str) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        others = stage.others(leader)
        if way == "from":
            stage.wires.cut([leader], others)
        else:
            stage.wires.cut(others, [leader])
        await stage.leader(others)
        await stage.load.writes(50)
        stage.wires.heal()
        await stage.caught_up(leader)

    played(tmp_path, story, is_wired=True)


def test_a_flapping_wire_costs_time_only(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for turn in range(8):
            node = stage.nodes[turn % 3]
            stage.wires.part([node], stage.others(node))
            await asyncio.sleep(0.4)
            stage.wires.heal()
            await asyncio.sleep(0.2)

    played(tmp_path, story, is_wired=True)
