"""An old copy of a data directory in the place of the directory: found, refused, nothing lost."""

import json
import shutil
from pathlib import Path

import pytest

from quorate.client import AsyncClient
from quorate.lab.launch import NodeProcess
from tests.integration.stage import Stage, log_of, played

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

WRITES = 50
ENDS_S = 30.0


def put_back(node: NodeProcess, old: Path) -> None:
    """The old copy takes the place of a node's directory."""
    shutil.rmtree(node.data)
    shutil.copytree(old, node.data)


async def written(node: NodeProcess) -> None:
    """Writes that this node acknowledges, and so has stored or knows to be stored elsewhere."""
    async with AsyncClient(node.address, deadline_s=20.0) as client:
        for number in range(WRITES):
            assert await client.kv.put(f"written/{number}", b"%d" % number)


async def read(node: NodeProcess) -> int:
    """How many of these writes a node shows."""
    async with AsyncClient(node.address, deadline_s=20.0) as client:
        return len(await client.kv.keys("written/"))


async def began_anew(stage: Stage, node: NodeProcess) -> str:
    """Start a node on an old copy; wait until it goes on as a learner under a new id.

    Returns:
        What it said.
    """
    before_id = json.loads((node.data / "node.json").read_text())["id"]
    since = node.log.stat().st_size
    node.start()
    await stage.says(node, "old copy", "starting again under a new id", since=since)
    await stage.says(node, "running", since=since)

    async def is_learner() -> bool:
        facts = await stage.facts(node)
        return facts is not None and facts.role == "learner"

    await stage.until(is_learner, f"{node.name} does not learn", ENDS_S)
    (kept,) = node.data.glob("set-aside-*")
    assert json.loads((kept / "node.json").read_text())["id"] == before_id
    assert json.loads((node.data / "node.json").read_text())["id"] != before_id
    return log_of(node, since)


@pytest.mark.parametrize("is_third_away", [True, False])
def test_an_old_copy_of_a_directory_votes_no_more_and_its_node_learns_under_a_new_id(
    tmp_path: Path, is_third_away: bool
) -> None:
    async def story(stage: Stage) -> None:
        old_node, third = stage.others(await stage.leader())
        if is_third_away:
            third.kill()
        old_node.kill()
        old = tmp_path / "old"
        shutil.copytree(old_node.data, old)
        await stage.start(old_node)
        await written(stage.others(third)[0])

        old_node.kill()
        put_back(old_node, old)
        if is_third_away:  # else there would be no quorum to let the new id in
            third.start()
        said = await began_anew(stage, old_node)
        assert "halted" in said
        assert "remove the old id" in said
        for node in stage.nodes:
            assert await read(node) == WRITES

    played(tmp_path, story)
