"""A cluster of processes on this machine."""

import time
from pathlib import Path

import pytest

from quorate.lab.launch import LaunchError, LocalCluster


def test_nodes_that_have_all_ended_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asleep(seconds: float) -> None:
        raise AssertionError(f"waited {seconds} s for nodes that cannot come")

    monkeypatch.setattr(time, "sleep", asleep)
    cluster = LocalCluster(tmp_path)
    for node in cluster.nodes:
        node.log.parent.mkdir(parents=True, exist_ok=True)
        node.log.write_text("port 8300 is in use\n")
    with pytest.raises(LaunchError, match=r"n1 ended:\n.*is in use"):
        cluster.wait_for_leader(60.0)
