"""Transactions on the catalog: all or nothing, with keys and sessions, one index."""

from typing import Any

import msgspec
import pytest

from quorate.base.txn import TxnOp, TxnOpFailure, TxnResult, TxnRow
from quorate.catalog.commands import CatalogPut
from quorate.catalog.fields import PASSING, SERF_HEALTH, Check, NodeFields, Service
from quorate.catalog.operations import CheckOp, NodeOp, ServiceOp
from quorate.domains import DOMAINS
from quorate.machine.commands import TxnMixed
from quorate.machine.derived import differences
from quorate.machine.txn import mixed, operations_of
from tests.unit.machine.lab import Lab


def fields(address: str = "10.0.0.7", id_: str = "") -> NodeFields:
    return NodeFields(id_, address, "dc1", {}, {"m": "v"})


def node(verb: str, index: int = 0, name: str = "bob", **more: str) -> NodeOp:
    return NodeOp(verb, name, fields(**more), index)


def service(verb: str, index: int = 0, name: str = "web", node: str = "bob") -> ServiceOp:
    return ServiceOp(verb, node, Service("w1", name, tags=("t",)), index)


def check(verb: str, index: int = 0, of: str = "w1", status: str = PASSING) -> CheckOp:
    return CheckOp(verb, "bob", Check("c1", "c1", status, service_id=of), index)


def key(verb: str, value: bytes = b"1") -> TxnOp:
    return TxnOp(verb, b"k", value)


def done(lab: Lab, *ops: Any) -> TxnResult:
    result: TxnResult = lab.do(mixed(DOMAINS, ops))
    return result


def faults(lab: Lab, *ops: Any) -> list[str]:
    return [fault.what for fault in done(lab, *ops).faults]


def test_operations_of_all_types_share_one_index() -> None:
    lab = Lab()
    lab.add_shadow()
    before = lab.machine.index
    result = done(lab, node("set"), service("set"), check("set"), key("set"))
    assert [item.kind for item in result.items if isinstance(item, TxnRow)] == [
        "Node",
        "Service",
        "Check",
    ]
    assert lab.machine.index == before + 1
    (instance,) = lab.read.services_of_name("web").value
    assert [one.row for one in result.items[:3] if isinstance(one, TxnRow)] == [
        instance.node,
        instance.row,
        *instance.checks,
    ]
    assert instance.checks[0].service_tags == ("t",)
    assert differences(DOMAINS, lab.tables) == []


def test_a_transaction_that_fails_leaves_rows_indexes_and_sessions_as_they_were() -> None:
    lab = Lab()
    lab.add_shadow()
    lab.do(CatalogPut("bob", fields(id_="b"), is_member=True))
    lab.do(CatalogPut("bob", service=Service("w1", "web"), checks=(check("set").check,)))
    session = lab.session("s", node="bob", checks=(SERF_HEALTH, "c1"))
    rows, index = dict(lab.tables.hold().range(b"")), lab.machine.index
    for ops in [
        (check("set", status="critical"), key("get")),
        (service("delete"), key("get")),
        (node("delete"), service("set", node="nobody")),
        (node("set", name="carl", id_="b"), key("check-index")),
        (check("delete"), node("set"), service("set", name="shop"), check("get")),
    ]:
        assert done(lab, *ops).faults
        kept = dict(lab.tables.hold().range(b""))
        changed = {full for full in kept.keys() | rows.keys() if kept.get(full) != rows.get(full)}
        assert all(full.startswith(b"\0") for full in changed), "the machine's own rows"
        assert lab.machine.index == index
        assert lab.read.session_get(session).value is not None
        assert differences(DOMAINS, lab.tables) == []


def test_a_check_that_turns_critical_ends_its_sessions() -> None:
    lab = Lab()
    done(lab, node("set"), check("set", of=""))
    session = lab.session("s", node="bob", checks=("c1",))
    done(lab, check("set", of="", status="critical"))
    assert lab.read.session_get(session).value is None


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (node, 'node "bob"'),
        (service, 'service "w1" on node "bob"'),
        (check, 'check "c1" on node "bob"'),
    ],
)
def test_the_index_decides_about_cas_and_delete_cas(make: Any, what: str) -> None:
    lab = Lab()
    assert faults(lab, make("get")) == [f"{what} doesn't exist"]
    assert faults(lab, make("delete-cas", 7)) == []
    if make is not node:
        assert faults(lab, make("set")) == ["Missing node registration"]
        done(lab, node("set"))
    if make is check:
        assert faults(lab, make("set")) == ["Missing service registration"]
        done(lab, service("set"))
    assert faults(lab, make("cas", 5)) == [f"failed to set {what}, index is stale"]
    (made,) = done(lab, make("cas", 0)).items
    assert isinstance(made, TxnRow)
    index = made.row.modify_index
    assert faults(lab, make("cas", 0)) == [f"failed to set {what}, index is stale"]
    assert faults(lab, make("delete-cas", index + 1)) == [
        f"failed to delete {what}, index is stale"
    ]
    (same,) = done(lab, make("cas", index)).items
    assert same == made, "nothing changed"
    assert done(lab, make("delete-cas", index)).faults == ()
    assert faults(lab, make("get"), make("frob"))[0] == f"{what} doesn't exist"
    assert faults(lab, make("delete")) == []


def test_every_operation_that_fails_is_listed() -> None:
    result = done(Lab(), node("frob"), service("set"), key("nope"), check("get"))
    assert result.faults == (
        TxnOpFailure(0, "unknown node operation: frob"),
        TxnOpFailure(1, "Missing node registration"),
        TxnOpFailure(2, "unknown KV operation: nope"),
        TxnOpFailure(3, 'check "c1" on node "bob" doesn\'t exist'),
    )


def test_the_name_of_a_live_member_is_not_taken() -> None:
    lab = Lab()
    lab.do(CatalogPut("bob", fields(id_="b"), is_member=True))
    (fault,) = faults(lab, node("set", id_="other"))
    assert fault.startswith("failed inserting node: Node name bob is reserved by node b")


def test_results_are_limited() -> None:
    lab = Lab()
    text = "x" * 200_000
    op = CheckOp("set", "bob", Check("c1", "", PASSING, output=text))
    assert done(lab, node("set"), op).faults == ()
    result = done(lab, *[check("get")] * 90)
    assert "must not exceed 16777216 bytes" in result.faults[0].what


def test_what_is_no_operation_fails_alone() -> None:
    lab = Lab()
    lab.add_shadow()
    (whole,) = mixed(DOMAINS, [node("set")]).ops
    for number, data in [(2, b""), (2, b"\x93\x01\x02\x03"), (9, whole[1]), (3, whole[1])]:
        result: TxnResult = lab.do(TxnMixed((whole, (number, data))))
        assert [fault.op_index for fault in result.faults] == [1]
    assert [row.name for row in lab.read.nodes().value] == ["Ann"]


def test_the_bytes_of_the_command() -> None:
    """Golden: they are in logs."""
    ops = [node("set"), service("get"), check("cas", 5), key("set")]
    command = mixed(DOMAINS, ops)
    assert operations_of(DOMAINS, command) == ops
    assert [number for number, _ in command.ops] == [2, 3, 4, 1]
    assert msgspec.msgpack.encode(TxnMixed(command.ops[:1])).hex() == (
        "922a919202c41f94a3736574a3626f6295a0a831302e302e302e37a36463318081a16da17600"
    )
