"""What a leader knows of its peers."""

from quorate.base.config import NodeSettings
from quorate.base.ids import NodeId, Slot
from quorate.paxos.followers import Followers

ME, BOB, CAT = NodeId("me"), NodeId("bob"), NodeId("cat")
TIMEOUT_S = NodeSettings().timing.election_timeout_s


def test_a_peer_is_created_once_with_its_present_link() -> None:
    followers = Followers(ME, NodeSettings(), {BOB})
    bob, cat = followers.peer(BOB, 0.0), followers.peer(CAT, 0.0)
    assert (bob.is_linked, cat.is_linked) == (True, False)
    assert followers.peer(BOB, 9.0) is bob
    assert list(followers.peers) == [BOB, CAT]


def test_who_answered_within_an_election_timeout_is_healthy_and_so_are_we() -> None:
    followers = Followers(ME, NodeSettings(), {BOB, CAT})
    followers.peer(CAT, 0.0)
    followers.peer(BOB, 0.0).on_answer(Slot(1), 1.0)
    assert followers.healthy(1.0) == {ME, BOB}, "cat has not answered"
    assert followers.healthy(1.0 + TIMEOUT_S) == {ME}


def test_a_link_of_somebody_never_met_changes_nothing() -> None:
    followers = Followers(ME, NodeSettings(), set[NodeId]())
    followers.on_link(BOB, is_linked=True)
    assert not followers.peers
    followers.peer(BOB, 0.0)
    followers.on_link(BOB, is_linked=True)
    assert followers.peers[BOB].is_linked
