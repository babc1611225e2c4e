"""What a node says when it knows no leader."""

import msgspec

from quorate.base.events import SpaceChanged
from quorate.base.messages import BootstrapOffer, DiscoveryReport, Removed, Welcome
from tests.unit.node.lone import CLUSTER, Lone, initial_members, member


def reason(lone: Lone) -> str:
    return lone.node.status(lone.now_s).reason


def test_a_bootstrapping_node_says_how_many_are_missing_and_which_it_reached() -> None:
    lone = Lone(0, expect=3)
    assert reason(lone) == "waiting for 2 of 3 nodes to bootstrap: none reachable"
    lone.connect(2, "")
    lone.receive(2, DiscoveryReport(3, (member(2),)))
    assert reason(lone) == "waiting for 1 of 3 nodes to bootstrap: reached n2"


def test_an_initial_node_says_whose_confirmation_it_waits_for() -> None:
    lone = Lone(0, expect=3)
    for number in (2, 3):
        lone.connect(number, "")
        lone.receive(number, DiscoveryReport(3, (member(number),)))
    lone.wait(0.01)
    assert reason(lone) == "bootstrapping: waiting for n2, n3 to confirm the new cluster"


def test_an_initial_node_that_did_not_begin_waits_for_the_one_that_did() -> None:
    lone = Lone(0, expect=3)
    lone.connect(0, "")
    voters = (member(0), member(1), member(2))
    lone.receive(0, BootstrapOffer("x", msgspec.structs.replace(initial_members(3), voters=voters)))
    assert reason(lone) == "bootstrapping: waiting for n0 to confirm the new cluster"


def test_a_node_that_only_joins_says_what_it_has_found() -> None:
    lone = Lone(0)
    assert reason(lone) == "waiting for a cluster to join: no other node reachable"
    lone.connect(2, "")
    received = "reached n2, in no cluster yet; a new one needs -bootstrap-expect"
    assert reason(lone) == f"waiting for a cluster to join: {received}"
    lone.connect(3, "other")
    assert reason(lone) == "joining cluster other: not answered yet"


def test_a_member_without_a_leader_says_since_when_and_who_is_missing() -> None:
    lone = Lone(3)
    lone.heartbeat(2)
    assert reason(lone) == ""
    lone.disconnect(2)
    lone.disconnect(3)
    lone.wait(12.0)
    assert reason(lone) == "no leader since 12 s: n2, n3 not reachable"


def test_a_member_that_reaches_a_quorum_says_that_an_election_is_under_way() -> None:
    lone = Lone(3)
    lone.disconnect(3)
    lone.wait(2.0)
    assert reason(lone) == "no leader since 2 s: an election is under way, n3 not reachable"


def test_a_leader_gives_no_reason() -> None:
    lone = Lone(1)
    lone.wait(0.1)
    assert lone.node.status(lone.now_s).role == "leader"
    assert reason(lone) == ""


def test_a_node_that_no_configuration_names_says_whom_it_asked() -> None:
    lone = Lone(0)
    lone.connect(2, CLUSTER)
    from_afar = msgspec.structs.replace(initial_members(3), voters=(member(2), member(3)))
    lone.wait(0.6)
    lone.receive(2, Welcome(CLUSTER, from_afar))
    assert reason(lone) == f"joining cluster {CLUSTER}: not a member yet, asked n2"
    lone.disconnect(2)
    expected = f"joining cluster {CLUSTER}: not a member yet, no member of it is connected"
    assert reason(lone) == expected


def test_a_removed_node_says_so() -> None:
    lone = Lone(3)
    lone.receive(2, Removed(2))
    lone.heartbeat(2)
    status = lone.node.status(lone.now_s)
    assert (status.role, status.leader, status.is_serving) == ("removed", None, False)
    assert status.reason == f"this node was removed from cluster {CLUSTER}"


def test_a_full_disk_is_reported_first_where_no_leader_is_known() -> None:
    lone = Lone(3)
    lone.disconnect(2)
    lone.disconnect(3)
    lone.event(SpaceChanged(is_full=True))
    lone.wait(12.0)
    assert reason(lone) == "this node's disk is full; no leader since 12 s: n2, n3 not reachable"
    lone.event(SpaceChanged(is_full=False))
    assert "disk" not in reason(lone)
