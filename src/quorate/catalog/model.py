"""Model of the catalog for the simulator: see `kv.model`. Names are lower-cased throughout."""

from typing import cast

from quorate.base.domain import Model, Simulation
from quorate.base.facts import CheckStatus, CheckStatusChanged, IsNodeKnown, NodeLeaving
from quorate.base.outcomes import Failure
from quorate.catalog.commands import NodeDeregister, NodeHealth, NodeRegister


class Nodes:
    """All nodes, and the status of the check `serfHealth` of each."""

    def __init__(self, _: Model) -> None:
        self.nodes: dict[str, NodeRegister] = {}
        self.health: dict[str, str] = {}


def nodes_of(model: Model) -> Nodes:
    """The state of this domain."""
    return cast(Nodes, model.own["catalog"])


def _drop_node(model: Model, name: str) -> None:
    model.tell(NodeLeaving(name))
    if nodes_of(model).nodes.pop(name, None) is not None:
        model.take()
        nodes_of(model).health.pop(name, None)


def _register(model: Model, command: NodeRegister) -> bool | Failure:
    mine, name = nodes_of(model), command.name.lower()
    holder = mine.nodes.get(name)
    if holder is not None and holder.id != command.id and holder.id:
        if mine.health.get(name, "critical") != "critical":
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
    if mine.nodes.get(name) != command:
        model.take()
        mine.nodes[name] = command
    if name not in mine.health:
        model.take()
        mine.health[name] = "passing"
    return True


def _health(model: Model, command: NodeHealth) -> bool:
    name = command.name.lower()
    if name not in nodes_of(model).nodes:
        return False
    if nodes_of(model).health.get(name) != command.status:
        model.take()
        nodes_of(model).health[name] = command.status
    model.tell(CheckStatusChanged(name, "serfHealth", command.status))
    return True


def _deregister(model: Model, command: NodeDeregister) -> bool:
    _drop_node(model, command.name.lower())
    return True


def _is_known(model: Model, question: IsNodeKnown) -> bool:
    return question.name in nodes_of(model).nodes


def _status(model: Model, question: CheckStatus) -> str | None:
    return nodes_of(model).health.get(question.node) if question.check == "serfHealth" else None


SIMULATION = Simulation(
    state=Nodes,
    model={
        NodeRegister: _register,
        NodeHealth: _health,
        NodeDeregister: _deregister,
        IsNodeKnown: _is_known,
        CheckStatus: _status,
    },
)
