"""Model of the catalog for the simulator: see `kv.model`. Names are lower-cased throughout."""

from typing import NamedTuple, cast

from quorate.base.answers import Reading
from quorate.base.command import Command
from quorate.base.domain import Model, Query, Simulation
from quorate.base.facts import CheckStatus, CheckStatusChanged, IsNodeKnown, NodeLeaving
from quorate.base.outcomes import Failure
from quorate.base.ports import Rng
from quorate.catalog.commands import (
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.catalog.queries import each_instance, each_node, each_service_of_node
from quorate.catalog.tables import ServiceRow


class NodeSeen(NamedTuple):
    """A node as a client sees it; `meta` holds its addresses too."""

    name: str
    id: str
    address: str
    meta: tuple[tuple[str, str], ...]
    create: int
    modify: int


class ServiceSeen(NamedTuple):
    """An instance of a service as a client sees it; `node` as it was written at that time."""

    name: str
    node: str
    id: str
    definition: bytes
    create: int
    modify: int


class CheckSeen(NamedTuple):
    """The check `serfHealth` of a node as a client sees it."""

    status: str
    create: int
    modify: int


Copy = tuple[dict[str, NodeSeen], dict[str, CheckSeen], dict[tuple[str, str], ServiceSeen]]


class Nodes:
    """All nodes, the check `serfHealth` of each, and what they host.

    Attributes:
        nodes: By name.
        health: By the name of the node.
        services: By the name of the node and the id of the instance.
    """

    def __init__(self, _: Model) -> None:
        self.nodes: dict[str, NodeSeen] = {}
        self.health: dict[str, CheckSeen] = {}
        self.services: dict[tuple[str, str], ServiceSeen] = {}

    def remove(self, name: str) -> None:
        """A node goes, with all that it has."""
        del self.nodes[name]
        self.health.pop(name, None)
        self.services = {place: row for place, row in self.services.items() if place[0] != name}

    def copied(self) -> Copy:
        """As it is now."""
        return dict(self.nodes), dict(self.health), dict(self.services)

    def put_back(self, copy: Copy) -> None:
        """As it was when that copy was made."""
        nodes, health, services = copy
        self.nodes, self.health, self.services = dict(nodes), dict(health), dict(services)


def nodes_of(model: Model) -> Nodes:
    """The state of this domain."""
    return cast(Nodes, model.own["catalog"])


# --- commands ---------------------------------------------------------------------------------


def _drop_node(model: Model, name: str) -> None:
    mine = nodes_of(model)
    model.tell(NodeLeaving(name))
    if name in mine.nodes:
        model.take()
        mine.remove(name)


def _register(model: Model, command: NodeRegister) -> bool | Failure:
    mine, name = nodes_of(model), command.name.lower()
    holder = mine.nodes.get(name)
    if holder is not None and holder.id != command.id and holder.id:
        check = mine.health.get(name)
        if check is not None and check.status != "critical":
            return Failure(
                "already_exists",
                f"Node name {command.name} is reserved by node {holder.id} "
                f"with name {holder.name} ({holder.address})",
            )
        _drop_node(model, name)
    if command.id:
        twins = [n for n, row in mine.nodes.items() if row.id == command.id and n != name]
        for other in sorted(twins):
            _drop_node(model, other)
    meta = (*sorted(command.tagged_addresses.items()), *sorted(command.meta.items()))
    old = mine.nodes.get(name)
    told = (command.name, command.id, command.address, meta)
    if old is None or old[:4] != told:
        index = model.take()
        mine.nodes[name] = NodeSeen(*told, index if old is None else old.create, index)
    if name not in mine.health:
        index = model.take()
        mine.health[name] = CheckSeen("passing", index, index)
    if command.service:
        _serve(model, ServiceRegister(command.name, "consul", "consul", command.service))
    return True


def _health(model: Model, command: NodeHealth) -> bool:
    mine, name = nodes_of(model), command.name.lower()
    if name not in mine.nodes:
        return False
    old = mine.health.get(name)
    if old is None or old.status != command.status:
        index = model.take()
        mine.health[name] = CheckSeen(command.status, old.create if old else index, index)
    model.tell(CheckStatusChanged(name, "serfHealth", command.status))
    return True


def _deregister(model: Model, command: NodeDeregister) -> bool:
    _drop_node(model, command.name.lower())
    return True


def _serve(model: Model, command: ServiceRegister) -> bool | Failure:
    mine, place = nodes_of(model), (command.node.lower(), command.id)
    node, old = mine.nodes.get(place[0]), mine.services.get(place)
    if node is None:
        return Failure("precondition", "Missing node registration")
    if old is not None and (old.name, old.definition) == (command.name, command.definition):
        return True
    index = model.take()
    is_same = old is not None and old.name.lower() == command.name.lower()
    created = old.create if old is not None and is_same else index
    mine.services[place] = ServiceSeen(
        command.name, node.name, command.id, command.definition, created, index
    )
    return True


def _serve_no_more(model: Model, command: ServiceDeregister) -> bool:
    place = (command.node.lower(), command.id)
    if nodes_of(model).services.pop(place, None) is None:
        return False
    model.take()
    return True


# --- questions, snapshots of users ------------------------------------------------------------


def _is_known(model: Model, question: IsNodeKnown) -> bool:
    return question.name.lower() in nodes_of(model).nodes


def _status(model: Model, question: CheckStatus) -> str | None:
    check = nodes_of(model).health.get(question.node.lower())
    return check.status if check is not None and question.check == "serfHealth" else None


def _save(model: Model) -> Copy:
    return nodes_of(model).copied()


def _restore(model: Model, saved: Copy) -> None:
    nodes_of(model).put_back(saved)


# --- what clients read ------------------------------------------------------------------------


def _copy(model: Model, slot: int) -> Copy:
    return model.copies[slot]["catalog"] if slot else ({}, {}, {})


def _see_nodes(reading: Reading, _: bytes) -> tuple[NodeSeen, ...]:
    return tuple(
        NodeSeen(
            row.name,
            row.id,
            row.address,
            (*sorted(row.tagged_addresses.items()), *sorted(row.meta.items())),
            row.create_index,
            row.modify_index,
        )
        for row in each_node(reading).value
    )


def _expect_nodes(model: Model, slot: int, _: bytes) -> tuple[NodeSeen, ...]:
    return tuple(row for _, row in sorted(_copy(model, slot)[0].items()))


Instances = tuple[tuple[ServiceSeen, NodeSeen, tuple[CheckSeen, ...]], ...]


def _see_instances(reading: Reading, service: bytes) -> Instances:
    by_name = {row.name: row for row in _see_nodes(reading, b"")}
    return tuple(
        (
            _service(one.service),
            by_name[one.node.name],
            tuple(CheckSeen(c.status, c.create_index, c.modify_index) for c in one.checks),
        )
        for one in each_instance(reading, service.decode()).value
    )


def _expect_instances(model: Model, slot: int, service: bytes) -> Instances:
    nodes, health, services = _copy(model, slot)
    name = service.decode().lower()
    return tuple(
        (row, nodes[node], (health[node],))
        for (node, _), row in sorted(services.items())
        if row.name.lower() == name
    )


def _see_hosted(reading: Reading, node: bytes) -> tuple[ServiceSeen, ...]:
    return tuple(map(_service, each_service_of_node(reading, node.decode()).value))


def _expect_hosted(model: Model, slot: int, node: bytes) -> tuple[ServiceSeen, ...]:
    name = node.decode().lower()
    services = sorted(_copy(model, slot)[2].items())
    return tuple(row for (host, _), row in services if host == name)


def _service(row: ServiceRow) -> ServiceSeen:
    return ServiceSeen(
        row.name, row.node, row.id, row.definition, row.create_index, row.modify_index
    )


# --- what clients do --------------------------------------------------------------------------

_NODES, _SERVICES = ("x0", "X0", "x1", "x2"), ("web", "Web", "db")
"""Names of nodes that no server has, and of services: few, so that they meet."""


def _one_of(chance: Rng, choices: tuple[str, ...]) -> str:
    return choices[chance.randrange(len(choices))]


def _act_node(chance: Rng, text: str) -> Command:
    id_ = _one_of(chance, ("", "id0", "id0", "id1"))
    address = _one_of(chance, ("10.1.0.1", "10.1.0.2"))
    return NodeRegister(id_, _one_of(chance, _NODES), address, "dc1", {}, {"by": text})


def _act_leave(chance: Rng, _: str) -> Command:
    return NodeDeregister(_one_of(chance, _NODES))


def _act_health(chance: Rng, _: str) -> Command:
    return NodeHealth(_one_of(chance, _NODES), _one_of(chance, ("passing", "critical")))


def _act_service(chance: Rng, text: str) -> Command:
    definition = text.encode() if chance.randrange(2) else b"{}"
    id_ = _one_of(chance, ("s0", "s1"))
    return ServiceRegister(_one_of(chance, _NODES), id_, _one_of(chance, _SERVICES), definition)


def _act_service_leave(chance: Rng, _: str) -> Command:
    return ServiceDeregister(_one_of(chance, _NODES), _one_of(chance, ("s0", "s1")))


SIMULATION = Simulation(
    state=Nodes,
    model={
        NodeRegister: _register,
        NodeHealth: _health,
        NodeDeregister: _deregister,
        ServiceRegister: _serve,
        ServiceDeregister: _serve_no_more,
        IsNodeKnown: _is_known,
        CheckStatus: _status,
    },
    acts={
        "node": _act_node,
        "node leaves": _act_leave,
        "check": _act_health,
        "service": _act_service,
        "service leaves": _act_service_leave,
    },
    queries={
        "nodes": Query(_see_nodes, _expect_nodes, lambda _: b""),
        "instances": Query(
            _see_instances,
            _expect_instances,
            lambda chance: _one_of(chance, (*_SERVICES, "consul")).encode(),
        ),
        "hosted": Query(
            _see_hosted, _expect_hosted, lambda chance: _one_of(chance, _NODES).encode()
        ),
    },
    save=_save,
    restore=_restore,
)
