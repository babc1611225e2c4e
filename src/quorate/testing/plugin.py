"""pytest plugin: fixtures that give tests a cluster.

pytest loads it where Quorate is installed. The server is imported when a fixture is first used, so
a test suite without them is not slower. Each process of pytest-xdist has clusters of its own. The
fixtures work in sync tests and in those of pytest-asyncio and anyio, with any event loop.
"""

from collections.abc import Iterator

import pytest

import quorate
from quorate import testing

NODES = "quorate_nodes"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Called by pytest."""
    parser.addini(NODES, "how many nodes quorate_cluster has (default: 3)", default="3")


def _size(config: pytest.Config) -> int:
    text = str(config.getini(NODES))
    if not text.isdecimal() or int(text) < 1:
        raise pytest.UsageError(f"{NODES} must be a number from 1 on, not {text!r}")
    return int(text)


@pytest.fixture(scope="session")
def quorate_shared_cluster(pytestconfig: pytest.Config) -> "Iterator[testing.Cluster]":
    """One cluster for the whole session, with the data of earlier tests."""
    with testing.Cluster(_size(pytestconfig)) as cluster:
        yield cluster


@pytest.fixture
def quorate_cluster(quorate_shared_cluster: "testing.Cluster") -> "testing.Cluster":
    """The cluster of the session in its initial state: empty, every node running, no partition."""
    quorate_shared_cluster.reset()
    return quorate_shared_cluster


@pytest.fixture
def quorate_client(quorate_cluster: "testing.Cluster") -> "Iterator[quorate.Client]":
    """A client of `quorate_cluster`."""
    with quorate_cluster.client() as client:
        yield client


@pytest.fixture
def quorate_fresh_cluster(pytestconfig: pytest.Config) -> "Iterator[testing.Cluster]":
    """A cluster for this test alone; takes a quarter of a second."""
    with testing.Cluster(_size(pytestconfig)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def quorate_shared_node() -> "Iterator[testing.Cluster]":
    """A cluster of one node for the whole session, with the data of earlier tests."""
    with testing.Cluster(1) as cluster:
        yield cluster


@pytest.fixture
def quorate_node(quorate_shared_node: "testing.Cluster") -> "testing.Cluster":
    """A cluster of one node in its initial state, for tests that need a store and no faults."""
    quorate_shared_node.reset()
    return quorate_shared_node
