"""The fixtures, in suites of users: plain, in several processes, with pytest-asyncio and anyio."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PLAIN = """
import pytest

def test_first(quorate_cluster, quorate_client):
    assert len(quorate_cluster.nodes) == 3
    quorate_client.kv.put("a", b"1")
    quorate_cluster.kill(quorate_cluster.leader())
    assert quorate_client.kv.read("a") == b"1"
    quorate_cluster.pause(quorate_cluster.leader())

@pytest.mark.parametrize("n", range(3))
def test_each_begins_with_an_empty_whole_cluster(quorate_cluster, quorate_client, n):
    assert quorate_client.kv.keys("") == []
    assert [node.is_running for node in quorate_cluster.nodes] == [True] * 3
    quorate_client.kv.put("b", b"%d" % n)

def test_one_node(quorate_node):
    assert len(quorate_node.nodes) == 1
    with quorate_node.client() as client:
        client.kv.put("a", b"1")

def test_it_is_clean_too(quorate_node):
    assert quorate_node.client().kv.keys("") == []

def test_a_fresh_cluster_is_another(quorate_fresh_cluster, quorate_shared_cluster):
    assert not set(quorate_fresh_cluster.endpoints) & set(quorate_shared_cluster.endpoints)

@pytest.fixture(scope="session")
def seeded(quorate_shared_cluster):
    quorate_shared_cluster.client().kv.put("kept", b"1")
    return quorate_shared_cluster

@pytest.mark.parametrize("n", range(2))
def test_the_shared_cluster_keeps_what_is_there(seeded, n):
    assert seeded.client().kv.read("kept") == b"1"
"""

ASYNCIO = """
import asyncio
import pytest
import pytest_asyncio

@pytest_asyncio.fixture
async def client(quorate_cluster):
    async with quorate_cluster.async_client() as client:
        yield client

@pytest.mark.asyncio
@pytest.mark.parametrize("n", range(2))
async def test_async(quorate_cluster, client, n):
    cluster = quorate_cluster.aio
    assert await client.kv.keys("") == []
    await client.kv.put("a", b"1")
    await cluster.kill(await cluster.leader())
    assert await client.kv.read("a") == b"1"
    assert "uvloop" not in type(asyncio.get_running_loop()).__module__
"""

ANYIO = """
import pytest

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def client(quorate_cluster):
    async with quorate_cluster.async_client() as client:
        yield client

@pytest.mark.parametrize("n", range(2))
async def test_async(quorate_cluster, client, n):
    cluster = quorate_cluster.aio
    assert await client.kv.keys("") == []
    await client.kv.put("a", b"1")
    await cluster.kill(await cluster.leader())
    assert await client.kv.read("a") == b"1"
"""

UNUSED = """
import sys

def test_nothing_of_the_server_or_the_client_is_loaded():
    heavy = {"lmdb", "uvloop", "structlog", "typer", "rich", "quorate.runtime", "quorate.node"}
    heavy |= {"httptools", "msgspec", "quorate.client.sync.client"}
    assert not heavy & set(sys.modules)
"""

NO_POLICY = """
import asyncio

def test_the_policy_is_left_alone(quorate_client):
    quorate_client.kv.put("a", b"1")
    loop = asyncio.new_event_loop()
    loop.close()
    assert "uvloop" not in type(loop).__module__
"""


def run(folder: Path, suite: str, *words: str, ini: str = "") -> str:
    """Run a user's suite in a folder of its own, warnings as errors, and nothing of it stays."""
    (folder / "suite").mkdir()
    (folder / "tmp").mkdir()
    (folder / "suite/test_mine.py").write_text(suite)
    if "no:asyncio" not in words:  # else pytest-asyncio warns
        ini += "asyncio_default_fixture_loop_scope = function\n"
    (folder / "suite/pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{ini}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=folder / "suite",
        env=os.environ | {"TMPDIR": str(folder / "tmp")},
        capture_output=True,
        check=False,
        text=True,
    )
    assert [p.name for p in (folder / "tmp").iterdir() if p.name.startswith("quorate")] == []
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("words", [(), ("-n", "2"), ("-p", "no:asyncio", "-p", "no:anyio")],
                         ids=["plain", "xdist", "bare"])  # fmt: skip
def test_the_fixtures_work_in_a_plain_suite(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = run(tmp_path, PLAIN, *words)
    assert said.startswith("exit 0"), said
    assert "9 passed" in said


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_the_fixtures_work_with_pytest_asyncio(tmp_path: Path, mode: str) -> None:
    said = run(tmp_path, ASYNCIO, ini=f"asyncio_mode = {mode}\n")
    assert said.startswith("exit 0"), said
    assert "2 passed" in said


def test_the_fixtures_work_with_anyio(tmp_path: Path) -> None:
    said = run(tmp_path, ANYIO)
    assert said.startswith("exit 0"), said
    assert "2 passed" in said


def test_a_suite_that_uses_no_fixture_loads_nothing_of_the_server(tmp_path: Path) -> None:
    said = run(tmp_path, UNUSED)
    assert said.startswith("exit 0"), said


def test_the_event_loop_policy_of_a_suite_is_left_alone(tmp_path: Path) -> None:
    said = run(tmp_path, NO_POLICY)
    assert said.startswith("exit 0"), said


def test_the_number_of_nodes_is_a_setting(tmp_path: Path) -> None:
    suite = "def test_size(quorate_cluster): assert len(quorate_cluster.nodes) == 1\n"
    said = run(tmp_path, suite, ini="quorate_nodes = 1\n")
    assert said.startswith("exit 0"), said


def test_a_number_of_nodes_that_is_none_is_named(tmp_path: Path) -> None:
    suite = "def test_size(quorate_cluster): ...\n"
    said = run(tmp_path, suite, ini="quorate_nodes = many\n")
    assert not said.startswith("exit 0")
    assert "quorate_nodes must be a number from 1 on, not 'many'" in said
