"""Which SendWhenDurable may leave."""

import pytest

from quorate.base.errors import InvariantError
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Accepted
from quorate.node.gate import Gate

ANN = NodeId("ann")


def reply(slot: int) -> Accepted:
    return Accepted(Ballot(1, ANN), Slot(slot))


def test_replies_wait_for_the_records_before_them_and_leave_in_order() -> None:
    gate = Gate()
    assert gate.is_open
    for slot, asked in ((1, 1), (2, 2), (3, 2), (4, 3)):
        gate.asked = asked
        gate.hold(ANN, reply(slot))
    assert not gate.is_open
    assert gate.on_persisted(0) == []
    assert gate.on_persisted(2) == [(ANN, reply(1)), (ANN, reply(2)), (ANN, reply(3))]
    assert gate.on_persisted(3) == [(ANN, reply(4))]
    assert gate.is_open


@pytest.mark.parametrize("mark", [1, 3])
def test_marks_rise_and_never_beyond_what_was_asked(mark: int) -> None:
    gate = Gate()
    gate.asked = gate.durable = 2
    with pytest.raises(InvariantError):
        gate.on_persisted(mark)
