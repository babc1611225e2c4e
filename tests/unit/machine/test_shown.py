"""What members have shown, in the tables."""

from quorate.base.batches import Batch, Configuration, Member, Shown, encode_batch
from quorate.base.config import ClusterConfig
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.domains import DOMAINS
from quorate.machine.machine import Machine
from quorate.sim.tables import DictTables

ANN, BOB = NodeId("ann"), NodeId("bob")
LOW, HIGH = Ballot(1, ANN), Ballot(2, ANN)


def bootstrapped(tables: DictTables) -> Machine:
    machine = Machine(tables, ClusterConfig(), DOMAINS)
    machine.bootstrap("c", Configuration(1, 0, (Member(ANN, "ann", "a:1"),)))
    return machine


def batch(*shown: Shown) -> bytes:
    return encode_batch(Batch(LOW, 0, 0, (), None, shown))


def test_a_batch_says_what_members_have_shown() -> None:
    tables = DictTables()
    machine = bootstrapped(tables)
    first = Shown(BOB, 1, 5, LOW, Slot(3))
    machine.apply(Slot(1), batch(first), None, None)
    assert (machine.shown(BOB), machine.shown(ANN)) == (first, None)
    before = machine.shown_version

    higher = Shown(BOB, 2, 6, HIGH, Slot(9))
    machine.apply(Slot(2), batch(higher), None, None)
    assert machine.shown(BOB) == higher
    assert machine.shown_version > before
    assert Machine(tables, ClusterConfig(), DOMAINS).shown(BOB) == higher


def test_a_late_old_batch_takes_nothing_back() -> None:
    machine = bootstrapped(DictTables())
    machine.apply(Slot(1), batch(Shown(BOB, 2, 6, HIGH, Slot(9))), None, None)
    machine.apply(Slot(2), batch(Shown(BOB, 1, 5, LOW, Slot(3))), None, None)
    assert machine.shown(BOB) == Shown(BOB, 2, 6, HIGH, Slot(9))


def test_it_is_no_part_of_the_digest_that_versions_compare() -> None:
    one, other = bootstrapped(DictTables()), bootstrapped(DictTables())
    one.apply(Slot(1), batch(Shown(BOB, 1, 5, LOW, Slot(3))), None, None)
    other.apply(Slot(1), batch(), None, None)
    assert one.digest == other.digest
