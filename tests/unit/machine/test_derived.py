"""Secondary indexes: kept up, made where there are none, and left out of what replicas compare."""

from collections.abc import Iterator

import msgspec
import pytest

from quorate.base.domain import Derived, Domain, Table
from quorate.base.errors import StorageError
from quorate.base.ports import View
from quorate.catalog.commands import CatalogRegister, NodeDeregister, ServiceDeregister
from quorate.catalog.fields import SERF_HEALTH, Check, NodeFields, Service
from quorate.catalog.tables import (
    NODE_ADDRESSES,
    NODE_IDS,
    SERVICE_ADDRESSES,
    SERVICE_CHECKS,
    instances_at,
    nodes_at,
)
from quorate.domains import DOMAINS
from quorate.machine import derived
from quorate.machine.commands import RestoreBegin, RestoreRows, Sweep
from quorate.machine.derived import differences
from quorate.machine.engine import assembled
from quorate.machine.machine import Machine
from quorate.machine.queries import Reader
from quorate.machine.rows import BatchRows
from quorate.machine.snapshot import content, inventory, restore_commands
from quorate.machine.state import DERIVED_KEY, STATE_KEY, State, decode_state, prefixes
from quorate.sessions.commands import SessionDestroy
from quorate.sessions.tables import NODE_SESSIONS, SESSIONS, at_node
from quorate.sim.tables import DictTables, DictTransaction
from tests.unit.machine.lab import Lab

OF_CATALOG = (NODE_IDS, SERVICE_CHECKS, NODE_ADDRESSES, SERVICE_ADDRESSES)
INDEXES = (NODE_SESSIONS, *OF_CATALOG)


def furnished() -> Lab:
    lab = Lab()
    for name in ("bob", "carl"):
        service = Service("web", "web", address="2001:db8::7")
        checks = (Check("up", "", "passing", service_id="web"),)
        details = NodeFields(name, "10.0.0.7", "dc1", {}, {})
        lab.do(CatalogRegister(name, details, service, checks, is_member=True))
        lab.session(f"{name}-1", node=name, checks=("up", SERF_HEALTH, "up"))
        lab.session(f"{name}-2", node=name.upper())
    return lab


def raw(lab: Lab) -> dict[bytes, bytes]:
    return dict(lab.tables.range(b""))


def without_indexes(lab: Lab) -> DictTables:
    """As a build that knows no index left it."""
    place = prefixes(lab.machine.generation)
    ends = tuple(place[number] for number in INDEXES)
    rows = {key: value for key, value in raw(lab).items() if not key.startswith(ends)}
    del rows[DERIVED_KEY]
    return DictTables(rows)


def opened(tables: DictTables) -> Machine:
    return Machine(tables, Lab().settings, DOMAINS)


def ids(tables: View, node: str, check: str = "") -> list[str]:
    return [row.id for row in at_node(Reader(tables).rows, node, check)]


def test_each_index_holds_what_follows_from_its_source() -> None:
    lab = furnished()
    assert differences(DOMAINS, lab.tables) == []
    assert ids(lab.tables, "BOB") == ["bob-1", "bob-2"]
    assert ids(lab.tables, "bob", "up") == ["bob-1"]
    lab.do(SessionDestroy("bob-1"), NodeDeregister("carl"))
    assert differences(DOMAINS, lab.tables) == []
    assert ids(lab.tables, "bob") == ["bob-2"]
    assert ids(lab.tables, "carl") == []


@pytest.mark.parametrize("number", INDEXES)
def test_a_row_that_is_missing_or_too_much_is_found(number: int) -> None:
    lab = furnished()
    prefix = prefixes(lab.machine.generation)[number]
    name = DOMAINS.tables[number].name
    key = next(key for key in raw(lab) if key.startswith(prefix))
    rows = {**raw(lab), prefix + b"extra": b""}
    del rows[key]
    assert differences(DOMAINS, DictTables(rows)) == [
        f"{name}: lacks {key[2:]!r}",
        f"{name}: has b'extra'",
    ]


def test_tables_without_indexes_get_them_before_anything_is_applied() -> None:
    lab = furnished()
    tables = without_indexes(lab)
    assert differences(DOMAINS, tables) != []
    machine = opened(tables)
    assert dict(tables.range(b"")) == raw(lab)
    assert machine.digest == lab.machine.digest
    version = tables.version
    opened(tables)
    assert tables.version == version  # nothing is made a second time


def test_what_was_made_in_part_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed meanwhile leaves some of it, and no word that it is whole."""
    lab = furnished()
    whole = without_indexes(lab)
    monkeypatch.setattr(derived, "_TRANSACTION", 2)
    for killed_after in range(1, 8):
        tables = Killed(dict(whole.range(b"")), killed_after)
        with pytest.raises(KeyboardInterrupt):
            opened(tables)
        assert tables.get(DERIVED_KEY) is None
        again = DictTables(dict(tables.range(b"")))
        opened(again)
        assert dict(again.range(b"")) == raw(lab)


class Killed(DictTables):
    """Tables of a process that is killed when it begins a transaction."""

    def __init__(self, rows: dict[bytes, bytes], after: int) -> None:
        super().__init__(rows)
        self.left = after

    def begin(self) -> DictTransaction:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().begin()


def test_tables_that_replace_others_get_them_too() -> None:
    """A peer of another build sent them."""
    lab = furnished()
    tables = DictTables()
    machine = opened(tables)
    tables.power_cut(dict(without_indexes(lab).range(b"")))
    machine.reload()
    assert dict(tables.range(b"")) == raw(lab)


@pytest.mark.parametrize(
    "held",
    [{}, {NODE_SESSIONS: 1}, {NODE_SESSIONS: 0, **dict.fromkeys(OF_CATALOG, 1)}, {250: 1}],
)
def test_an_index_of_another_version_is_made_anew(held: dict[int, int]) -> None:
    lab = furnished()
    prefix = prefixes(lab.machine.generation)[NODE_SESSIONS]
    rows = {**raw(lab), DERIVED_KEY: msgspec.msgpack.encode(held), prefix + b"of old": b""}
    if held.get(NODE_SESSIONS) == 1:
        del rows[prefix + b"of old"]
    tables = DictTables(rows)
    opened(tables)
    assert dict(tables.range(b"")) == raw(lab)


def test_a_build_that_does_not_know_an_index_says_so_and_a_later_one_makes_it_anew() -> None:
    """Nobody keeps up what is not known: it must not be trusted afterwards."""
    lab = furnished()
    sessions = next(one for one in DOMAINS.all if one.name == "sessions")
    plain = msgspec.structs.replace(
        sessions, tables=tuple(table for table in sessions.tables if table.derived is None)
    )
    others = [plain if one is sessions else one for one in DOMAINS.all[1:]]
    tables = DictTables(raw(lab))
    Machine(tables, lab.settings, assembled(others))
    kept = {table.number for one in others for table in one.tables if table.derived is not None}
    assert set(msgspec.msgpack.decode(tables.get(DERIVED_KEY) or b"")) == kept
    stale = {**dict(tables.range(b"")), prefixes(1)[NODE_SESSIONS] + b"stale": b""}
    tables = DictTables(stale)
    opened(tables)
    assert dict(tables.range(b"")) == raw(lab)


def test_without_space_for_an_index_the_start_ends_and_nothing_is_changed() -> None:
    tables = without_indexes(furnished())
    before = dict(tables.range(b""))
    tables.is_full = True
    with pytest.raises(StorageError) as caught:
        opened(tables)
    assert caught.value.code == "disk_full"
    assert dict(tables.range(b"")) == before  # the first transaction of all found no space
    tables.is_full = False
    opened(tables)
    assert differences(DOMAINS, tables) == []


def test_empty_tables_are_left_alone() -> None:
    tables = DictTables()
    opened(tables)
    assert dict(tables.range(b"")) == {}


@pytest.mark.parametrize("turn_units", [10, 2_048])
def test_a_restore_makes_them_of_what_it_brings(turn_units: int) -> None:
    data = b"".join(content(DOMAINS, furnished().tables))
    lab = Lab(turn_units=turn_units)
    lab.session("before")
    lab.add_shadow()
    for command in restore_commands(DOMAINS, data, "r"):
        assert lab.do(command) is not False
    assert differences(DOMAINS, lab.tables) == []
    assert ids(lab.tables, "carl") == ["carl-1", "carl-2"]
    assert not set(INDEXES) & inventory(DOMAINS, data).tables.keys()


def test_a_row_of_an_index_in_a_snapshot_is_refused() -> None:
    lab = Lab()
    lab.do(RestoreBegin("r"))
    failure = lab.do(RestoreRows("r", ((bytes((NODE_IDS,)) + b"x", b""),)))
    assert failure.code == "bad_request"


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_a_sweep_counts_and_digests_as_if_there_were_none(most: int) -> None:
    """Builds without indexes have applied the same log: their digests must be the same."""
    lab = furnished()
    data = b"".join(content(DOMAINS, lab.tables))
    for command in restore_commands(DOMAINS, data, "r"):
        lab.do(command)
    stale = decode_state(lab.tables.get(STATE_KEY) or b"").stale
    assert len(stale) == 1
    bare = {
        key: value
        for key, value in raw(lab).items()
        if not (key[0] == stale[0] and key[1] in INDEXES)
    }
    other = Lab(DictTables(bare))
    while True:
        swept, same = lab.do(Sweep(most)), other.do(Sweep(most))
        assert swept == same
        assert lab.machine.digest == other.machine.digest
        if swept < most:
            break
    assert raw(lab) == raw(other)
    assert {key[0] for key in raw(lab)} == {0, lab.machine.generation}


def test_what_is_undone_is_undone_in_the_index() -> None:
    lab = furnished()
    transaction = lab.tables.begin()
    rows = BatchRows(transaction, DOMAINS, decode_state(lab.tables.get(STATE_KEY) or b""), 0)
    before = dict(transaction.range(b""))
    listed = [key for key, _ in rows.range(NODE_SESSIONS, b"")]
    rows.open_undo()
    rows.add_derived(NODE_SESSIONS, b"new")
    rows.remove_derived(NODE_SESSIONS, listed[0])
    rows.remove_derived(NODE_SESSIONS, b"never there")
    assert dict(transaction.range(b"")) != before
    rows.undo()
    assert dict(transaction.range(b"")) == before


def test_an_index_leaves_no_trace_in_the_digest() -> None:
    rows = BatchRows(DictTables().begin(), DOMAINS, State(), 0)
    digest = rows.digest
    rows.add_derived(NODE_SESSIONS, b"k")
    rows.remove_derived(NODE_SESSIONS, b"k")
    assert rows.digest == digest
    rows.put(SESSIONS, b"k", b"")
    assert rows.digest != digest


def nothing(_: bytes, __: bytes) -> Iterator[bytes]:
    return iter(())


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (Table(241, "B", "B", derived=Derived(1, nothing)), "B follows from no table of example"),
        (Table(241, "B", "B", derived=Derived(241, nothing)), "B follows from no table"),
        (Table(241, "B", "B", is_indexed=True, derived=Derived(240, nothing)), "and more than"),
        (Table(241, "B", "B", bytes.decode, derived=Derived(240, nothing)), "and more than that"),
    ],
)
def test_one_that_does_not_fit_is_refused(table: Table, why: str) -> None:
    domain = Domain(name="example", tables=(Table(240, "A", "A", bytes.decode), table))
    with pytest.raises(ValueError, match=why):
        assembled((*DOMAINS.all[1:], domain))


def at(lab: Lab, address: str) -> tuple[list[str], list[str]]:
    rows = Reader(lab.tables).rows
    nodes = [row.name for row in nodes_at(rows, address)]
    return nodes, [f"{row.node}/{row.service.id}" for row in instances_at(rows, address)]


def test_nodes_and_instances_are_found_by_their_addresses() -> None:
    """In whatever form an address is given; also after it has changed, or was no address."""
    lab = Lab()

    def put(name: str, address: str, service: Service | None = None) -> None:
        details = NodeFields("", address, "dc1", {}, {})
        lab.do(CatalogRegister(name, details, service, (), is_member=False))

    put("Ann", "10.0.0.1", Service("w1", "web", address="10.0.0.9"))
    put("bob", "10.0.0.1", Service("w1", "web", address="2001:DB8:0::9"))
    put("carl", "carl.example")
    assert at(lab, "10.0.0.1") == (["Ann", "bob"], [])
    assert at(lab, "10.0.0.9") == ([], ["Ann/w1"])
    assert at(lab, "2001:db8::9") == ([], ["bob/w1"])
    assert at(lab, "carl.example") == ([], [])
    put("ann", "carl.example", Service("w1", "web", address="10.0.0.8"))
    put("carl", "10.0.0.1", Service("w1", "api", address="10.0.0.9"))
    put("carl", "10.0.0.1", Service("w1", "web", address="10.0.0.9"))  # another service, same id
    assert at(lab, "10.0.0.1") == (["bob", "carl"], [])
    assert at(lab, "10.0.0.9") == ([], ["carl/w1"])
    assert at(lab, "10.0.0.8") == ([], ["ann/w1"])
    lab.do(ServiceDeregister("carl", "w1"))
    lab.do(NodeDeregister("ann"))
    assert at(lab, "10.0.0.9") == at(lab, "10.0.0.8") == ([], [])
    assert differences(DOMAINS, lab.tables) == []
