"""Nodes, their health and their services."""

import msgspec
import pytest

from quorate.base.outcomes import Failure
from quorate.catalog.commands import (
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from tests.unit.machine.lab import Lab

BOB = NodeRegister("bob", "Bob", "10.0.0.2", "dc1", {"lan": "10.0.0.2"}, {"a": "b"})


@pytest.fixture
def lab() -> Lab:
    return Lab()


def names(lab: Lab) -> list[str]:
    return [row.name for row in lab.read.nodes().value]


def instances(lab: Lab, service: str) -> list[tuple[str, str]]:
    found = lab.read.services_of_name(service).value
    return [(instance.node.name, instance.service.id) for instance in found]


def test_a_member_enters_with_passing_health(lab: Lab) -> None:
    assert lab.do(BOB) is True
    row = lab.read.node("BOB").value
    assert row is not None
    assert (row.name, row.address, row.meta) == ("Bob", "10.0.0.2", {"a": "b"})
    (check,) = lab.read.checks_of_node("bob").value
    assert (check.id, check.status) == ("serfHealth", "passing")
    assert check.output == "Agent alive and reachable"
    assert names(lab) == ["Ann", "Bob"]


def test_the_same_registration_again_takes_no_index(lab: Lab) -> None:
    lab.do(BOB)
    index = lab.machine.index
    assert lab.do(BOB) is True
    assert lab.machine.index == index
    assert lab.touched == []


def test_a_changed_one_keeps_its_create_index_and_its_health(lab: Lab) -> None:
    lab.do(BOB)
    lab.do(NodeHealth("bob", "critical"))
    before = lab.read.node("bob").value
    lab.do(NodeRegister("bob", "Bob", "10.0.0.3", "dc1", {}, {}))
    after = lab.read.node("bob").value
    assert before is not None
    assert after is not None
    assert after.address == "10.0.0.3"
    assert after.create_index == before.create_index
    assert after.modify_index == lab.machine.index
    assert lab.read.checks_of_node("bob").value[0].status == "critical"


def test_the_name_of_a_live_node_is_taken(lab: Lab) -> None:
    lab.do(BOB)
    thief = NodeRegister("eve", "bob", "10.0.0.9", "dc1", {}, {})
    refused = lab.do(thief)
    text = "Node name bob is reserved by node bob with name Bob (10.0.0.2)"
    assert refused == Failure("already_exists", text)
    lab.do(NodeHealth("bob", "critical"))
    assert lab.do(thief) is True
    row = lab.read.node("bob").value
    assert row is not None
    assert row.id == "eve"
    assert lab.read.checks_of_node("bob").value[0].status == "passing"


def test_the_same_id_under_a_new_name_leaves_the_old_one(lab: Lab) -> None:
    lab.do(BOB)
    lab.do(ServiceRegister("Bob", "web1", "web", b"{}"))
    lab.session("s", node="Bob")
    lab.do(NodeRegister("bob", "Robert", "10.0.0.2", "dc1", {}, {}))
    assert names(lab) == ["Ann", "Robert"]
    assert instances(lab, "web") == []
    assert lab.read.session_list().value == []


def test_health_of_an_unknown_node_is_false(lab: Lab) -> None:
    assert lab.do(NodeHealth("nobody", "critical")) is False


def test_health_that_stays_takes_no_index(lab: Lab) -> None:
    index = lab.machine.index
    assert lab.do(NodeHealth("ann", "passing")) is True
    assert lab.machine.index == index
    lab.do(NodeHealth("ann", "critical"))
    assert lab.machine.index == index + 1
    assert lab.read.checks_of_node("ann").value[0].output == "Agent not live or unreachable"


def test_a_service_is_found_by_name_in_any_case(lab: Lab) -> None:
    lab.do(BOB)
    lab.do(
        ServiceRegister("bob", "web2", "Web", b"2"),
        ServiceRegister("ann", "web1", "web", b"1"),
        ServiceRegister("bob", "web1", "web", b"1"),
        ServiceRegister("bob", "db", "web-db", b"3"),
    )
    assert instances(lab, "WEB") == [("Ann", "web1"), ("Bob", "web1"), ("Bob", "web2")]
    assert [row.id for row in lab.read.services_of_node("bob").value] == ["db", "web1", "web2"]
    (first, *_) = lab.read.services_of_name("web").value
    assert [check.id for check in first.checks] == ["serfHealth"]


def test_the_same_definition_again_takes_no_index(lab: Lab) -> None:
    lab.do(ServiceRegister("ann", "web", "web", b"1"))
    index = lab.machine.index
    assert lab.do(ServiceRegister("ann", "web", "web", b"1")) is True
    assert lab.machine.index == index
    lab.do(ServiceRegister("ann", "web", "web", b"2"))
    (instance,) = lab.read.services_of_name("web").value
    assert instance.service.definition == b"2"
    assert (instance.service.create_index, instance.service.modify_index) == (index, index + 1)


def test_an_id_under_another_service_leaves_the_first(lab: Lab) -> None:
    lab.do(ServiceRegister("ann", "x", "web", b""))
    index = lab.machine.index
    lab.do(ServiceRegister("ann", "x", "db", b""))
    assert lab.machine.index == index + 1
    assert instances(lab, "web") == []
    assert instances(lab, "db") == [("Ann", "x")]


def test_services_need_a_node_and_go_one_by_one(lab: Lab) -> None:
    refused = lab.do(ServiceRegister("nobody", "x", "x", b""))
    assert refused == Failure("precondition", "Missing node registration")
    lab.do(ServiceRegister("ann", "x", "x", b""))
    assert lab.do(ServiceDeregister("ann", "y")) is False
    assert lab.do(ServiceDeregister("Ann", "x")) is True
    assert lab.do(ServiceDeregister("Ann", "x")) is False


def test_a_deregistered_node_leaves_nothing_behind(lab: Lab) -> None:
    lab.do(BOB)
    lab.do(ServiceRegister("bob", "web", "web", b""))
    index = lab.machine.index
    assert lab.do(NodeDeregister("BOB")) is True
    assert lab.machine.index == index + 1
    assert names(lab) == ["Ann"]
    assert lab.read.checks_of_node("bob").value == []
    assert instances(lab, "web") == []
    assert lab.do(NodeDeregister("bob")) is True
    assert lab.machine.index == index + 1


def test_names_with_odd_characters_do_not_run_into_each_other(lab: Lab) -> None:
    lab.do(NodeRegister("1", "a\0b", "", "dc1", {}, {}), NodeRegister("2", "a", "", "dc1", {}, {}))
    lab.do(ServiceRegister("a", "b\0c", "s", b"1"), ServiceRegister("a\0b", "c", "s", b"2"))
    assert instances(lab, "s") == [("a", "b\0c"), ("a\0b", "c")]
    assert [row.id for row in lab.read.services_of_node("a").value] == ["b\0c"]


def test_a_member_may_register_the_server_that_it_is_with_itself(lab: Lab) -> None:
    before = lab.machine.index
    command = msgspec.structs.replace(BOB, service=b'{"Port":1}')
    lab.do(command)
    lab.do(command)
    [row] = lab.read.services_of_node("bob").value
    assert (row.id, row.name, row.definition) == ("consul", "consul", b'{"Port":1}')
    assert lab.machine.index == before + 1  # one command, one index, and only once
    lab.do(msgspec.structs.replace(BOB, service=b'{"Port":2}'))
    assert lab.machine.index == before + 2
    lab.do(NodeDeregister("bob"))
    assert lab.read.services_of_node("bob").value == []
