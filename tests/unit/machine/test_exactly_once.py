"""A bundle counts once, in sequence, per incarnation of a member; all else is skipped."""

from quorate.base.batches import Batch, Bundle, Configuration, Member, encode_batch
from quorate.base.command import encode_command, join_commands
from quorate.base.config import ClusterConfig
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.domains import DOMAINS
from quorate.kv.commands import KvCas
from quorate.machine.machine import BundleResult, Machine
from quorate.sim.tables import DictTables

ANN, EVE = NodeId("ann"), NodeId("eve")


def bootstrapped() -> Machine:
    machine = Machine(DictTables(), ClusterConfig(), DOMAINS)
    machine.bootstrap("c", Configuration(1, 0, (Member(ANN, "ann", "ann:1"),)))
    return machine


def apply(
    machine: Machine, sequence: int, *, incarnation: int = 1, origin: NodeId = ANN, index: int = 0
) -> BundleResult:
    body = join_commands([encode_command(KvCas(b"k", b"v%d" % sequence, 0, index))])
    bundle = Bundle(origin, incarnation, sequence, 1, body)
    data = encode_batch(Batch(Ballot(1, ANN), 0, 0, (bundle,)))
    (result,) = machine.apply(Slot(machine.applied + 1), data, None, ANN).bundles
    return result


def test_a_repeated_bundle_is_skipped() -> None:
    machine = bootstrapped()
    first = apply(machine, 1)
    digest = machine.index
    again = apply(machine, 1)
    assert first.is_applied
    assert first.outcomes[0].value is True
    assert not again.is_applied
    assert machine.index == digest


def test_a_gap_is_not_applied_until_it_is_filled() -> None:
    machine = bootstrapped()
    assert not apply(machine, 2).is_applied
    assert apply(machine, 1).is_applied
    assert apply(machine, 2).is_applied


def test_a_new_incarnation_begins_with_one_and_ends_the_old_one() -> None:
    machine = bootstrapped()
    apply(machine, 1)
    assert not apply(machine, 2, incarnation=2).is_applied
    assert apply(machine, 1, incarnation=2).is_applied
    assert not apply(machine, 2, incarnation=1).is_applied


def test_a_bundle_of_no_member_is_skipped() -> None:
    assert not apply(bootstrapped(), 1, origin=EVE).is_applied


def test_the_index_counts_commands_that_changed_something() -> None:
    machine = bootstrapped()
    first = apply(machine, 1)
    lost = apply(machine, 2)
    won = apply(machine, 3, index=first.outcomes[0].index)
    assert (lost.outcomes[0].value, lost.outcomes[0].index) == (False, first.outcomes[0].index)
    assert (won.outcomes[0].value, won.outcomes[0].index) == (True, first.outcomes[0].index + 1)
