"""The code of the pages for users runs as it stands there: README, tutorial, test your service."""

import http.client
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from quorate import Client, QuorateError
from quorate.lab.launch import quorate_command
from quorate.runtime.reserved import HOST, free_ports
from quorate.testing import Cluster
from tests.docblocks import Block, blocks, replaced, run_python, run_tests
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs/tutorial.md"
TESTING = ROOT / "docs/testing-your-service.md"
PORTS = ("8500", "8510", "8520", "8300", "8310", "8320", "8600", "8610", "8620")
ENDPOINTS = [f"{HOST}:{port}" for port in PORTS[:3]]

SETTING_UP = {
    "python3 -m venv .venv",
    ".venv/bin/pip install '.[server]'",
    ". .venv/bin/activate",
    "quorate demo",
    "pytest",
    "make check",
    "make test",
}
"""What tests/soak/test_fresh_machine.py runs, or what is running now."""


class Line(NamedTuple):
    """One command of a page, and what its comment says."""

    command: str
    comment: str


def lines(block: Block) -> Iterator[Line]:
    """The commands of a block, long ones joined."""
    for line in block.text.replace("\\\n", " ").splitlines():
        command, _, comment = line.partition("  # ")
        if command.strip():
            yield Line(" ".join(command.split()), comment.strip())


def python(page: Path, *, files: bool) -> list[Block]:
    found = [block for block in blocks(page) if block.language == "python"]
    chosen = [block for block in found if bool(block.file) is files]
    assert chosen
    return chosen


class Reader:
    """Somebody who types what a page says, with other ports and directories."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        self.words: Mapping[str, str] = ports | {"/tmp/q": f"{folder}/q"}
        self.environment = os.environ | {"CONSUL_HTTP_ADDR": f"{HOST}:{ports['8500']}"}
        self._stack = stack

    def type(self, line: Line) -> None:
        """Do what one line says, and hold what comes against its comment if that is one word."""
        words = shlex.split(replaced(line.command, self.words))
        if line.command.startswith("quorate agent"):
            command = [*quorate_command(), *words[1:]]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            self._stack.callback(process.wait)
            self._stack.callback(process.kill)
            return
        if words[0] == "curl":
            said = fetched(words[-1])
        else:
            assert words[0] == "quorate", line
            said = subprocess.run(
                [*quorate_command(), *words[1:]],
                env=self.environment,
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        if line.comment and " " not in line.comment:
            assert said.strip() == line.comment

    def wait(self) -> None:
        """Wait until the nodes serve."""
        deadline_s = time.monotonic() + HANG_S
        with Client([replaced(each, self.words) for each in ENDPOINTS]) as client:
            while True:
                try:
                    client.kv.get("ready")
                except QuorateError:
                    assert time.monotonic() < deadline_s
                else:
                    return


def fetched(url: str) -> str:
    found = re.fullmatch(r"http://([^/]+)(/.*)", url)
    assert found is not None
    connection = http.client.HTTPConnection(found[1], timeout=HANG_S)
    try:
        connection.request("GET", found[2])
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=lambda page: page.stem)
def test_what_the_page_has_one_type_works_as_typed(page: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        reader = Reader(stack, tmp_path)
        started = 0
        for block in blocks(page):
            if block.language == "sh":
                for line in lines(block):
                    if line.command in SETTING_UP:
                        continue
                    if started == 3:
                        reader.wait()
                    reader.type(line)
                    started += line.command.startswith("quorate agent")
            elif page is README and block.language == "python" and not block.file:
                reader.wait()
                run_python(block, {}, reader.words, page)
        assert started == 3


@pytest.mark.parametrize("page", [README, TUTORIAL, TESTING], ids=lambda page: page.stem)
def test_the_tests_of_the_page_pass(page: Path, tmp_path: Path) -> None:
    run_tests(python(page, files=True), tmp_path)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(3) as cluster:
        yield cluster


def test_the_tutorial_goes_as_it_says(cluster: Cluster) -> None:
    words = dict(zip(ENDPOINTS, cluster.endpoints, strict=True))
    names: dict[str, Any] = {}
    is_killed = False
    for block in python(TUTORIAL, files=False):
        if "dies" in block.heading and not is_killed:
            used = names["client"].endpoint
            cluster.kill(next(node for node in cluster.nodes if node.endpoint == used))
            is_killed = True
        run_python(block, names, words, TUTORIAL)
    assert is_killed
    names["client"].close()


@pytest.mark.parametrize(
    "block", python(TESTING, files=False), ids=lambda block: f"line {block.line}"
)
def test_what_the_page_on_testing_does_without_pytest_goes_as_it_says(block: Block) -> None:
    run_python(block, {"__name__": "page"}, {}, TESTING)
