"""Metrics of real nodes: the same on every node from its start, and clean for Prometheus's tool."""

import http.client
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.lab.launch import NodeProcess
from quorate.runtime.reserved import HOST
from tests.integration.stage import Stage, played

pytestmark = pytest.mark.integration

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(node: NodeProcess) -> str:
    client = http.client.HTTPConnection(HOST, node.ports.http, timeout=30)
    try:
        client.request("GET", "/metrics")
        return client.getresponse().read().decode()
    finally:
        client.close()


def series(text: str) -> Series:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_node_has_the_same_series_and_one_says_that_it_leads(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        await stage.load.writes()
        found = {node.name: series(scraped(node)) for node in stage.nodes}
        assert len({frozenset(each) for each in found.values()}) == 1
        says = {name: each["quorate_is_leader", ()] for name, each in found.items()}
        assert says == {node.name: float(node is leader) for node in stage.nodes}

        leader.kill()
        await stage.load.writes()
        leader.start()
        await stage.caught_up(leader)
        again = {node.name: series(scraped(node)) for node in stage.nodes}
        assert {frozenset(each) for each in again.values()} == {frozenset(found[leader.name])}
        assert sum(each["quorate_is_leader", ()] for each in again.values()) == 1

    played(tmp_path, story)


def test_what_is_measured_moves_with_the_work(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        before = series(scraped(leader))
        await stage.load.writes()
        after = series(scraped(leader))
        for name in (
            "quorate_wal_sync_seconds_count",
            "quorate_turn_seconds_count",
            "quorate_apply_seconds_count",
            "quorate_commands_applied_total",
            "quorate_index",
        ):
            assert after[name, ()] > before[name, ()], name
        assert sum(series(scraped(n))["quorate_commit_seconds_count", ()] for n in stage.nodes) > 0

    played(tmp_path, story)


def test_the_tool_of_prometheus_has_nothing_to_complain_of(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed")
    texts: list[str] = []

    async def story(stage: Stage) -> None:
        await stage.leader()
        texts.extend(scraped(node) for node in stage.nodes)

    played(tmp_path, story)
    for text in texts:
        done = subprocess.run(
            [tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
