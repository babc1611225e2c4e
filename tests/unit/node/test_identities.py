"""Which cluster each link belongs to, and what may be received on it."""

import pytest

from quorate.base.effects import Close, Note, SendWhenDurable
from quorate.base.events import Connected, Received
from quorate.base.ids import Ballot, GroupNumber, NodeId, Slot
from quorate.base.messages import (
    Accept,
    BootstrapOffer,
    BootstrapStored,
    DiscoveryReport,
    Fetch,
    Fetched,
    Heartbeat,
    Identity,
    Join,
    Message,
    Prepare,
    PreVote,
    Promise,
    Removed,
    SnapshotAsk,
    Welcome,
)
from quorate.node.identities import TRUSTED_MAX, PeerIdentities
from tests.unit.node.lone import CLUSTER, Lone, initial_members, member

TWO = Ballot(9, member(2).id)
FOREIGN: tuple[Message, ...] = (
    Prepare(TWO, Slot(1)),
    Promise(TWO, Slot(1), Slot(0), 0, 1, ()),
    Accept(TWO, Slot(1), Slot(0), b"\x00"),
    Heartbeat(TWO, Slot(5), 1, is_serving=True),
    PreVote(9, 1, Slot(5)),
    Fetch(Slot(1), Slot(1)),
    Fetched(Slot(1), (b"\x00",), Slot(5), Slot(1)),
    SnapshotAsk(1, 0),
    Join(member(2)),
    Removed(99),
)


def closed(lone: Lone) -> list[NodeId]:
    return [effect.peer for effect in lone.all(Close)]


def notes(lone: Lone, what: str) -> list[Note]:
    return [note for note in lone.all(Note) if note.what == what]


def uninitialised(*clusters: str, **more: object) -> Lone:
    """A node that joins, linked to a node of each of these clusters: n2, then n3."""
    lone = Lone(0, **more)  # type: ignore[arg-type]
    for place, cluster_id in enumerate(clusters):
        lone.connect(2 + place, cluster_id)
    return lone


def test_of_two_clusters_one_is_asked_and_the_link_to_the_other_is_closed() -> None:
    lone = uninitialised("b", "a")
    lone.wait(1.0)
    assert closed(lone) == [member(2).id]
    (note,) = notes(lone, "another cluster found")
    assert note.is_warning
    assert (note.fields["cluster"], note.fields["nodes"]) == ("b", "n2")
    said = [(effect.to, type(effect.message)) for effect in lone.sends()]
    assert set(said) == {(member(3).id, Join)}


def test_the_cluster_whose_address_stands_first_among_those_to_join_is_asked() -> None:
    lone = uninitialised("b", "a", join=(member(2).address, member(3).address))
    lone.wait(1.0)
    assert closed(lone) == [member(3).id]
    assert lone.said(Join, to=2) != []


def test_another_cluster_that_is_found_later_is_not_asked_either() -> None:
    lone = uninitialised("b")
    lone.wait(1.0)
    lone.said(Join)
    lone.connect(3, "a")
    lone.wait(1.0)
    assert closed(lone) == [member(3).id]
    assert lone.said(Join, to=3) == []


def test_the_welcome_of_a_cluster_that_was_not_asked_is_refused() -> None:
    lone = uninitialised("a", "b")
    lone.receive(3, Welcome("b", initial_members(3)))
    lone.wait(1.0)
    lone.receive(3, Welcome("b", initial_members(3)))  # its link is closed, and this was in flight
    lone.receive(2, Welcome("b", initial_members(3)))
    assert lone.records == []
    assert len(notes(lone, "welcome refused")) >= 1
    lone.receive(2, Welcome("a", initial_members(3)))
    assert lone.node.cluster_id == "a"


def test_a_cluster_that_is_gone_is_given_up_for_another_one() -> None:
    lone = uninitialised("a")
    lone.wait(1.0)
    lone.disconnect(2)
    lone.wait(3.0)
    lone.connect(3, "b")
    assert closed(lone) == []
    lone.wait(0.1)
    assert closed(lone) == [member(3).id]  # it may still come back
    lone.wait(5.0)
    lone.connect(3, "b")
    lone.said(Join)
    lone.wait(1.0)
    assert lone.said(Join, to=3) != []


def test_a_cluster_that_does_not_answer_is_given_up_only_if_there_is_another_one() -> None:
    lone = uninitialised("a")
    lone.wait(40.0)
    assert notes(lone, "joining given up") == []
    lone.connect(3, "b")
    lone.wait(1.0)
    assert notes(lone, "joining given up") != []
    lone.connect(3, "b")  # dialed again
    lone.said(Join)
    lone.wait(1.0)
    assert lone.said(Join, to=3) != []


@pytest.mark.parametrize("message", FOREIGN, ids=lambda message: type(message).__name__)
def test_nothing_of_another_cluster_is_received_though_its_link_stood_before(
    message: Message,
) -> None:
    lone = uninitialised("a", "")
    lone.wait(1.0)
    lone.receive(2, Welcome("a", initial_members(3)))
    lone.receive(3, Identity("b"))
    lone.said(Close)
    lone.records.clear()
    lone.receive(3, message)
    assert lone.sends() == []
    assert lone.records == []
    replica = lone.node.group.replica
    assert replica is not None
    assert replica.acceptor.promised.round == 0
    assert (replica.learner.remote_watermark, replica.removed_in) == (0, 0)
    assert member(3).id not in replica.linked


def test_a_node_that_has_joined_closes_the_links_to_other_clusters() -> None:
    lone = uninitialised("a")
    lone.wait(1.0)
    lone.event(Connected(member(3), "b"))
    lone.receive(2, Welcome("a", initial_members(3)))
    assert closed(lone) == [member(3).id]
    lone.connect(4, "c")
    assert closed(lone) == [member(3).id, member(4).id]


@pytest.mark.parametrize("message", FOREIGN, ids=lambda message: type(message).__name__)
def test_an_uninitialised_node_only_joins(message: Message) -> None:
    lone = Lone(3)
    lone.connect(9, "")
    lone.said(Identity)
    lone.receive(9, message)
    kinds = {type(effect.message) for effect in lone.sends() if effect.to == member(9).id}
    assert kinds <= ({Welcome} if isinstance(message, Join) else set())


def test_a_cluster_that_came_to_be_while_a_link_stood_is_announced_and_then_asked() -> None:
    """The fourth of four that start together, when the other three bootstrap."""
    lone = uninitialised("", "")
    lone.wait(1.0)
    assert lone.said(Join) == []
    lone.receive(2, Identity("a"))
    assert lone.said(Identity, to=2) == [Identity("", is_answer=True)]
    lone.wait(1.0)
    assert lone.said(Join, to=2) != []


def test_an_initial_node_announces_its_cluster_on_every_link_until_it_is_answered() -> None:
    lone = Lone(0, is_alone=True, disk=False)
    lone.event(Connected(member(2), "", ""))
    lone.wait(1.0)
    assert lone.said(Identity) == []  # its directory has not stored it yet (IDN-3)
    lone.disk = True
    lone.flush()
    lone.wait(1.2)
    cluster_id = lone.node.cluster_id
    assert len(lone.said(Identity, to=2)) >= 2
    lone.receive(2, Identity("", is_answer=True))
    lone.wait(1.2)
    assert lone.said(Identity, to=2) == []
    lone.event(Connected(member(3), "", cluster_id))
    lone.wait(1.2)
    assert lone.said(Identity, to=3) == []  # it was in the Hello


def test_an_announcement_that_a_hello_has_overtaken_changes_nothing() -> None:
    lone = Lone(3)
    lone.receive(2, Identity(""))
    lone.receive(2, PreVote(1, 1, Slot(0)))
    assert lone.sends() != []


def test_members_are_received_even_behind_the_end_of_their_link() -> None:
    lone = Lone(3)
    lone.disconnect(2)
    lone.heartbeat(2)
    assert lone.node.group.leader == member(2).id


def test_who_is_remembered_as_a_member_of_the_cluster_is_bounded() -> None:
    identities = PeerIdentities(member(1).id)
    identities.adopt(CLUSTER)
    for number in range(2, TRUSTED_MAX + 10):
        identities.on_connected(member(number), CLUSTER, None)
        identities.on_disconnected(member(number).id)
    assert len(identities.trusted) == TRUSTED_MAX
    assert member(1).id in identities.trusted


def test_a_bootstrap_is_no_concern_of_a_member() -> None:
    lone = Lone(3)
    lone.connect(9, "")
    lone.said(Identity)
    lone.receive(9, BootstrapOffer("x", initial_members(3)))
    lone.receive(9, DiscoveryReport(3, (member(9),)))
    assert lone.sends() == []
    lone.receive(9, BootstrapStored("x", member(1).id))
    assert [type(effect.message).__name__ for effect in lone.sends()] == ["BootstrapCancelled"]


def test_a_reply_to_an_identity_rests_on_what_is_stored() -> None:
    identities = PeerIdentities(member(1).id)
    identities.on_connected(member(2), "", None)
    effects = identities.on_identity(member(2).id, Identity("a"))
    assert effects == [SendWhenDurable(member(2).id, Identity("", is_answer=True))]


def test_a_message_of_a_group_that_is_not_here_changes_nothing_and_ends_the_link() -> None:
    lone = Lone(3)
    promised = lone.node.group.replica.acceptor.promised if lone.node.group.replica else None
    before = len(lone.effects)
    lone.event(Received(member(2).id, Prepare(TWO, Slot(1)), GroupNumber(7)))

    (close, *others) = lone.effects[before:]
    assert close == Close(
        member(2).id,
        "node n2 sent a Prepare of group 7, and this node hosts group 0 only: run the same "
        "version of Quorate on all nodes",
    )
    assert others == []
    assert lone.node.group.replica is not None
    assert lone.node.group.replica.acceptor.promised == promised
    lone.receive(2, Prepare(TWO, Slot(1)))
    assert lone.node.group.replica.acceptor.promised == TWO
