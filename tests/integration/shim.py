"""Shim: a sick disk or a wrong clock for one node's process, from outside, while it runs.

A `sitecustomize` on the path of the nodes' Python replaces the calls of the system that matter
by ones that look into a file of orders first. Nothing of it is in Quorate.
"""

import json
import os
from pathlib import Path

import pytest

from quorate.lab.launch import NodeProcess

SITECUSTOMIZE = """
import errno
import json
import os
import sys
import time
from pathlib import Path

words = sys.orig_argv
name = words[words.index("-node") + 1] if "-node" in words else ""
file = Path(__file__).with_name(f"{name}.json")


def orders():
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}


def sick(call):
    def called(*arguments):
        given = orders()
        time.sleep(given.get("sync_s", 0.0))
        if given.get("is_failing"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return call(*arguments)

    return called


def wrong(call, unit):
    return lambda: call() + int(orders().get("ahead_s", 0)) * unit


if name:
    os.fsync = sick(os.fsync)
    os.fdatasync = sick(os.fdatasync)
    time.time = wrong(time.time, 1)
    time.time_ns = wrong(time.time_ns, 1_000_000_000)
"""


class Shim:
    """Orders for the processes of nodes; none at first. Before they are started.

    Args:
        directory: Where orders are kept; made.
        environment: Has the nodes' processes find the shim.
    """

    def __init__(self, directory: Path, environment: pytest.MonkeyPatch) -> None:
        self._directory = directory
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(SITECUSTOMIZE)
        before = os.environ.get("PYTHONPATH", "")
        path = f"{directory}{os.pathsep}{before}" if before else str(directory)
        environment.setenv("PYTHONPATH", path)

    def order(
        self,
        node: NodeProcess,
        *,
        sync_s: float = 0.0,
        is_failing: bool = False,
        ahead_s: int = 0,
    ) -> None:
        """Give a node's process these orders, and no others any more.

        Args:
            node: Whose.
            sync_s: So long each sync takes longer.
            is_failing: Each sync fails.
            ahead_s: So far its wall clock is ahead.
        """
        orders = {"sync_s": sync_s, "is_failing": is_failing, "ahead_s": ahead_s}
        fresh = self._directory / f"{node.name}.new"
        fresh.write_text(json.dumps(orders))
        fresh.rename(self._directory / f"{node.name}.json")
