"""The machine's own row: older ones are read, newer ones refused, another table changes nothing."""

from typing import Any

import msgspec
import pytest

from quorate.base.batches import Configuration, Member
from quorate.base.config import ClusterConfig
from quorate.base.domain import Domain, Table
from quorate.base.errors import StorageError
from quorate.base.formats import STATE
from quorate.base.ids import Index, NodeId, Slot
from quorate.base.removals import TreeRemoval
from quorate.domains import DOMAINS
from quorate.kv.tables import KV
from quorate.machine.engine import assembled
from quorate.machine.machine import Machine
from quorate.machine.queries import Reader
from quorate.machine.rows import BatchRows
from quorate.machine.state import STATE_KEY, State, decode_state, encode_state
from quorate.sessions.queries import each_session
from quorate.sessions.tables import SESSIONS
from quorate.sim.tables import DictTables

STATE_NOW = State(
    applied=Slot(70),
    index=Index(44),
    log_time_ms=1000,
    wall_ms=2000,
    digest=99,
    indexes={1: 44, 5: 9, 6: 3, 7: 2, 8: 3},
    cluster_id="c1",
    removals=(TreeRemoval(b"a", 40, b"ab"),),
)


def of_format_1(state: State) -> list[Any]:
    """The fields as builds before the format number stored them."""
    fields: list[Any] = msgspec.msgpack.decode(encode_state(state))
    fields[9] = [state.indexes.get(table, 0) for table in (1, 5, 6, 7, 8)]
    return fields[:12]


def packed(fields: list[Any]) -> bytes:
    return msgspec.msgpack.encode(fields)


def test_a_row_is_what_it_was() -> None:
    assert decode_state(encode_state(STATE_NOW)) == STATE_NOW
    assert decode_state(encode_state(State())) == State()
    assert STATE_NOW.format == STATE.newest


def test_a_row_of_format_1_is_read_by_the_number_of_each_table() -> None:
    assert decode_state(packed(of_format_1(STATE_NOW))) == STATE_NOW


@pytest.mark.parametrize("older", range(2, STATE.newest))
def test_a_row_of_format_2_or_later_is_read_and_written_as_one_of_today(
    older: int,
) -> None:
    fields = msgspec.msgpack.decode(encode_state(STATE_NOW), strict=False)
    fields[12] = older
    assert decode_state(packed(fields)) == STATE_NOW


def test_a_row_of_format_1_without_its_last_fields_is_read() -> None:
    """The first builds had no removals; a row may end anywhere behind its indexes."""
    fields = of_format_1(STATE_NOW)
    assert decode_state(packed(fields[:11])) == msgspec.structs.replace(STATE_NOW, removals=())
    assert decode_state(packed(fields[:9])).indexes == {}


@pytest.mark.parametrize("indexes", [{1: 44}, "something else", [1, 2, 3, 4, 5]])
def test_a_newer_row_is_refused_with_what_to_do_whatever_it_holds(indexes: Any) -> None:
    fields = msgspec.msgpack.decode(encode_state(STATE_NOW), strict=False)
    fields[9] = indexes
    fields[12] = STATE.newest + 1
    with pytest.raises(StorageError, match="newer version of Quorate") as one:
        decode_state(packed([*fields, "more"]))
    assert one.value.code == "version"


@pytest.mark.parametrize("bad", [[1, 2, 3], [1, 2, 3, 4, 5, 6], ["x"] * 5, "text", None])
def test_what_no_version_wrote_is_no_row(bad: Any) -> None:
    fields = of_format_1(STATE_NOW)
    fields[9] = bad
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's own errors are among them
        decode_state(packed(fields))


def test_fields_of_a_later_version_are_skipped() -> None:
    fields = msgspec.msgpack.decode(encode_state(STATE_NOW), strict=False)
    assert decode_state(packed([*fields, "later"])) == STATE_NOW


def test_a_machine_opens_tables_of_format_1_and_writes_its_own() -> None:
    member = Member(NodeId("ann"), "ann", "ann:1")
    machines: list[Machine] = []
    for is_older in (True, False):
        tables = DictTables()
        machine = Machine(tables, ClusterConfig(), DOMAINS)
        machine.bootstrap("c1", Configuration(1, 0, (member,)))
        if is_older:
            data = tables.get(STATE_KEY) or b""
            store(tables, packed(of_format_1(decode_state(data))))
            machine = Machine(tables, ClusterConfig(), DOMAINS)
        machine.apply(Slot(1), b"\1", None, None)
        machines.append(machine)
        assert decode_state(tables.get(STATE_KEY) or b"").format == STATE.newest
    assert machines[0].digest == machines[1].digest


def store(tables: DictTables, data: bytes) -> None:
    transaction = tables.begin()
    transaction.put(STATE_KEY, data)
    transaction.commit()


# --- one more table -------------------------------------------------------------------------------


def test_a_table_without_an_index_has_index_0_until_it_changes() -> None:
    """As after an upgrade that brought a table: the row was written without it."""
    state = msgspec.structs.replace(STATE_NOW, indexes={1: 44})
    tables = DictTables()
    store(tables, encode_state(state))
    answer = each_session(Reader(tables))
    assert (answer.changed, answer.header) == (0, 1)

    rows = BatchRows(tables.begin(), DOMAINS, state, 0)
    rows.index = 45
    rows.mark_changed(SESSIONS, b"x")
    assert rows.indexes == {1: 44, 5: 45}
    assert rows.changed_tables(state.index) == [b"t\x05"]


def test_an_index_of_a_table_not_known_here_is_kept() -> None:
    state = msgspec.structs.replace(STATE_NOW, indexes={1: 44, 200: 17})
    assert decode_state(encode_state(state)) == state
    assert BatchRows(DictTables().begin(), DOMAINS, state, 0).indexes == {1: 44, 200: 17}


def test_undo_takes_back_the_first_index_of_a_table() -> None:
    rows = BatchRows(DictTables().begin(), DOMAINS, State(), 0)
    rows.open_undo()
    rows.take_index()
    rows.mark_changed(KV, b"k")
    rows.undo()
    assert rows.indexes == {}


def test_a_state_that_is_replaced_has_an_index_for_every_table() -> None:
    more = Domain(name="example", tables=(Table(240, "MORE", "More", is_indexed=True),))
    rows = BatchRows(DictTables().begin(), assembled((*DOMAINS.all[1:], more)), State(), 0)
    rows.replace_all()
    assert rows.indexes == {1: 1, 5: 1, 6: 1, 7: 1, 8: 1, 112: 1, 118: 1, 124: 1, 240: 1}
