"""`quorate cluster list` on real nodes: all alive, one lost, and without a leader."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from quorate.lab.launch import NodeProcess, quorate_command
from tests.integration.stage import Stage, played

pytestmark = pytest.mark.integration


def listed(node: NodeProcess) -> tuple[dict[str, Any], str]:
    """What the command prints about the cluster, and its note."""
    flag = f"-http-addr={node.address}"
    done = subprocess.run(
        [*quorate_command(), "cluster", "list", "-json", flag],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


def alive(node: NodeProcess) -> set[str]:
    return {each["name"] for each in listed(node)[0]["members"] if each["alive"]}


def test_every_node_lists_everybody_and_who_is_lost(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        names = {node.name for node in stage.nodes}
        for node in stage.nodes:

            async def knows_all(node: NodeProcess = node) -> bool:
                return all(each["last_heard"] is not None for each in listed(node)[0]["members"])

            await stage.until(knows_all, "every member's progress is known")
            found, _ = listed(node)
            assert (found["node"], found["leader"], found["reason"]) == (node.name, leader.name, "")
            assert {each["name"] for each in found["members"]} == names
            roles = {each["name"]: each["role"] for each in found["members"]}
            assert roles == {n: "leader" if n == leader.name else "follower" for n in names}
            assert alive(node) == names

        lost, other = stage.others(leader)
        lost.kill()

        async def is_missed() -> bool:
            return alive(leader) == alive(other) == names - {lost.name}

        await stage.until(is_missed, "the lost node is shown as lost")

    played(tmp_path, story)
