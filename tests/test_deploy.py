"""What `deploy/` offers is true: names of metrics, flags, exit codes, and what the rules do."""

import json
import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from unittest.mock import Mock

import pytest
import uvloop

from quorate.agent import run as agent
from quorate.base import measured
from quorate.base.metrics import Metric, MetricKind, Unit
from quorate.cli.agent import parse_flags
from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.server import DnsServer
from quorate.gateways.http.metrics import exposition
from tests.integration.oneloop import Cluster
from tests.unit.gateways.harness import GatewayHarness

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
NAME = re.compile(r"\b(?:quorate|process|python)_[a-z_]+\b")


def measured_metrics() -> list[Metric]:
    """What a node measures, its gateway left aside."""

    async def play() -> list[Metric]:
        async with Cluster(1) as cluster:
            local = cluster.nodes[0].local
            return [*local.metrics(), *DnsServer(local, Mock(), DnsConfig()).metrics()]

    return uvloop.run(play())


def exposed() -> set[str]:
    """Every name that a node exposes, with the suffixes of histograms."""
    texts = [GatewayHarness().ask("GET", "/metrics").text, exposition(measured_metrics()).decode()]
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
    assert listed == ours


def test_what_is_exposed_is_what_is_declared() -> None:
    """Each once, and with its kind, help and labels; nothing is declared that no node exposes."""
    metrics = [*GatewayHarness().context.metrics(), *measured_metrics()]
    assert {each.name for each in metrics} == set(measured.DECLARED)
    for each in metrics:
        assert each.declaration is measured.DECLARED[each.name]
        labels = {tuple(name for name, _ in sample.labels) for sample in each.samples}
        assert labels == {each.declaration.labels}


def test_names_are_as_prometheus_wants_them() -> None:
    for name, each in measured.DECLARED.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") == (each.kind is MetricKind.COUNTER)
        unit = name.removesuffix("_total").rpartition("_")[2]
        units = {Unit.SECONDS, Unit.BYTES}
        assert each.unit == (unit if unit in units else Unit.NONE)
        assert each.kind is not MetricKind.HISTOGRAM or each.unit is Unit.SECONDS
        assert each.text.endswith(".")


def test_the_page_on_metrics_says_of_each_its_kind_and_labels() -> None:
    page = (ROOT / "docs/operating/metrics.md").read_text()
    for row in re.findall(r"^\| (`quorate_.*?) \| ([a-z, ]+) \|", page, flags=re.MULTILINE):
        names = re.findall(r"`quorate_([a-z_]+)`", row[0])
        kinds, labels = row[1].split(", "), re.findall(r"\{([a-z_,]+)\}", row[0])
        for name, kind in zip(names, kinds * len(names) if len(kinds) == 1 else kinds, strict=True):
            each = measured.DECLARED[name]
            assert (each.kind, ",".join(each.labels)) == (kind, "".join(labels)), name


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
