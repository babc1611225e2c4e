"""What clients of the simulator do to the catalog and read of it."""

from typing import Any

from quorate.base.command import Command
from quorate.base.domain import SimulatedRead, Simulation
from quorate.base.facts import CheckStatus, IsNodeKnown
from quorate.base.ports import Rng
from quorate.catalog.commands import (
    CatalogPut,
    CatalogRegister,
    CheckDeregister,
    CheckOutput,
    CheckUpdate,
    NodeDeregister,
    ServiceDeregister,
)
from quorate.catalog.fields import (
    NO_DEFINITION,
    Check,
    Definition,
    NodeFields,
    Port,
    Service,
)
from quorate.catalog.model import (
    Nodes,
    deregister,
    drop_check,
    expect_checks,
    expect_hosted,
    expect_instances,
    expect_nodes,
    expect_service_checks,
    is_known,
    output,
    put,
    register,
    restore,
    save,
    see_checks,
    see_hosted,
    see_instances,
    see_nodes,
    see_service_checks,
    serve_no_more,
    status,
    update,
)
from quorate.catalog.modelreads import without_outputs
from quorate.catalog.modeltxn import on_check_op, on_node_op, on_service_op
from quorate.catalog.operations import CheckOp, NodeOp, ServiceOp
from quorate.catalog.queries import (
    ANY_STATE,
    each_check_in_state,
    each_check_of_service,
    each_instance,
    each_node,
    each_service_of_node,
)

_NODES, _SERVICES = ("x0", "X0", "x1", "x2"), ("web", "Web", "db")
"""Names of nodes that are no servers, and of services: few, so that commands collide."""

_STATUSES, _CHECKS = ("passing", "warning", "critical"), ("c0", "c1", "serfHealth")


def _one_of(chance: Rng, choices: tuple[str, ...]) -> str:
    return choices[chance.randrange(len(choices))]


def _act_node(chance: Rng, text: str) -> Command:
    id_ = _one_of(chance, ("", "id0", "id0", "id1"))
    node = NodeFields(id_, _one_of(chance, ("10.1.0.1", "10.1.0.2")), "dc1", {}, {"by": text})
    is_member = chance.random() < 0.5
    keeps_node = chance.random() < 0.2
    return CatalogPut(_one_of(chance, _NODES), node, is_member=is_member, keeps_node=keeps_node)


def _act_leave(chance: Rng, _: str) -> Command:
    return NodeDeregister(_one_of(chance, _NODES))


def _act_check(chance: Rng, text: str) -> Command:
    node, check = _one_of(chance, _NODES), _one_of(chance, _CHECKS)
    kind = chance.random()
    if kind < 0.1:
        return CheckDeregister(node, check)
    status, output = _one_of(chance, _STATUSES), text if chance.randrange(2) else ""
    if kind < 0.2:
        return CheckOutput(node, check, output)
    return CheckUpdate(node, check, status, output)


def _act_service(chance: Rng, text: str) -> Command:
    node, id_ = _one_of(chance, _NODES), _one_of(chance, ("s0", "s1"))
    tags = (text,) if chance.randrange(2) else ()
    checks = tuple(
        Check(
            f"c{place}",
            text,
            _one_of(chance, _STATUSES),
            service_id=_one_of(chance, (id_, "")),
            interval=_one_of(chance, ("", "10s")),
            exposed_port=chance.randrange(2),
            definition=Definition(http="http://x") if chance.randrange(2) else NO_DEFINITION,
        )
        for place in range(chance.randrange(3))
    )
    said = Service(
        id_,
        _one_of(chance, _SERVICES),
        tags=tags,
        is_native=chance.random() < 0.2,
        ports=(Port("main", 1, is_default=True),) if chance.random() < 0.2 else (),
    )
    details = NodeFields("", "10.1.0.3", "dc1", {}, {}) if chance.random() < 0.2 else None
    if chance.random() < 0.1:
        return CatalogRegister(node, details, said, checks)  # logs may hold it
    return CatalogPut(node, details, said, checks, keeps_node=chance.random() < 0.2)


def _act_service_leave(chance: Rng, _: str) -> Command:
    return ServiceDeregister(_one_of(chance, _NODES), _one_of(chance, ("s0", "s1")))


_VERBS = ("set", "set", "cas", "get", "delete", "delete-cas", "frob")


def _draw_operation(chance: Rng, text: str, index: int) -> Any:
    verb, node = _one_of(chance, _VERBS), _one_of(chance, _NODES)
    kind = chance.randrange(3)
    if kind == 0:
        id_ = _one_of(chance, ("", "", "id0", "id1"))
        return NodeOp(verb, node, NodeFields(id_, "10.1.0.4", "dc1", {}, {"by": text}), index)
    service = _one_of(chance, ("s0", "s1"))
    if kind == 1:
        said = Service(service, _one_of(chance, (*_SERVICES, "")), tags=(text,))
        return ServiceOp(verb, node, said, index)
    of = _one_of(chance, (service, ""))
    check = Check(_one_of(chance, _CHECKS), text, _one_of(chance, _STATUSES), service_id=of)
    return CheckOp(verb, node, check, index)


SIMULATION = Simulation(
    state=Nodes,
    model={
        CatalogPut: put,
        CatalogRegister: register,
        CheckUpdate: update,
        CheckOutput: output,
        CheckDeregister: drop_check,
        NodeDeregister: deregister,
        ServiceDeregister: serve_no_more,
        IsNodeKnown: is_known,
        CheckStatus: status,
        NodeOp: on_node_op,
        ServiceOp: on_service_op,
        CheckOp: on_check_op,
    },
    operations=(_draw_operation,),
    acts={
        "node": _act_node,
        "node leaves": _act_leave,
        "check": _act_check,
        "service": _act_service,
        "service leaves": _act_service_leave,
    },
    queries={
        "nodes": SimulatedRead(
            see_nodes, expect_nodes, lambda _: b"", lambda reading, _: each_node(reading)
        ),
        "instances": SimulatedRead(
            see_instances,
            expect_instances,
            lambda chance: _one_of(chance, (*_SERVICES, "consul")).encode(),
            lambda reading, service: each_instance(reading, service.decode()),
            without_outputs,
        ),
        "checks": SimulatedRead(
            see_checks,
            expect_checks,
            lambda chance: _one_of(chance, (*_STATUSES, ANY_STATE)).encode(),
            lambda reading, status: each_check_in_state(reading, status.decode()),
            without_outputs,
        ),
        "checks of a service": SimulatedRead(
            see_service_checks,
            expect_service_checks,
            lambda chance: _one_of(chance, _SERVICES).encode(),
            lambda reading, service: each_check_of_service(reading, service.decode()),
            without_outputs,
        ),
        "hosted": SimulatedRead(
            see_hosted,
            expect_hosted,
            lambda chance: _one_of(chance, _NODES).encode(),
            lambda reading, node: each_service_of_node(reading, node.decode()),
            without_outputs,
        ),
    },
    save=save,
    restore=restore,
)
