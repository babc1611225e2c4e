"""What commands of the registry cost, counted: rows read, written and deleted, not time.

A registry of 500 nodes with 10 checks each is compared with one a tenth of that, and a node that
hosts a thousand services with one that hosts ten: what is about one thing costs the same in both.
"""

from collections.abc import Iterator

import pytest

from quorate.base.command import Command
from quorate.base.ports import Transaction
from quorate.catalog.commands import (
    CatalogRegister,
    CheckDeregister,
    CheckUpdate,
    NodeDeregister,
    ServiceDeregister,
)
from quorate.catalog.fields import CRITICAL, SERF_HEALTH, Check, NodeFields, Service
from quorate.catalog.tables import checks_about, hosts_of, node_by_id
from quorate.domains import DOMAINS
from quorate.machine.derived import differences
from quorate.sessions.commands import SessionCreate, SessionDestroy
from quorate.sessions.tables import at_node
from quorate.sim.tables import DictTables
from tests.unit.machine.lab import Lab

CHECKS_PER_NODE, SESSIONS_PER_NODE = 10, 3


class CountingTransaction:
    """A transaction that counts what is asked of it."""

    def __init__(self, transaction: Transaction, tables: "CountingTables") -> None:
        self._transaction, self._tables = transaction, tables
        self.commit, self.abort = transaction.commit, transaction.abort

    def get(self, key: bytes) -> bytes | None:
        self._tables.reads += 1
        return self._transaction.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._tables.writes += 1
        self._transaction.put(key, value)

    def delete(self, key: bytes) -> bool:
        self._tables.writes += 1
        return self._transaction.delete(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self._tables.reads += 1
        for row in self._transaction.range(first, last, reverse=reverse):
            self._tables.reads += 1
            yield row


class CountingTables(DictTables):
    """Tables that count what is asked of them: by a transaction, or else by readers."""

    reads = writes = 0

    def begin(self) -> CountingTransaction:  # type: ignore[override]
        return CountingTransaction(super().begin(), self)

    def get(self, key: bytes) -> bytes | None:
        self.reads += self._open is None
        return super().get(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for row in super().range(first, last, reverse=reverse):
            self.reads += self._open is None
            yield row


class Registry(Lab):
    """Nodes with a service and checks each, and sessions bound to one of these."""

    def __init__(self, nodes: int) -> None:
        self.counted = CountingTables()
        super().__init__(self.counted, with_node=False)
        for number in range(nodes):
            self.apply(*furnished(f"n{number:04}"))

    def cost(self, *commands: Command) -> tuple[int, int]:
        """Rows read and written by these commands, in one batch."""
        self.counted.reads = self.counted.writes = 0
        self.do(*commands)
        return self.counted.reads, self.counted.writes


def furnished(name: str) -> list[Command]:
    service = Service("web", "web", port=80)
    checks = tuple(
        Check(f"c{number}", "a check", "passing", service_id="web" if number else "")
        for number in range(CHECKS_PER_NODE - 1)
    )
    node = NodeFields(f"id-{name}", "10.0.0.1", "dc1", {}, {})
    sessions = [
        SessionCreate(f"{name}-{number}", "", name, 0, "release", "", 0, (SERF_HEALTH, "c1"))
        for number in range(SESSIONS_PER_NODE)
    ]
    return [CatalogRegister(name, node, service, checks, is_member=True), *sessions]


@pytest.fixture(scope="module")
def registries() -> tuple[Registry, Registry]:
    return Registry(50), Registry(500)


SCRIPT: dict[str, list[Command]] = {
    "a check that says something else": [CheckUpdate("n0007", "c2", "passing", "fine")],
    "a check that fails": [CheckUpdate("n0007", "c2", CRITICAL, "no answer")],
    "a node whose health fails, with its sessions": [
        CheckUpdate("n0009", SERF_HEALTH, CRITICAL, "gone")
    ],
    "a check that fails, with the sessions bound to it": [
        CheckUpdate("n0011", "c1", CRITICAL, "no answer")
    ],
    "a check that goes": [CheckDeregister("n0012", "c3")],
    "an instance that goes, with its checks": [ServiceDeregister("n0013", "web")],
    "a node that goes, with its sessions": [NodeDeregister("n0015")],
    "a node whose id is known under another name": [
        CatalogRegister("renamed", NodeFields("id-n0017", "10.0.0.1", "dc1", {}, {}))
    ],
    "a session that begins": [
        SessionCreate("fresh", "", "n0019", 0, "release", "", 0, (SERF_HEALTH,))
    ],
    "a session that ends": [SessionDestroy("n0020-1")],
}


@pytest.mark.parametrize("what", SCRIPT)
def test_a_command_costs_what_it_is_about(what: str, registries: tuple[Registry, Registry]) -> None:
    small, large = (one.cost(*SCRIPT[what]) for one in registries)
    assert small == large
    reads, writes = large
    assert reads < 20 * CHECKS_PER_NODE
    assert 3 <= writes < 12 * CHECKS_PER_NODE
    for one in registries:
        assert differences(DOMAINS, one.tables) == []


def test_a_lookup_costs_what_it_finds(registries: tuple[Registry, Registry]) -> None:
    costs: list[list[int]] = []
    for one in registries:
        rows, counted = one.read.rows, one.counted
        found: list[int] = []
        for look in (
            lambda: [node_by_id(rows, "id-n0030")],  # noqa: B023
            lambda: list(at_node(rows, "N0030")),  # noqa: B023
            lambda: list(at_node(rows, "n0030", "c1")),  # noqa: B023
            lambda: list(checks_about(rows, "n0030", "web")),  # noqa: B023
            lambda: [hosts_of(rows, "web", 20)],  # noqa: B023
        ):
            counted.reads = 0
            answer = look()
            assert all(each is not None for each in answer[:1]) or answer == [None]
            found.append(counted.reads)
        costs.append(found)
    assert costs[0] == costs[1]
    assert max(costs[0]) < 70


@pytest.mark.parametrize("hosted", [10, 1_000])
def test_a_check_of_a_node_costs_the_same_however_many_services_it_hosts(hosted: int) -> None:
    lab = Registry(1)
    for number in range(hosted):
        lab.apply(CatalogRegister("n0000", service=Service(f"s{number}", f"s{number}")))
    update = CheckUpdate("n0000", SERF_HEALTH, "warning", "slow")
    assert lab.cost(update) == Registry(1).cost(update)
    assert (
        len(lab.changed_subjects) == len(Registry(1).outcomes(update)) + 3
    )  # node, host, hosts, table


def test_a_check_of_an_instance_is_read_without_those_of_its_neighbours() -> None:
    costs: list[int] = []
    for hosted in (1, 200):
        lab = Registry(1)
        for number in range(hosted):
            service = Service(f"s{number}", "many", port=number)
            check = Check(f"own{number}", "", "passing", service_id=service.id)
            lab.apply(CatalogRegister("n0000", service=service, checks=(check,)))
        lab.counted.reads = 0
        found = [one.id for one in checks_about(lab.read.rows, "n0000", "s0")]
        assert found == ["c0", "own0", "serfHealth"]
        costs.append(lab.counted.reads)
    assert costs[0] == costs[1]
