"""How an uninitialised directory comes to belong to a cluster."""

import msgspec

from quorate.base.batches import Configuration
from quorate.base.effects import Persist
from quorate.base.events import Connected
from quorate.base.messages import (
    BootstrapDone,
    BootstrapOffer,
    BootstrapStored,
    DiscoveryReport,
    Join,
    Welcome,
)
from quorate.base.records import Bootstrapped
from tests.unit.node.cluster import Cluster
from tests.unit.node.lone import Lone, initial_members, member


def bootstrapped(lone: Lone) -> list[Bootstrapped]:
    return [record for record in lone.records if isinstance(record, Bootstrapped)]


def begun_by(number: int, size: int = 3) -> Configuration:
    """The initial nodes, with the one first that began."""
    voters = initial_members(size).voters
    first = member(number)
    return Configuration(1, 0, (first, *(voter for voter in voters if voter != first)))


def blank(expect: int = 3, number_of_peers: int = 2) -> Lone:
    lone = Lone(0, expect=expect)
    for number in range(2, 2 + number_of_peers):
        lone.connect(number, "")
    return lone


def propose(lone: Lone) -> str:
    """The two others have been met; the lowest id proposes."""
    for number in (2, 3):
        lone.receive(number, DiscoveryReport(3, (member(number),)))
    lone.wait(0.01)
    (record,) = bootstrapped(lone)
    assert not record.complete
    return record.cluster_id


def test_a_bootstrap_counts_only_when_all_have_stored_it() -> None:
    lone = blank()
    cluster_id = propose(lone)
    assert len(lone.said(BootstrapOffer)) >= 2
    lone.receive(2, BootstrapStored(cluster_id))
    assert lone.node.cluster_id == ""
    lone.receive(3, BootstrapStored(cluster_id))
    assert lone.node.cluster_id == cluster_id
    assert [record.complete for record in bootstrapped(lone)] == [False, True]
    assert len(lone.said(BootstrapDone)) == 2


def test_an_offer_leaves_only_when_the_own_directory_has_stored_it() -> None:
    lone = blank()
    lone.disk = False
    propose(lone)
    assert lone.said(BootstrapOffer) == []
    lone.disk = True
    lone.flush()
    assert lone.said(BootstrapOffer) != []


def test_a_proposer_that_crashed_goes_on_with_the_same_bootstrap() -> None:
    lone = blank()
    cluster_id = propose(lone)
    lone.receive(2, BootstrapStored(cluster_id))
    again = Lone(0, expect=3, incarnation=2, records=lone.records)
    for number in (2, 3):
        again.connect(number, "")
    again.wait(0.6)
    assert {found.cluster_id for found in again.said(BootstrapOffer)} == {cluster_id}
    assert again.node.cluster_id == ""
    for number in (2, 3):
        again.receive(number, BootstrapStored(cluster_id))
    assert again.node.cluster_id == cluster_id


def test_a_directory_stores_one_bootstrap_only() -> None:
    lone = blank()
    lone.receive(2, BootstrapOffer("first", begun_by(2)))
    lone.receive(3, BootstrapOffer("second", begun_by(3)))
    lone.receive(3, Welcome("third", initial_members(3)))
    assert [record.cluster_id for record in bootstrapped(lone)] == ["first"]
    assert [stored.cluster_id for stored in lone.said(BootstrapStored)] == ["first"]
    lone.receive(2, BootstrapDone("second"))
    assert lone.node.cluster_id == ""
    lone.receive(2, BootstrapDone("first"))
    assert lone.node.cluster_id == "first"


def test_a_bootstrap_without_this_node_is_not_stored() -> None:
    lone = blank()
    others = initial_members(4).voters[1:]
    lone.receive(2, BootstrapOffer("c", type(initial_members(3))(1, 0, others)))
    assert bootstrapped(lone) == []


def test_nobody_is_found_with_who_expects_another_number() -> None:
    lone = blank()
    for number in (2, 3):
        lone.receive(number, DiscoveryReport(5, (member(number),)))
    assert bootstrapped(lone) == []


def test_an_initial_node_that_missed_the_last_message_asks_or_learns_it_from_a_handshake() -> None:
    voters = tuple(member(number) for number in range(3))
    for word in ("message", "handshake"):
        lone = Lone(0, expect=3)
        lone.connect(0, "")
        lone.receive(0, BootstrapOffer("c", Configuration(1, 0, voters)))
        lone.said(BootstrapStored)
        lone.wait(0.6)
        assert lone.said(BootstrapStored, to=0) != []
        if word == "message":
            lone.receive(0, BootstrapDone("c"))
        else:
            lone.connect(0, "c")
        assert lone.node.cluster_id == "c"


def test_an_initial_node_that_is_done_says_so_to_who_asks() -> None:
    lone = Lone(3)
    lone.receive(2, BootstrapStored("c"))
    assert lone.said(BootstrapDone, to=2) == [BootstrapDone("c")]
    lone.receive(2, BootstrapStored("other"))
    assert lone.said(BootstrapDone) == []


def test_a_node_that_finds_a_cluster_joins_it_instead() -> None:
    lone = Lone(0, expect=2)
    lone.connect(3, "old")
    lone.connect(2, "")
    lone.receive(2, DiscoveryReport(2, (member(2),)))
    lone.wait(0.6)
    assert lone.said(Join, to=3) != []
    assert bootstrapped(lone) == []
    lone.receive(3, Welcome("old", initial_members(3)))
    assert lone.node.cluster_id == "old"
    assert lone.node.group.replica is not None


def test_an_initial_node_whose_directory_was_replaced_stands_in_no_ones_way() -> None:
    """A dead id below all others would keep everybody waiting for its proposal."""
    lone = Lone(0, expect=3)
    dead = msgspec.structs.replace(member(0), address=member(2).address)
    lone.connect(3, "")
    lone.event(Connected(dead, ""))
    lone.receive(0, DiscoveryReport(3, (dead, member(3))))
    lone.disconnect(0)
    lone.connect(2, "")
    lone.receive(3, DiscoveryReport(3, (dead, member(2), member(3))))
    lone.receive(2, DiscoveryReport(3, (member(2), member(3))))
    lone.wait(0.6)
    (record,) = bootstrapped(lone)
    assert record.configuration.voter_ids == {"n1", "n2", "n3"}


def test_a_lone_node_bootstraps_once() -> None:
    lone = Lone(0, is_alone=True)
    (record,) = bootstrapped(lone)
    assert record.complete
    again = Lone(0, is_alone=True, incarnation=2, records=lone.records, tables=lone.tables)
    assert bootstrapped(again) == []
    assert again.node.cluster_id == record.cluster_id
    assert isinstance(lone.effects[0], Persist)


def test_three_found_one_cluster_although_the_proposer_loses_power_in_the_middle() -> None:
    for seed in range(10):
        cluster = Cluster(3, seed)
        first = next(iter(cluster.hosts))
        cluster.run(0.002 * (1 + seed))
        cluster.power_cut(first)
        cluster.run(0.3)
        cluster.start(first)
        cluster.run(5)
        names = {host.node.cluster_id for host in cluster.hosts.values() if host.node}
        assert len(names) == 1
        assert "" not in names
        assert cluster.leader() is not None
