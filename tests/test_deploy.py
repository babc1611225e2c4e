"""What `deploy/` offers is true: names of metrics, flags, exit codes, and what the rules do."""

import json
import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
import uvloop

from quorate.agent import run as agent
from quorate.base.metrics import Metric
from quorate.cli.agent import parse_flags
from quorate.gateways.http.metrics import exposition
from tests.integration.oneloop import Cluster
from tests.unit.gateways.desk import Desk

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
NAME = re.compile(r"\b(?:quorate|process|python)_[a-z_]+\b")


def measured() -> list[Metric]:
    """What a node measures, its gateway left aside."""

    async def play() -> list[Metric]:
        async with Cluster(1) as cluster:
            return cluster.nodes[0].local.metrics()

    return uvloop.run(play())


def exposed() -> set[str]:
    """Every name that a node exposes, with the suffixes of histograms."""
    texts = [Desk().ask("GET", "/metrics").text, exposition(measured()).decode()]
    return {
        re.split(r"[{ ]", line)[0]
        for text in texts
        for line in text.splitlines()
        if line and not line.startswith("#")
    }


def expressions() -> list[str]:
    """Every query of the dashboard."""
    found: list[str] = []

    def keep(pairs: list[tuple[str, object]]) -> None:
        found.extend(str(value) for key, value in pairs if key in {"expr", "query"} and value)

    json.loads((DEPLOY / "grafana/quorate.json").read_text(), object_pairs_hook=keep)
    return found


def test_alerts_and_the_dashboard_know_only_names_that_are_exposed() -> None:
    names = exposed()
    rules = (DEPLOY / "prometheus/alerts.yml").read_text()
    used = set(NAME.findall(rules))
    used |= {name for each in expressions() for name in NAME.findall(each)}
    assert used - names == set()
    assert len(used) > 15


def test_the_page_on_metrics_lists_every_name_and_no_other() -> None:
    page = (ROOT / "docs/operating/metrics.md").read_text()
    listed = set(re.findall(r"`(quorate_[a-z_]+)`", page))
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed()}
    ours = {name for name in families if name.startswith("quorate_")}
    ours -= {"quorate_lag_seconds", "quorate_turns_total"}  # the test double's own
    assert listed == ours


@pytest.mark.parametrize(
    "words", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]]
)
def test_the_tool_of_prometheus_takes_the_alerts(words: list[str]) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [tool, *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_starts_an_agent_and_leaves_alone_what_a_person_should_see() -> None:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd/quorate.service")
    service = unit["Service"]
    program, command, *flags = shlex.split(service["ExecStart"])
    assert (Path(program).name, command) == ("quorate", "agent")
    parse_flags(flags)
    prevented = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert prevented == {agent.EXIT_START, agent.EXIT_HALTED}
    assert int(service["TimeoutStopSec"]) > agent.STOP_S


def test_the_container_starts_an_agent() -> None:
    text = (DEPLOY / "container/Containerfile").read_text()
    command = json.loads(text.rpartition("\nCMD ")[2])
    assert command[0] == "agent"
    parse_flags(command[1:])
