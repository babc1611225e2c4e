"""Checks of nodes and of instances: who is notified, which sessions end, what is refused."""

from functools import partial

import pytest

from quorate.base.command import Command
from quorate.base.outcomes import Failure
from quorate.base.results import Answer
from quorate.catalog.commands import (
    CatalogRegister,
    CheckDeregister,
    CheckOutput,
    CheckUpdate,
    NodeDeregister,
    NodeHealth,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.catalog.fields import CRITICAL, PASSING, SERF_HEALTH, Check, NodeFields, Service
from quorate.catalog.queries import HOSTS_MAX, Instance
from quorate.catalog.tables import decode_instance, hosts_of, stored_instance
from quorate.domains import DOMAINS
from quorate.machine.derived import differences
from tests.unit.machine.lab import Lab, Lists
from tests.unit.machine.test_queries import wakes


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    lab.do(node("bob"), web("bob"), web("ann"), CatalogRegister("bob", service=Service("db", "db")))
    return lab


def node(name: str, address: str = "", id_: str = "") -> Command:
    details = NodeFields(id_ or name, address, "dc1", {}, {})
    return CatalogRegister(name.capitalize(), details, is_member=True)


def web(name: str, *checks: Check, port: int = 80) -> Command:
    return CatalogRegister(name, service=Service("web", "web", port=port), checks=checks)


def own(status: str = PASSING, output: str = "", id_: str = "alive") -> Check:
    return Check(id_, "Alive", status, output=output, service_id="web", type="ttl")


def reader(service: str, read: Lists) -> Answer[list[Instance]]:
    return read.services_of_name(service)


def statuses(lab: Lab, service: str = "web") -> list[list[tuple[str, str]]]:
    found = lab.read.services_of_name(service).value
    return [[(check.id, check.status) for check in one.checks] for one in found]


def test_an_instance_has_its_own_checks_and_those_of_its_node_by_id(lab: Lab) -> None:
    lab.do(web("bob", own(), Check("zz", "Disk", "warning")))
    assert statuses(lab) == [
        [("serfHealth", "passing")],
        [("alive", "passing"), ("serfHealth", "passing"), ("zz", "warning")],
    ]
    assert statuses(lab, "db") == [[("serfHealth", "passing"), ("zz", "warning")]]
    (_, bob) = lab.read.services_of_name("WEB").value
    assert (bob.checks[0].service_name, bob.checks[0].node) == ("web", "Bob")


def test_a_check_of_an_instance_wakes_those_who_read_it_and_nobody_else(lab: Lab) -> None:
    lab.do(web("bob", own()))
    web_reader, db_reader = partial(reader, "web"), partial(reader, "db")
    fails = CheckUpdate("bob", "alive", CRITICAL, "no answer")
    assert not wakes(lab, db_reader, fails)
    assert wakes(lab, web_reader, CheckUpdate("BOB", "alive", PASSING, "again"))
    assert not wakes(lab, web_reader, CheckUpdate("bob", "alive", PASSING, "again"))
    assert wakes(lab, web_reader, CheckDeregister("bob", "alive"))
    assert not wakes(lab, db_reader, web("bob", own()))


def test_an_output_alone_changes_the_row_and_wakes_nobody(lab: Lab) -> None:
    lab.do(web("bob", own(), Check("disk", "Disk", PASSING)))
    (before,) = [each for each in lab.read.services_of_name("web").value if each.checks[1:]]
    for query in (partial(reader, "web"), partial(reader, "db")):
        for check in ("alive", "disk"):
            assert not wakes(lab, query, CheckOutput("BOB", check, f"of {check}"))
    (after,) = [each for each in lab.read.services_of_name("web").value if each.checks[1:]]
    assert [check.output for check in after.checks if check.id != SERF_HEALTH] == [
        "of alive",
        "of disk",
    ]
    assert [check.modify_index for check in after.checks] == [
        check.modify_index for check in before.checks
    ]
    assert not lab.do(CheckOutput("bob", "x", ""), CheckOutput("nobody", "alive", ""))
    (same,) = [each for each in lab.read.services_of_name("web").value if each.checks[1:]]
    assert same == after


def test_a_check_of_a_node_wakes_those_who_read_any_service_on_it(lab: Lab) -> None:
    for service in ("web", "db"):
        query = partial(reader, service)
        assert wakes(lab, query, CheckUpdate("bob", SERF_HEALTH, "warning", ""))
        assert wakes(lab, query, CatalogRegister("bob", checks=(Check("disk", "", "passing"),)))
        assert wakes(lab, query, CheckDeregister("bob", "disk"))
        assert wakes(lab, query, node("bob", "10.0.0.9"))
        assert wakes(lab, query, node("bob"))
        assert wakes(lab, query, NodeHealth("bob", CRITICAL))  # as an older log has it
        assert wakes(lab, query, CheckUpdate("bob", SERF_HEALTH, PASSING, ""))
    only_ann = CheckUpdate("ann", SERF_HEALTH, "warning", "")
    assert not wakes(lab, partial(reader, "db"), only_ann)
    assert wakes(lab, partial(reader, "db"), NodeDeregister("bob"))


def test_a_check_that_moves_from_one_instance_to_another_wakes_the_readers_of_both(
    lab: Lab,
) -> None:
    lab.do(web("bob", own()))
    moved = Check("alive", "Alive", PASSING, service_id="db")
    assert wakes(lab, partial(reader, "web"), CatalogRegister("bob", checks=(moved,)))
    assert wakes(lab, partial(reader, "db"), CatalogRegister("bob", checks=(own(),)))
    assert differences(DOMAINS, lab.tables) == []


def test_readers_of_a_service_on_very_many_nodes_are_woken_by_any_of_them(lab: Lab) -> None:
    names = [f"n{number:03}" for number in range(HOSTS_MAX + 1)]
    for name in names[:-3]:
        lab.do(node(name), web(name))
    query = partial(reader, "web")
    assert len(query(lab.read).subjects) == HOSTS_MAX + 1
    assert wakes(lab, query, node(names[-3]), web(names[-3]))
    assert len(query(lab.read).subjects) == 2
    assert wakes(lab, query, CheckUpdate(names[5], SERF_HEALTH, "warning", ""))
    assert wakes(lab, query, ServiceDeregister(names[0], "web"))
    assert len(query(lab.read).subjects) == HOSTS_MAX + 1
    assert wakes(lab, query, CheckUpdate(names[5], SERF_HEALTH, PASSING, ""))


def test_hosts_are_found_by_leaps_and_names_do_not_run_into_each_other(lab: Lab) -> None:
    for name in ("a", "a\1b", "a\0", "ab"):
        lab.do(node(name))
        for number in range(3):
            lab.do(CatalogRegister(name, service=Service(f"i{number}", "s")))
    found = hosts_of(lab.read.rows, "S", 9)
    assert found == [b"a", b"a\1\1", b"a\1\2b", b"ab"]
    assert hosts_of(lab.read.rows, "s", 3) is None
    assert hosts_of(lab.read.rows, "none", 3) == []


def test_sessions_end_with_the_check_that_they_are_bound_to_and_with_no_other(lab: Lab) -> None:
    lab.do(web("bob", own(), own(id_="other")))
    for end in (
        CheckUpdate("bob", "alive", CRITICAL, ""),
        CheckDeregister("bob", "alive"),
        ServiceDeregister("bob", "web"),
        CatalogRegister("bob", checks=(own(CRITICAL),)),
    ):
        lab.do(web("bob", own(), own(id_="other")))
        lab.session("bound", node="bob", checks=("alive", SERF_HEALTH))
        lab.session("free", node="bob")
        lab.session("ann's", checks=(SERF_HEALTH,))
        lab.do(CheckUpdate("bob", "alive", "warning", ""))
        lab.do(CheckUpdate("bob", "other", CRITICAL, ""))
        assert [row.id for row in lab.read.session_node("BOB").value] == ["bound", "free"]
        index = lab.machine.index
        lab.do(end)
        assert lab.machine.index == index + 1
        assert [row.id for row in lab.read.session_list().value] == ["ann's", "free"]
        lab.do(NodeDeregister("bob"), node("bob"), NodeDeregister("ann"), node("ann"))
        lab.do(node("ann"), web("ann"))


def test_what_lacks_its_node_or_instance_is_refused_and_changes_nothing(lab: Lab) -> None:
    index = lab.machine.index
    no_node = Failure("precondition", "Missing node registration")
    no_service = Failure("precondition", "Missing service registration")
    lost = Check("x", "", PASSING, service_id="nowhere")
    assert lab.do(web("nobody")) == no_node
    assert lab.do(web("bob", lost, port=81)) == no_service
    assert lab.do(CatalogRegister("bob", checks=(Check("", "", PASSING),))) == Failure(
        "bad_request", "Missing check ID"
    )
    lab.do(CheckUpdate("bob", SERF_HEALTH, CRITICAL, "out"))
    thief = CatalogRegister("bob", NodeFields("eve", "", "dc1", {}, {}), checks=(own(),))
    assert lab.do(thief) == no_service  # the instance would go with the node
    assert lab.do(CheckUpdate("bob", "x", PASSING, "")) is False
    assert lab.do(CheckUpdate("nobody", SERF_HEALTH, PASSING, "")) is False
    assert lab.do(CheckDeregister("bob", "x")) is False
    assert lab.machine.index == index + 1
    assert lab.read.services_of_node("bob").value[1].service.port == 80


def test_the_same_check_again_takes_no_index(lab: Lab) -> None:
    lab.do(web("bob", own(output="ok")))
    index = lab.machine.index
    assert lab.do(web("bob", own(output="ok"))) is True
    assert lab.do(CheckUpdate("bob", "alive", PASSING, "ok")) is True
    assert (lab.machine.index, lab.changed_subjects) == (index, [])


def test_serf_health_that_was_removed_is_made_again(lab: Lab) -> None:
    assert lab.do(CheckDeregister("bob", SERF_HEALTH)) is True
    assert lab.do(CheckUpdate("bob", SERF_HEALTH, CRITICAL, "gone")) is True
    (check,) = lab.read.checks_of_node("bob").value
    assert (check.name, check.status, check.output) == ("Serf Health Status", CRITICAL, "gone")


def test_checks_follow_an_instance_that_becomes_one_of_another_service(lab: Lab) -> None:
    for rename in (
        CatalogRegister("bob", service=Service("web", "shop")),
        ServiceRegister("bob", "web", "store", b"{}"),
    ):
        lab.do(web("bob", own()))
        lab.do(rename)
        name = lab.read.checks_of_node("bob").value[0].service_name
        assert name in ("shop", "store")
        assert ("alive", "passing") in statuses(lab, name)[0]
        assert wakes(lab, partial(reader, name), CheckUpdate("bob", "alive", "warning", ""))
        lab.do(ServiceDeregister("bob", "web"))
        assert [check.id for check in lab.read.checks_of_node("bob").value] == [SERF_HEALTH]


def test_a_node_without_an_id_keeps_the_one_that_it_has(lab: Lab) -> None:
    lab.do(CatalogRegister("bob", NodeFields("", "10.0.0.5", "dc1", {}, {})))
    row = lab.read.node("bob").value
    assert row is not None
    assert (row.id, row.address) == ("bob", "10.0.0.5")
    lab.do(CatalogRegister("Carl", NodeFields("", "", "dc1", {}, {})))
    assert lab.read.checks_of_node("carl").value == []
    lab.do(node("carl", id_="c"))
    row = lab.read.node("carl").value
    assert row is not None
    assert row.id == "c"


def test_an_instance_of_an_older_log_is_read_and_written_over() -> None:
    lab = Lab()
    said = (
        b'{"Kind":"k","Tags":["a"],"Address":"h","TaggedAddresses":{"lan":{"Address":"l","Port":1}},'
        b'"Meta":{"m":"n"},"Port":2,"SocketPath":"/s","Weights":{"Passing":3,"Warning":4},'
        b'"EnableTagOverride":true,"Proxy":{"Mode":""},"Connect":{},"PeerName":""}'
    )
    lab.do(ServiceRegister("ann", "x", "web", said))
    (row,) = lab.read.services_of_node("ann").value
    fields = row.service
    assert (fields.id, fields.name, fields.kind, fields.tags) == ("x", "web", "k", ("a",))
    assert (fields.address, fields.port, fields.socket_path) == ("h", 2, "/s")
    assert fields.tagged_addresses["lan"].port == 1
    assert (fields.weights.passing, fields.weights.warning) == (3, 4)
    assert (fields.meta, fields.enable_tag_override) == ({"m": "n"}, True)
    index = lab.machine.index
    assert lab.do(CatalogRegister("ann", service=fields)) is True
    assert lab.machine.index == index  # it says the same
    assert lab.do(ServiceRegister("ann", "x", "web", said)) is True
    assert lab.machine.index == index
    lab.do(CatalogRegister("ann", service=Service("x", "web", port=9)))
    assert lab.do(ServiceRegister("ann", "x", "web", b'{"Port":9}')) is True
    assert lab.machine.index == index + 1


@pytest.mark.parametrize("definition", [b"", b"1", b"{", b"[]", b'{"Port":"x"}', b'{"Tags":7}'])
def test_a_definition_that_is_none_does_not_stop_reads(definition: bytes) -> None:
    lab = Lab()
    lab.do(ServiceRegister("ann", "x", "web", definition))
    assert [row.service for row in lab.read.services_of_node("ann").value] == [Service("x", "web")]


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x92\x02\xa1n", b"\x93\xa1n\xa1i\xa1s"])
def test_what_is_no_row_of_an_instance_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's own errors are among them
        decode_instance(data)


def test_an_instance_is_found_by_its_id(lab: Lab) -> None:
    assert stored_instance(lab.read.rows, "BOB", "web") is not None
    assert stored_instance(lab.read.rows, "bob", "none") is None
