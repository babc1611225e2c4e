"""Recorded command lines of Consul, run as `quorate` with the same words.

Each runs in a folder of its case, with no variable of the environment for Consul but the address.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.lab.launch import quorate_command
from quorate.runtime.reserved import HOST
from tests.compat.consul.cases import marks
from tests.compat.consul.player import Ask, Player, asking
from tests.compat.consul.servers import Server, started
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DATA = Path(__file__).parent / "data/commands/cli.json"


def recorded() -> Iterator[Any]:
    for case in json.loads(DATA.read_text())["cases"]:
        yield pytest.param(case, id=case["name"], marks=marks(case))


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with started({}) as server:
        yield server


def running(port: int, folder: Path) -> Ask:
    """Run a command line; its end and output in the form that paths address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}

    def run(command: dict[str, Any]) -> dict[str, Any]:
        for name, content in command.get("files", {}).items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / name).write_text(text)
        address = {"CONSUL_HTTP_ADDR": f"{HOST}:{port}"}
        done = subprocess.run(
            [*quorate_command(), *command["args"]],
            cwd=folder,
            env={**kept, **address, **command.get("env", {})},
            input=command.get("stdin", ""),
            capture_output=True,
            check=False,
            text=True,
            timeout=HANG_S,
        )
        view: dict[str, Any] = {
            "exit": done.returncode,
            "stdout": done.stdout.replace(str(folder), "{folder}"),
            "stderr": done.stderr.replace(str(folder), "{folder}"),
        }
        try:
            view["json"] = json.loads(done.stdout)
        except ValueError:
            return view
        return view

    return run


@pytest.mark.parametrize("case", list(recorded()))
def test_a_recorded_command_line_does_the_same(
    case: dict[str, Any], shared: Server, tmp_path: Path
) -> None:
    if case.get("fresh") or case.get("config"):
        with started(case.get("config", {})) as server:
            play(case, server, tmp_path)
    else:
        play(case, shared, tmp_path)


def play(case: dict[str, Any], server: Server, folder: Path) -> None:
    run = running(server.port, folder)
    Player(asking(HOST, server.port), server.facts, run_command=run).play(case)
