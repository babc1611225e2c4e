"""No state of bootstrap lasts for ever: what is not complete is given up when it leads nowhere."""

import msgspec

from quorate.base.batches import Configuration, Member
from quorate.base.effects import Configured, Note
from quorate.base.events import Connected
from quorate.base.ids import NodeId
from quorate.base.messages import (
    BootstrapAbandoned,
    BootstrapCancelled,
    BootstrapDone,
    BootstrapOffer,
    BootstrapStored,
    DiscoveryReport,
    Identity,
    Join,
    Welcome,
)
from quorate.base.records import Bootstrapped
from quorate.node.bootstrapping import BACKOFF_S, SILENCE_S, TURN_S
from quorate.node.discovery import KNOWN_MAX
from tests.unit.node.lone import Lone, initial_members, member


def voters(*numbers: int) -> Configuration:
    """The initial nodes, the one first that began."""
    return Configuration(1, 0, tuple(member(number) for number in numbers))


def foundings(lone: Lone) -> list[Bootstrapped]:
    return [record for record in lone.records if isinstance(record, Bootstrapped)]


def newest(lone: Lone) -> Bootstrapped:
    return foundings(lone)[-1]


def met(*numbers: int, expect: int = 3) -> Lone:
    """n1, uninitialised, has met these."""
    lone = Lone(0, expect=expect)
    for number in numbers:
        discover(lone, number, expect=expect)
    return lone


def discover(lone: Lone, number: int, *known: int, expect: int = 3) -> None:
    lone.connect(number, "")
    lone.receive(number, DiscoveryReport(expect, tuple(member(each) for each in (number, *known))))


def given_up(lone: Lone) -> list[str]:
    return [note.fields["why"] for note in lone.all(Note) if note.what == "bootstrap given up"]


def abandoned(lone: Lone) -> list[str]:
    return [note.fields["why"] for note in lone.all(Note) if note.what == "bootstrap abandoned"]


# --- who began ------------------------------------------------------------------------------------


def test_who_began_gives_up_when_an_initial_node_refuses() -> None:
    lone = met(2, 3)
    lone.wait(0.01)
    first = newest(lone)
    lone.said(BootstrapCancelled)
    lone.receive(3, BootstrapCancelled(first.cluster_id))
    assert newest(lone).cluster_id == ""
    assert lone.said(BootstrapCancelled, to=2) == [BootstrapCancelled(first.cluster_id)]
    assert lone.node.cluster_id == ""
    lone.wait(BACKOFF_S + 0.1)
    assert newest(lone).cluster_id not in ("", first.cluster_id)


def test_who_gave_up_says_so_to_an_initial_node_that_still_waits_after_a_restart_too() -> None:
    lone = met(2, 3)
    lone.wait(0.01)
    first = newest(lone).cluster_id
    lone.receive(3, BootstrapCancelled(first))
    again = Lone(0, expect=3, incarnation=2, records=lone.records)
    again.connect(2, "")
    again.receive(2, BootstrapStored(first, member(1).id))
    assert again.said(BootstrapCancelled, to=2) == [BootstrapCancelled(first)]


def test_who_began_goes_on_without_an_initial_node_that_does_not_come_back() -> None:
    lone = met(2, 3, 4)
    lone.wait(0.01)
    first = newest(lone).cluster_id
    lone.disconnect(2)
    lone.wait(SILENCE_S + BACKOFF_S + 0.5)
    last = newest(lone)
    assert last.cluster_id not in ("", first)
    assert last.configuration.voter_ids == {"n1", "n3", "n4"}


def test_who_began_waits_for_an_initial_node_without_whom_there_are_too_few() -> None:
    lone = met(2, 3)
    lone.wait(0.01)
    first = newest(lone).cluster_id
    lone.disconnect(2)
    lone.wait(10 * SILENCE_S)
    assert newest(lone).cluster_id == first
    assert given_up(lone) == []


def test_an_initial_node_whose_directory_is_lost_is_replaced_by_the_one_at_its_address() -> None:
    lone = met(2, 3)
    lone.wait(0.01)
    first = newest(lone).cluster_id
    lone.disconnect(2)
    fresh = Member(NodeId("n8"), "n2", member(2).address)
    lone.event(Connected(fresh, ""))
    lone.wait(0.1)
    assert given_up(lone) == ["n2 has lost its directory"]
    lone.receive(8, DiscoveryReport(3, (fresh,)))
    lone.wait(BACKOFF_S + TURN_S)
    last = newest(lone)
    assert last.cluster_id not in ("", first)
    assert last.configuration.voter_ids == {"n1", "n3", "n8"}


def test_who_began_joins_the_cluster_of_an_initial_node_that_belongs_to_another_one() -> None:
    lone = met(2, 3)
    lone.wait(0.01)
    lone.connect(3, "other")
    lone.wait(0.1)
    assert given_up(lone) == ["n3 belongs to another cluster"]
    lone.wait(1.0)
    assert lone.said(Join, to=3) != []
    lone.receive(3, Welcome("other", initial_members(3)))
    assert lone.node.cluster_id == "other"
    # and a late vote for the old one counts for nothing
    assert [record.cluster_id for record in foundings(lone) if record.complete] == ["other"]


# --- the others -----------------------------------------------------------------------------------


def stored(*linked: int) -> Lone:
    """n1 has stored what n0 began with n1 and n2."""
    lone = Lone(0, expect=3)
    for number in (0, *linked):
        lone.connect(number, "")
    lone.receive(0, BootstrapOffer("x", voters(0, 1, 2)))
    assert newest(lone).cluster_id == "x"
    return lone


def test_an_initial_node_gives_up_when_who_began_says_so_and_for_nobody_else() -> None:
    lone = stored(2)
    lone.receive(2, BootstrapCancelled("x"))
    assert newest(lone).cluster_id == "x"
    lone.receive(0, BootstrapCancelled("y"))
    assert newest(lone).cluster_id == "x"
    lone.receive(0, BootstrapCancelled("x"))
    assert newest(lone).cluster_id == ""
    lone.receive(0, BootstrapDone("x"))
    assert lone.node.cluster_id == ""


def test_only_who_began_counts() -> None:
    lone = stored(2)
    lone.receive(2, BootstrapStored("x", member(0).id))
    assert lone.node.cluster_id == ""


def test_an_initial_node_waits_for_who_began_as_long_as_nothing_else_is_to_be_had() -> None:
    lone = stored(2)
    lone.disconnect(0)
    lone.wait(10 * SILENCE_S)
    assert newest(lone).cluster_id == "x"
    assert lone.node.status(lone.now_s).reason.endswith("waiting for n0 to confirm the new cluster")
    lone.connect(0, "x")
    assert lone.node.cluster_id == "x"


def test_initial_nodes_whose_proposer_is_gone_for_good_bootstrap_with_another_one() -> None:
    lone = stored(2)
    lone.disconnect(0)
    lone.connect(3, "")
    lone.wait(SILENCE_S + 0.1)
    assert abandoned(lone) == [f"n0 not reachable for {SILENCE_S:g} s"]
    assert given_up(lone) == []
    lone.receive(2, BootstrapAbandoned("x"))
    assert given_up(lone) == ["abandoned by n1, n2"]
    for number in (2, 3):
        lone.receive(number, DiscoveryReport(3, (member(number),)))
    lone.wait(BACKOFF_S + TURN_S)
    assert newest(lone).configuration.voter_ids == {"n1", "n2", "n3"}


def test_an_initial_node_whose_proposer_has_lost_its_directory_begins_anew() -> None:
    lone = stored(2)
    lone.event(Connected(Member(NodeId("n8"), "n0", member(0).address), ""))
    lone.wait(0.1)
    assert abandoned(lone) == ["n0 has lost its directory"]
    lone.receive(2, BootstrapAbandoned("x"))
    assert given_up(lone) == ["abandoned by n1, n2"]


def test_an_initial_node_joins_a_cluster_that_exists_if_who_began_does_not_come_back() -> None:
    lone = stored(2)
    lone.connect(5, "other")
    lone.wait(1.0)
    assert newest(lone).cluster_id == "x"
    lone.disconnect(0)
    lone.wait(SILENCE_S + 1.0)
    assert lone.said(Join, to=5) == []
    lone.receive(2, BootstrapAbandoned("x"))
    lone.wait(1.0)
    assert lone.said(Join, to=5) != []


# --- who began is away: it may be complete there (BST-6) ----------------------------------------


def left_behind() -> Lone:
    """n1 of x, begun by n0 with n1 and n2, cut off from both among others that expect three."""
    lone = stored(2)
    for number in (0, 2):
        lone.disconnect(number)
    for number in (3, 4):
        discover(lone, number)
    lone.wait(SILENCE_S + 0.1)
    return lone


def test_an_initial_node_alone_does_not_leave_what_the_other_two_may_have_completed() -> None:
    """Else n0 and n2 are a cluster that writes, and n1 makes another one of the same nodes."""
    lone = left_behind()
    assert abandoned(lone) == [f"n0 not reachable for {SILENCE_S:g} s"]
    for number in (3, 4):
        lone.receive(number, DiscoveryReport(3, (member(number),)))
    lone.wait(10 * SILENCE_S)
    assert newest(lone).cluster_id == "x"
    reason = lone.node.status(lone.now_s).reason
    assert reason == "bootstrapping anew: waiting for n0, n2 to say if the first try succeeded"


def test_what_was_abandoned_is_completed_when_a_quorum_has_it_complete() -> None:
    lone = left_behind()
    lone.connect(0, "x")
    assert not newest(lone).complete  # n2 may have abandoned it, too
    lone.connect(2, "x")
    assert newest(lone).complete
    assert lone.node.cluster_id == "x"


def test_what_was_abandoned_is_given_up_when_the_rest_is_no_quorum() -> None:
    lone = left_behind()
    lone.connect(2, "")
    lone.said(BootstrapAbandoned)
    lone.wait(1.0)
    assert lone.said(BootstrapAbandoned, to=2) != []  # sent until something comes of it
    lone.receive(2, BootstrapAbandoned("x"))
    assert newest(lone).cluster_id == ""
    assert lone.said(BootstrapAbandoned, to=2) == [BootstrapAbandoned("x")]
    lone.connect(0, "x")  # complete there alone: no quorum, and never one
    assert newest(lone).cluster_id == ""


def test_an_abandoned_bootstrap_is_not_confirmed_to_who_began_it() -> None:
    lone = left_behind()
    lone.connect(0, "")
    lone.said(BootstrapStored)
    lone.receive(0, BootstrapOffer("x", voters(0, 1, 2)))
    assert lone.said(BootstrapAbandoned, to=0) == [BootstrapAbandoned("x")]
    lone.receive(0, BootstrapCancelled("x"))  # which can end it alone, as it is complete nowhere
    assert newest(lone).cluster_id == ""


def test_what_was_given_up_is_never_stored_again_after_a_restart_too() -> None:
    lone = left_behind()
    lone.connect(2, "")
    lone.receive(2, BootstrapAbandoned("x"))
    again = Lone(0, expect=3, incarnation=2, records=lone.records)
    again.connect(0, "")
    again.receive(0, BootstrapOffer("x", voters(0, 1, 2)))
    assert again.node.bootstrap.bootstrapped is None
    assert again.said(BootstrapCancelled, to=0) == [BootstrapCancelled("x")]
    again.connect(2, "")
    again.receive(
        2, BootstrapAbandoned("x")
    )  # a node that still waits learns that this one left it, too
    assert again.said(BootstrapAbandoned, to=2) == [BootstrapAbandoned("x")]


def test_who_abandoned_has_still_abandoned_after_a_restart() -> None:
    lone = left_behind()
    again = Lone(0, expect=3, incarnation=2, records=lone.records)
    again.connect(0, "x")
    assert foundings(again) == [], "it is complete at n0 alone"
    assert again.node.cluster_id == ""
    again.connect(2, "")
    again.receive(2, BootstrapAbandoned("x"))
    assert newest(again).cluster_id == "", "those two are all but n0"


def test_who_began_gives_up_when_an_initial_node_has_abandoned_it() -> None:
    lone = met(2, 3)
    lone.wait(0.01)
    first = newest(lone).cluster_id
    lone.receive(3, BootstrapAbandoned(first))
    assert given_up(lone) == ["n3 does not take part"]


def test_of_two_initial_nodes_one_alone_may_leave_since_the_other_has_no_quorum() -> None:
    lone = Lone(0, expect=2)
    lone.connect(0, "")
    lone.receive(0, BootstrapOffer("x", voters(0, 1)))
    lone.disconnect(0)
    lone.connect(3, "")
    lone.wait(SILENCE_S + 0.1)
    assert given_up(lone) == ["abandoned by n1"]


def test_an_initial_node_refuses_what_it_can_not_store_so_that_nobody_waits_for_it() -> None:
    lone = stored(2)
    lone.connect(3, "")
    lone.receive(3, BootstrapOffer("y", voters(3, 1, 2)))
    assert lone.said(BootstrapCancelled, to=3) == [BootstrapCancelled("y")]
    assert newest(lone).cluster_id == "x"


def test_a_cluster_of_its_own_ends_a_bootstrap_that_is_not_complete() -> None:
    lone = stored(2)
    again = Lone(0, is_alone=True, incarnation=2, records=lone.records)
    assert newest(again).complete
    assert newest(again).configuration.voter_ids == {"n1"}


def test_what_was_given_up_is_not_taken_up_by_a_restart() -> None:
    lone = stored(2)
    lone.receive(0, BootstrapCancelled("x"))
    again = Lone(0, expect=3, incarnation=2, records=lone.records)
    assert again.node.bootstrap.bootstrapped is None
    again.connect(0, "")
    again.receive(0, BootstrapDone("x"))
    assert again.node.cluster_id == ""


# --- before anything is stored --------------------------------------------------------------------


def test_nodes_that_others_reported_are_dialed_so_that_a_hub_is_enough() -> None:
    lone = Lone(0, expect=3)
    discover(lone, 2, 3)
    lone.wait(0.6)
    dialed = {m.id for effect in lone.all(Configured) for m in effect.configuration.members}
    assert dialed == {"n2", "n3"}
    assert all(effect.cluster_id == "" for effect in lone.all(Configured))


def test_a_lower_id_that_others_reported_is_waited_for_but_not_for_ever() -> None:
    lone = Lone(0, expect=3)
    discover(lone, 2, 0)
    discover(lone, 3, 0)
    lone.wait(TURN_S / 2)
    assert foundings(lone) == []
    lone.wait(TURN_S)
    assert newest(lone).configuration.voter_ids == {"n1", "n2", "n3"}
    assert newest(lone).configuration.voters[0] == member(1)  # who began stands first


def test_a_lower_id_that_does_not_begin_is_not_waited_for_for_ever() -> None:
    lone = met(0, 2)
    lone.wait(TURN_S / 2)
    assert foundings(lone) == []
    lone.wait(TURN_S)
    assert newest(lone).configuration.voters[0] == member(1)
    assert len(lone.said(BootstrapOffer, to=0)) >= 1


def test_of_five_that_expect_three_the_others_join_when_they_learn_of_the_cluster() -> None:
    lone = met(2, 3, 4, 5)
    lone.wait(0.01)
    first = newest(lone)
    assert first.configuration.voter_ids == {"n1", "n2", "n3"}
    other = msgspec.structs.replace(first)
    fifth = Lone(0, expect=3)  # n1 again, as one that was not chosen
    for number in (2, 3, 4, 5):
        fifth.connect(number, "")
    fifth.receive(2, Identity(other.cluster_id))
    fifth.wait(1.0)
    assert fifth.said(Join, to=2) != []


def test_other_expectations_are_reported_once_and_no_node_bootstraps_with_them() -> None:
    lone = Lone(0, expect=3)
    for number in (2, 3):
        lone.connect(number, "")
        lone.receive(number, DiscoveryReport(5, (member(number),)))
        lone.receive(number, DiscoveryReport(5, (member(number),)))
    lone.wait(1.0)
    reported = [n for n in lone.all(Note) if n.what.startswith("bootstrap_expect differs")]
    assert [(n.fields["node"], n.fields["expects"]) for n in reported] == [("n2", 5), ("n3", 5)]
    assert all(note.is_warning for note in reported)
    assert "n2 expects 5" in lone.node.status(lone.now_s).reason
    assert foundings(lone) == []


def test_a_bootstrap_of_another_size_is_refused() -> None:
    lone = Lone(0, expect=3)
    lone.connect(2, "")
    lone.receive(2, BootstrapOffer("x", voters(2, 1)))
    assert foundings(lone) == []
    assert lone.said(BootstrapCancelled, to=2) == [BootstrapCancelled("x")]


def test_what_is_remembered_of_others_is_bounded() -> None:
    lone = met(2, 3, expect=5)
    lone.connect(4, "")
    for number in range(10, 10 + 2 * KNOWN_MAX):
        lost = Member(NodeId(f"n{number}"), "n2", member(2).address)  # n2 is linked there
        lone.receive(2, DiscoveryReport(5, (member(2), lost, member(9000 + number))))
    discovery = lone.node.bootstrap.discovery
    lone.said(DiscoveryReport)
    lone.wait(1.0)
    known = lone.said(DiscoveryReport, to=3)[-1].known
    assert len(discovery.gone) == KNOWN_MAX
    assert len(known) == KNOWN_MAX + len(discovery.candidates)
    assert len(discovery.candidates) == 3
