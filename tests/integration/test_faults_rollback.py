"""An old copy of a data directory in the place of the directory: found, refused, nothing lost."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from quorate.cli.launch import LocalNode
from quorate.client import AsyncClient
from tests.integration.stage import Stage, log_of, played

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

WRITES = 50
ENDS_S = 30.0


def put_back(node: LocalNode, old: Path) -> None:
    """The old copy takes the place of a node's directory."""
    shutil.rmtree(node.data)
    shutil.copytree(old, node.data)


async def written(node: LocalNode) -> None:
    """Writes that this node acknowledges, and so has stored or knows to be stored elsewhere."""
    async with AsyncClient(node.address, deadline_s=20.0) as client:
        for number in range(WRITES):
            assert await client.kv.put(f"written/{number}", b"%d" % number)


async def read(node: LocalNode) -> int:
    """How many of these writes a node shows."""
    async with AsyncClient(node.address, deadline_s=20.0) as client:
        return len(await client.kv.keys("written/"))


async def ended(node: LocalNode) -> str:
    """Start a node that must end by itself, because others remember more; return what it said."""
    since = node.log.stat().st_size
    node.start()
    until_s = time.monotonic() + ENDS_S
    while node.is_running():
        assert time.monotonic() < until_s, f"it goes on\n{node.log_end()}"
        await asyncio.sleep(0.05)
    assert node.exit_code != 0
    return log_of(node, since)


@pytest.mark.parametrize("is_third_away", [True, False])
def test_an_old_copy_of_a_directory_is_refused_by_who_wrote_with_it(
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
        said = await ended(old_node)
        assert "old copy" in said
        assert "empty directory" in said

        if is_third_away:
            await stage.start(third)
        for node in stage.others(old_node):
            assert await read(node) == WRITES
        shutil.rmtree(old_node.data)

    played(tmp_path, story)
