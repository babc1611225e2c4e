"""Bundles that wait at a serving leader."""

from quorate.base.batches import Bundle
from quorate.base.config import ClusterConfig
from quorate.base.ids import NodeId
from quorate.base.messages import ForwardGap
from quorate.node.intake import Intake

ANN, BOB = NodeId("ann"), NodeId("bob")


def bundle(sequence: int, incarnation: int = 3, origin: NodeId = ANN, count: int = 1) -> Bundle:
    return Bundle(origin, incarnation, sequence, count, b"x" * count)


def intake(incarnation: int = 3, sequence: int = 4) -> Intake:
    return Intake(ClusterConfig(batch_commands_max=4), lambda _: (incarnation, sequence))


def test_a_bundle_is_taken_only_if_it_follows_the_last_one() -> None:
    made = intake()
    assert made.offer(bundle(6)) == ForwardGap(3, 5)
    assert made.offer(bundle(5)) is None
    assert made.offer(bundle(5)) is None
    assert made.offer(bundle(6)) is None
    assert [one.sequence for one in made.take()] == [5, 6]
    assert not made


def test_a_new_incarnation_of_an_origin_begins_at_one() -> None:
    made = intake()
    assert made.offer(bundle(2, incarnation=4)) == ForwardGap(4, 1)
    assert made.offer(bundle(1, incarnation=4)) is None
    assert made.offer(bundle(5)) is None, "an old incarnation is over, and gets no answer"
    assert [one.incarnation for one in made.take()] == [4]


def test_batches_keep_to_their_cap_and_one_larger_bundle_stands_alone() -> None:
    made = intake()
    for number, count in ((5, 3), (6, 2), (7, 9), (8, 1)):
        made.offer(bundle(number, count=count))
    taken = [[one.sequence for one in made.take()] for _ in range(5)]
    assert taken == [[5], [6], [7], [8], []]


def test_origins_do_not_wait_for_each_other() -> None:
    made = intake()
    made.offer(bundle(5, origin=BOB))
    made.offer(bundle(9))
    made.offer(bundle(5))
    assert [one.origin for one in made.take()] == [BOB, ANN]
