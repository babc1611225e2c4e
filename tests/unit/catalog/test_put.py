"""`CatalogPut`: node, service and checks at once, and what older commands leave as it was."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.base.outcomes import Failure
from quorate.catalog.commands import CatalogPut, CatalogRegister, CheckUpdate
from quorate.catalog.fields import (
    NO_DEFINITION,
    SERVICE_FIELDS,
    Address,
    Check,
    Definition,
    NodeFields,
    Port,
    Service,
    Weights,
)
from quorate.catalog.tables import (
    CHECKS,
    CheckRow,
    InstanceRow,
    check_key,
    decode_check,
    decode_instance,
    encode_check,
    encode_instance,
    encode_row,
    stored_instance,
)
from quorate.machine.snapshot import restore_commands
from tests.unit.machine.lab import Lab
from tests.unit.machine.test_restore import snapshot_of

DEFINITION = Definition(
    10_000_000_000, http="http://x", header={"A": ("b",)}, args=("c",), output_bytes_max=9
)
WHOLE = Service(
    "w1",
    "web",
    "connect-proxy",
    ("t",),
    "10.0.0.9",
    80,
    {"lan": Address("10.0.0.9", 80)},
    "/s",
    {"m": "v"},
    Weights(2, 3),
    True,
    b'{"DestinationServiceName":"db"}',
    True,
    (Port("main", 80, is_default=True), Port("admin", 81)),
    ("r", "z"),
)


def details(address: str = "10.0.0.7", id_: str = "") -> NodeFields:
    return NodeFields(id_, address, "dc1", {}, {})


def check_row(lab: Lab, check: str, node: str = "bob") -> CheckRow:
    (row,) = [row for row in lab.read.checks_of_node(node).value if row.id == check]
    return row


def test_node_service_and_checks_come_with_one_index() -> None:
    lab = Lab()
    before = lab.machine.index
    own = Check("c", "c", "passing", service_id="w1")
    assert lab.do(CatalogPut("bob", details(), WHOLE, (own, Check("d", "d", "warning")))) is True
    assert lab.machine.index == before + 1
    (instance,) = lab.read.services_of_name("web").value
    node, row = instance.node, instance.row
    indexes = [each.create_index for each in instance.checks]
    assert indexes == [node.create_index, row.create_index] == [before + 1] * 2
    assert instance.service == WHOLE


def test_one_entity_that_is_refused_leaves_the_others_out() -> None:
    lab = Lab()
    digest = lab.machine.index
    stray = Check("c", "c", "passing", service_id="nothing")
    for checks in [(stray,), (Check("ok", "ok", "passing"), stray), (Check("", "", "passing"),)]:
        assert isinstance(lab.do(CatalogPut("bob", details(), WHOLE, checks)), Failure)
    assert lab.machine.index == digest
    assert [row.name for row in lab.read.nodes().value] == ["Ann"]


@pytest.mark.parametrize("id_", ["", "other"])
def test_a_node_that_is_kept_is_made_if_it_is_unknown(id_: str) -> None:
    lab = Lab()
    put = CatalogPut("Bob", details("10.0.0.1"), Service("s", "s"), keeps_node=True)
    assert lab.do(put) is True
    assert lab.do(CatalogPut("bob", details("10.0.0.2", id_), keeps_node=True)) is True
    (row,) = [row for row in lab.read.nodes().value if row.name == "Bob"]
    assert (row.address, row.id) == ("10.0.0.1", "")
    assert len(lab.read.services_of_node("bob").value) == 1


def test_a_check_has_the_tags_that_its_service_had_when_it_was_written() -> None:
    lab = Lab()
    own, whole = Check("c", "c", "passing", service_id="s"), Check("n", "n", "passing")
    lab.do(CatalogPut("bob", details(), Service("s", "web", tags=("old",)), (own, whole)))
    lab.do(CatalogPut("bob", service=Service("s", "web", tags=("new",))))
    lab.do(CheckUpdate("bob", "c", "critical", ""))
    assert check_row(lab, "c").service_tags == ("old",)
    assert check_row(lab, "n").service_tags is None
    index = lab.machine.index
    lab.do(CatalogPut("bob", checks=(msgspec.structs.replace(own, status="critical"),)))
    assert check_row(lab, "c").service_tags == ("new",)
    assert lab.machine.index == index + 1
    lab.do(CatalogPut("bob", checks=(msgspec.structs.replace(own, status="critical"),)))
    assert lab.machine.index == index + 1


def test_the_rows_of_older_commands_have_the_bytes_that_they_had() -> None:
    lab = Lab()
    plain = Service("w1", "web", tags=("t",), port=80)
    check = Check("c", "c", "passing", "n", "o", "w1", "ttl")
    assert lab.do(CatalogRegister("bob", details(), plain, (check,))) is True
    index = lab.machine.index
    fields: list[Any] = ["w1", "web", "", ["t"], "", 80, {}, "", {}, [1, 1], False]
    expected = msgspec.msgpack.encode([2, "bob", fields, index, index])
    assert stored_instance(lab.read.rows, "bob", "w1") == expected
    row = ["bob", "c", "c", "passing", "n", "o", "w1", "web", "ttl", index, index]
    assert lab.read.rows.get(CHECKS, check_key("bob", "c")) == msgspec.msgpack.encode(row)


def test_the_bytes_of_whole_rows() -> None:
    """Golden: they are in directories and snapshots."""
    row = CheckRow("n", "c", "C", "passing", "", "", "s", "S", "http", 3, 4, ("t",), "10s", "1s", 7,
                   Definition(1, http="x"))  # fmt: skip
    assert encode_check(row).hex() == (
        "dc0010a16ea163a143a770617373696e67a0a0a173a153a4687474700304"
        "91a174a3313073a2317307dc001901000000a178a0c280a0a0c2a0c2a0a0c2a00090a0a0a0c2a0a0"
    )
    assert encode_instance(InstanceRow("n", WHOLE, 3, 4)).hex() == (
        "9502a16e9fa27731a3776562ad636f6e6e6563742d70726f787991a174a831302e302e302e395081a36c616e92"
        "a831302e302e302e3950a22f7381a16da176920203c3c41f7b2244657374696e6174696f6e53657276696365"
        "4e616d65223a226462227dc39293a46d61696e50c393a561646d696e51c292a172a17a0304"
    )


texts = st.text(max_size=3)
checks = st.builds(
    CheckRow,
    *[texts] * 9,
    st.integers(0, 9),
    st.integers(0, 9),
    st.none() | st.lists(texts, max_size=2).map(tuple),
    texts,
    texts,
    st.integers(0, 2),
    st.sampled_from([NO_DEFINITION, DEFINITION, Definition(alias_service="z")]),
)
services = st.builds(
    Service,
    texts,
    texts,
    tags=st.lists(texts, max_size=2).map(tuple),
    enable_tag_override=st.booleans(),
    proxy=st.binary(max_size=2),
    is_native=st.booleans(),
    ports=st.sampled_from([(), (Port("a", 1),)]),
    locality=st.sampled_from([(), ("r", "")]),
)


@given(checks)
def test_every_check_is_read_as_it_was_written(row: CheckRow) -> None:
    data = encode_check(row)
    assert decode_check(data) == row
    assert decode_check(encode_row(row)) == row
    later = [*msgspec.msgpack.decode(encode_row(row)), "later"]
    assert decode_check(msgspec.msgpack.encode(later)) == row


@given(services)
def test_every_instance_is_read_as_it_was_written(service: Service) -> None:
    row = InstanceRow("n", service, 1, 2)
    data = encode_instance(row)
    assert decode_instance(data) == decode_instance(encode_row(row)) == row
    length = len(msgspec.msgpack.decode(data)[2])
    is_plain = service == Service(*msgspec.structs.astuple(service)[:SERVICE_FIELDS])
    assert (length == SERVICE_FIELDS) is is_plain


def test_a_snapshot_holds_every_field() -> None:
    lab, other = Lab(), Lab(with_node=False)
    own = Check("c", "c", "passing", "n", "o", "w1", "http", "10s", "1s", 5, DEFINITION)
    lab.do(CatalogPut("bob", details(), WHOLE, (own,)))
    for command in restore_commands(lab.domains, snapshot_of(lab), "r"):
        assert other.do(command) is not False
    for each in (lab, other):
        (instance,) = each.read.services_of_name("web").value
        assert instance.service == WHOLE
        row = check_row(each, "c")
        found = (row.interval, row.timeout, row.exposed_port, row.definition, row.service_tags)
        assert found == ("10s", "1s", 5, DEFINITION, ("t",))
