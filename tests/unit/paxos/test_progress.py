"""How much a leader may have on the way to one peer."""

from quorate.base.ids import Slot
from quorate.paxos.progress import CAUGHT_UP_SLOTS, Progress


def test_a_peer_over_its_cap_is_sent_nothing_until_it_has_caught_up() -> None:
    peer = Progress(0.0, bytes_max=10, is_linked=True)
    peer.on_sent(Slot(1), 10)
    assert peer.takes_accepts
    peer.on_sent(Slot(2), 1)
    assert not peer.takes_accepts
    far = Slot(CAUGHT_UP_SLOTS + 5)
    peer.on_watermark(Slot(4), far, 1.0)
    assert not peer.takes_accepts
    peer.on_watermark(Slot(5), far, 1.0)
    assert peer.takes_accepts
    assert peer.match == 5


def test_what_is_answered_is_on_the_way_no_more() -> None:
    peer = Progress(0.0, bytes_max=10, is_linked=True)
    for slot in range(1, 100):
        peer.on_sent(Slot(slot), 6)
        peer.on_answer(Slot(slot), float(slot))
    assert peer.takes_accepts
    assert (peer.last_contact_s, peer.has_answered) == (99.0, True)


def test_over_a_new_link_nothing_is_on_the_way() -> None:
    peer = Progress(0.0, bytes_max=10, is_linked=True)
    peer.on_sent(Slot(1), 9)
    peer.on_link(False)
    assert not peer.takes_accepts
    peer.on_link(True)
    peer.on_sent(Slot(2), 9)
    assert peer.takes_accepts
