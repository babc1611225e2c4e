"""Nodes, their health and their services: by the commands of today, and by those of older logs."""

import pytest

from quorate.base.command import Command
from quorate.base.outcomes import Failure
from quorate.catalog.commands import (
    CatalogRegister,
    CheckUpdate,
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.catalog.fields import OUTPUTS, SERF_HEALTH, SERVER_SERVICE, NodeFields, Service
from tests.unit.machine.lab import Lab


class Words:
    """Commands of today."""

    @staticmethod
    def node(id_: str, name: str, address: str = "", meta: str = "", port: int = 0) -> Command:
        details = NodeFields(id_, address, "dc1", {"lan": "x"}, {"a": meta})
        service = Service(SERVER_SERVICE, SERVER_SERVICE, port=port) if port else None
        return CatalogRegister(name, details, service, is_member=True)

    @staticmethod
    def health(name: str, status: str) -> Command:
        return CheckUpdate(name, SERF_HEALTH, status, OUTPUTS[status])

    @staticmethod
    def service(node: str, id_: str, name: str, port: int = 1) -> Command:
        return CatalogRegister(node, service=Service(id_, name, port=port))


class OlderWords(Words):
    """Commands of format 3."""

    @staticmethod
    def node(id_: str, name: str, address: str = "", meta: str = "", port: int = 0) -> Command:
        service = b'{"Port":%d}' % port if port else b""
        return NodeRegister(id_, name, address, "dc1", {"lan": "x"}, {"a": meta}, service)

    @staticmethod
    def health(name: str, status: str) -> Command:
        return NodeHealth(name, status)

    @staticmethod
    def service(node: str, id_: str, name: str, port: int = 1) -> Command:
        return ServiceRegister(node, id_, name, b'{"Port":%d}' % port)


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture(params=[Words, OlderWords], ids=["today", "older"])
def say(request: pytest.FixtureRequest) -> type[Words]:
    words: type[Words] = request.param
    return words


def bob(say: type[Words], port: int = 0) -> Command:
    return say.node("bob", "Bob", "10.0.0.2", "b", port)


def names(lab: Lab) -> list[str]:
    return [row.name for row in lab.read.nodes().value]


def instances(lab: Lab, service: str) -> list[tuple[str, str]]:
    found = lab.read.services_of_name(service).value
    return [(instance.node.name, instance.service.id) for instance in found]


def test_a_member_enters_with_passing_health(lab: Lab, say: type[Words]) -> None:
    assert lab.do(bob(say)) is True
    row = lab.read.node("BOB").value
    assert row is not None
    assert (row.name, row.address, row.meta) == ("Bob", "10.0.0.2", {"a": "b"})
    (check,) = lab.read.checks_of_node("bob").value
    assert (check.id, check.status) == ("serfHealth", "passing")
    assert check.output == "Agent alive and reachable"
    assert names(lab) == ["Ann", "Bob"]


def test_the_same_registration_again_takes_no_index(lab: Lab, say: type[Words]) -> None:
    lab.do(bob(say))
    index = lab.machine.index
    assert lab.do(bob(say)) is True
    assert lab.machine.index == index
    assert lab.changed_subjects == []


def test_a_changed_one_keeps_its_create_index_and_its_health(lab: Lab, say: type[Words]) -> None:
    lab.do(bob(say))
    lab.do(say.health("bob", "critical"))
    before = lab.read.node("bob").value
    lab.do(say.node("bob", "Bob", "10.0.0.3"))
    after = lab.read.node("bob").value
    assert before is not None
    assert after is not None
    assert after.address == "10.0.0.3"
    assert after.create_index == before.create_index
    assert after.modify_index == lab.machine.index
    assert lab.read.checks_of_node("bob").value[0].status == "critical"


def test_the_name_of_a_live_node_is_taken(lab: Lab, say: type[Words]) -> None:
    lab.do(bob(say))
    thief = say.node("eve", "bob", "10.0.0.9")
    refused = lab.do(thief)
    text = "Node name bob is reserved by node bob with name Bob (10.0.0.2)"
    assert refused == Failure("already_exists", text)
    lab.do(say.health("bob", "critical"))
    assert lab.do(thief) is True
    row = lab.read.node("bob").value
    assert row is not None
    assert row.id == "eve"
    assert lab.read.checks_of_node("bob").value[0].status == "passing"


def test_the_same_id_under_a_new_name_leaves_the_old_one(lab: Lab, say: type[Words]) -> None:
    lab.do(bob(say))
    lab.do(say.service("Bob", "web1", "web"))
    lab.session("s", node="Bob")
    lab.do(say.node("bob", "Robert", "10.0.0.2"))
    assert names(lab) == ["Ann", "Robert"]
    assert instances(lab, "web") == []
    assert lab.read.session_list().value == []


def test_health_of_an_unknown_node_is_false(lab: Lab, say: type[Words]) -> None:
    assert lab.do(say.health("nobody", "critical")) is False


def test_health_that_stays_takes_no_index(lab: Lab, say: type[Words]) -> None:
    index = lab.machine.index
    assert lab.do(say.health("ann", "passing")) is True
    assert lab.machine.index == index
    lab.do(say.health("ann", "critical"))
    assert lab.machine.index == index + 1
    assert lab.read.checks_of_node("ann").value[0].output == "Agent not live or unreachable"


def test_a_service_is_found_by_name_in_any_case(lab: Lab, say: type[Words]) -> None:
    lab.do(bob(say))
    lab.do(
        say.service("bob", "web2", "Web", 2),
        say.service("ann", "web1", "web", 1),
        say.service("bob", "web1", "web", 1),
        say.service("bob", "db", "web-db", 3),
    )
    assert instances(lab, "WEB") == [("Ann", "web1"), ("Bob", "web1"), ("Bob", "web2")]
    assert [row.service.id for row in lab.read.services_of_node("bob").value] == [
        "db",
        "web1",
        "web2",
    ]
    (first, *_) = lab.read.services_of_name("web").value
    assert [check.id for check in first.checks] == ["serfHealth"]


def test_the_same_definition_again_takes_no_index(lab: Lab, say: type[Words]) -> None:
    lab.do(say.service("ann", "web", "web", 1))
    index = lab.machine.index
    assert lab.do(say.service("ann", "web", "web", 1)) is True
    assert lab.machine.index == index
    lab.do(say.service("ann", "web", "web", 2))
    (instance,) = lab.read.services_of_name("web").value
    assert instance.service.port == 2
    assert (instance.row.create_index, instance.row.modify_index) == (index, index + 1)


def test_an_id_under_another_service_leaves_the_first(lab: Lab, say: type[Words]) -> None:
    lab.do(say.service("ann", "x", "web"))
    index = lab.machine.index
    lab.do(say.service("ann", "x", "db"))
    assert lab.machine.index == index + 1
    assert instances(lab, "web") == []
    assert instances(lab, "db") == [("Ann", "x")]


def test_services_need_a_node_and_go_one_by_one(lab: Lab, say: type[Words]) -> None:
    refused = lab.do(say.service("nobody", "x", "x"))
    assert refused == Failure("precondition", "Missing node registration")
    lab.do(say.service("ann", "x", "x"))
    assert lab.do(ServiceDeregister("ann", "y")) is False
    assert lab.do(ServiceDeregister("Ann", "x")) is True
    assert lab.do(ServiceDeregister("Ann", "x")) is False


def test_a_deregistered_node_leaves_nothing_behind(lab: Lab, say: type[Words]) -> None:
    lab.do(bob(say))
    lab.do(say.service("bob", "web", "web"))
    index = lab.machine.index
    assert lab.do(NodeDeregister("BOB")) is True
    assert lab.machine.index == index + 1
    assert names(lab) == ["Ann"]
    assert lab.read.checks_of_node("bob").value == []
    assert instances(lab, "web") == []
    assert lab.do(NodeDeregister("bob")) is True
    assert lab.machine.index == index + 1


def test_names_with_odd_characters_do_not_run_into_each_other(lab: Lab, say: type[Words]) -> None:
    lab.do(say.node("1", "a\0b", ""), say.node("2", "a", ""))
    lab.do(say.service("a", "b\0c", "s", 1), say.service("a\0b", "c", "s", 2))
    assert instances(lab, "s") == [("a", "b\0c"), ("a\0b", "c")]
    assert [row.service.id for row in lab.read.services_of_node("a").value] == ["b\0c"]


def test_a_member_may_register_the_server_that_it_is_with_itself(
    lab: Lab, say: type[Words]
) -> None:
    before = lab.machine.index
    command = bob(say, 1)
    lab.do(command)
    lab.do(command)
    [row] = lab.read.services_of_node("bob").value
    assert row.service == Service("consul", "consul", port=1)
    assert lab.machine.index == before + 1  # one command, one index, and only once
    lab.do(bob(say, 2))
    assert lab.machine.index == before + 2
    lab.do(NodeDeregister("bob"))
    assert lab.read.services_of_node("bob").value == []
