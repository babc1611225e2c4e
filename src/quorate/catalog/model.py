"""Model of the catalog for the simulator: see `kv.model`. Names are lower-cased throughout."""

from typing import NamedTuple, cast

from msgspec.structs import replace

from quorate.base.domain import Model
from quorate.base.facts import (
    CheckRemoved,
    CheckStatus,
    CheckStatusChanged,
    IsNodeKnown,
    NodeLeaving,
)
from quorate.base.outcomes import Failure
from quorate.base.results import StateView
from quorate.catalog.commands import (
    CatalogPut,
    CatalogRegister,
    CheckDeregister,
    CheckOutput,
    CheckUpdate,
    NodeDeregister,
    ServiceDeregister,
)
from quorate.catalog.fields import Check, NodeFields, Service
from quorate.catalog.queries import (
    ANY_STATE,
    each_check,
    each_check_in_state,
    each_check_of_service,
    each_instance,
    each_node,
    each_service_of_node,
)
from quorate.catalog.tables import CheckRow, InstanceRow, NodeRow


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

    node: str
    said: Service
    create: int
    modify: int


class CheckSeen(NamedTuple):
    """A check as a client sees it; `node` as it was written at that time."""

    node: str
    said: Check
    service: str
    tags: tuple[str, ...] | None
    create: int
    modify: int


Place = tuple[str, str]
"""The name of a node, and the id of what is on it."""

Copy = tuple[dict[str, NodeSeen], dict[Place, CheckSeen], dict[Place, ServiceSeen]]


class Nodes:
    """All nodes, what they host, and the checks of both.

    Attributes:
        nodes: By name.
        checks, services: By the name of the node and their id.
    """

    def __init__(self, _: Model) -> None:
        self.nodes: dict[str, NodeSeen] = {}
        self.checks: dict[Place, CheckSeen] = {}
        self.services: dict[Place, ServiceSeen] = {}

    def remove(self, name: str) -> None:
        """Remove a node with its services and checks."""
        del self.nodes[name]
        self.checks = {place: row for place, row in self.checks.items() if place[0] != name}
        self.services = {place: row for place, row in self.services.items() if place[0] != name}

    def copied(self) -> Copy:
        """As it is now."""
        return dict(self.nodes), dict(self.checks), dict(self.services)

    def put_back(self, copy: Copy) -> None:
        """Put back the state of that copy."""
        nodes, checks, services = copy
        self.nodes, self.checks, self.services = dict(nodes), dict(checks), dict(services)


def nodes_of(model: Model) -> Nodes:
    """The state of this domain."""
    return cast(Nodes, model.own["catalog"])


# --- commands ---------------------------------------------------------------------------------


def drop_node(model: Model, name: str) -> None:
    """Remove a node, if it is known."""
    mine = nodes_of(model)
    model.tell(NodeLeaving(name))
    if name in mine.nodes:
        model.take()
        mine.remove(name)


def put(model: Model, command: CatalogPut) -> bool | Failure:
    """`CatalogPut`."""
    is_kept = command.keeps_node and command.node.lower() in nodes_of(model).nodes
    return _apply(model, command, None if is_kept else command.details, has_tags=True)


def register(model: Model, command: CatalogRegister) -> bool | Failure:
    """`CatalogRegister`."""
    return _apply(model, command, command.details, has_tags=False)


def _apply(
    model: Model,
    command: CatalogPut | CatalogRegister,
    details: NodeFields | None,
    *,
    has_tags: bool,
) -> bool | Failure:
    mine, name = nodes_of(model), command.node.lower()
    failure = _refused(mine, name, command, details)
    if failure is not None:
        return failure
    if details is not None:
        name_node(model, name, command.node, details)
    shown = mine.nodes[name].name
    if command.is_member and (name, "serfHealth") not in mine.checks:
        text = "Agent alive and reachable"
        put_check(model, shown, Check("serfHealth", "Serf Health Status", "passing", output=text))
    if command.service is not None:
        serve(model, shown, command.service)
    for check in command.checks:
        put_check(model, shown, check, has_tags=has_tags)
    return True


def _refused(
    mine: Nodes, name: str, command: CatalogPut | CatalogRegister, details: NodeFields | None
) -> Failure | None:
    holder = mine.nodes.get(name)
    if holder is None and details is None:
        return Failure("precondition", "Missing node registration")
    known = {id_ for node, id_ in mine.services if node == name}
    if holder is not None and details is not None and details.id and holder.id:
        is_taken = holder.id != details.id
        check = mine.checks.get((name, "serfHealth"))
        if is_taken and check is not None and check.said.status != "critical":
            return Failure(
                "already_exists",
                f"Node name {command.node} is reserved by node {holder.id} "
                f"with name {holder.name} ({holder.address})",
            )
        known = set[str]() if is_taken else known
    if command.service is not None:
        known.add(command.service.id)
    if any(check.service_id and check.service_id not in known for check in command.checks):
        return Failure("precondition", "Missing service registration")
    return None


def name_node(model: Model, name: str, shown: str, details: NodeFields) -> None:
    """Write a node."""
    mine = nodes_of(model)
    holder = mine.nodes.get(name)
    node = details.id or (holder.id if holder is not None else "")
    if holder is not None and holder.id not in ("", node):
        drop_node(model, name)
    namesakes = [other for other, each in mine.nodes.items() if each.id == node != ""]
    for other in sorted(namesakes):
        if other != name:
            drop_node(model, other)
    meta = (*sorted(details.tagged_addresses.items()), *sorted(details.meta.items()))
    now, old = (shown, node, details.address, meta), mine.nodes.get(name)
    if old is None or old[:4] != now:
        index = model.take()
        mine.nodes[name] = NodeSeen(*now, index if old is None else old.create, index)


def serve(model: Model, node: str, said: Service) -> None:
    """Write an instance."""
    mine, place = nodes_of(model), (node.lower(), said.id)
    old = mine.services.get(place)
    if old is not None and old.said == said:
        return
    index = model.take()
    is_renamed = old is not None and old.said.name.lower() != said.name.lower()
    created = index if old is None or is_renamed else old.create
    mine.services[place] = ServiceSeen(node, said, created, index)
    for key, check in mine.checks.items() if is_renamed else ():
        if key[0] == place[0] and check.said.service_id == said.id:
            mine.checks[key] = check._replace(service=said.name, modify=index)


def put_check(model: Model, node: str, said: Check, *, has_tags: bool = False) -> None:
    """Write a check."""
    mine, place = nodes_of(model), (node.lower(), said.id)
    old, service = mine.checks.get(place), mine.services.get((node.lower(), said.service_id))
    name = service.said.name if service is not None and said.service_id else ""
    tags = service.said.tags if service is not None and said.service_id and has_tags else None
    now = (node, said, name, tags)
    if old is None or old[:4] != now:
        index = model.take()
        mine.checks[place] = CheckSeen(*now, old.create if old else index, index)
    if old is None or old.said.status != said.status:
        model.tell(CheckStatusChanged(node.lower(), said.id, said.status))


def update(model: Model, command: CheckUpdate) -> bool:
    """`CheckUpdate`."""
    mine, name = nodes_of(model), command.node.lower()
    old, node = mine.checks.get((name, command.check)), mine.nodes.get(name)
    if old is None and node is not None and command.check == "serfHealth":
        said = Check("serfHealth", "Serf Health Status", "")
        old = CheckSeen(node.name, said, "", None, 0, 0)
    if old is None:
        return False
    said = old.said
    after = replace(said, status=command.status, output=command.output)
    if after != said:
        index = model.take()
        row = old._replace(said=after, create=old.create or index, modify=index)
        mine.checks[name, said.id] = row
    if after.status != said.status:
        model.tell(CheckStatusChanged(name, said.id, after.status))
    return True


def output(model: Model, command: CheckOutput) -> bool:
    """`CheckOutput`."""
    mine, place = nodes_of(model), (command.node.lower(), command.check)
    old = mine.checks.get(place)
    if old is None:
        return False
    mine.checks[place] = old._replace(said=replace(old.said, output=command.output))
    return True


def drop_check(model: Model, command: CheckDeregister) -> bool:
    """`CheckDeregister`."""
    place = (command.node.lower(), command.check)
    if nodes_of(model).checks.pop(place, None) is None:
        return False
    model.take()
    model.tell(CheckRemoved(*place))
    return True


def deregister(model: Model, command: NodeDeregister) -> bool:
    """`NodeDeregister`."""
    drop_node(model, command.name.lower())
    return True


def serve_no_more(model: Model, command: ServiceDeregister) -> bool:
    """`ServiceDeregister`."""
    mine, place = nodes_of(model), (command.node.lower(), command.id)
    if mine.services.pop(place, None) is None:
        return False
    model.take()
    own = [key for key, row in mine.checks.items() if (key[0], row.said.service_id) == place]
    for node, check in sorted(own):
        drop_check(model, CheckDeregister(node, check))
    return True


# --- questions, snapshots of users ------------------------------------------------------------


def is_known(model: Model, question: IsNodeKnown) -> bool:
    """`IsNodeKnown`."""
    return question.name.lower() in nodes_of(model).nodes


def status(model: Model, question: CheckStatus) -> str | None:
    """`CheckStatus`."""
    check = nodes_of(model).checks.get((question.node.lower(), question.check))
    return None if check is None else check.said.status


def save(model: Model) -> Copy:
    """A copy of all."""
    return nodes_of(model).copied()


def restore(model: Model, saved: Copy) -> None:
    """Put a copy back."""
    nodes_of(model).put_back(saved)


# --- what clients read ------------------------------------------------------------------------


def _copy(model: Model, slot: int) -> Copy:
    return model.copies[slot]["catalog"] if slot else ({}, {}, {})


def see_nodes(reading: StateView, _: bytes) -> tuple[NodeSeen, ...]:
    """All nodes, by name."""
    return tuple(map(node_seen, each_node(reading).value))


def node_seen(row: NodeRow) -> NodeSeen:
    """A node as a client sees it."""
    meta = (*sorted(row.tagged_addresses.items()), *sorted(row.meta.items()))
    return NodeSeen(row.name, row.id, row.address, meta, row.create_index, row.modify_index)


def expect_nodes(model: Model, slot: int, _: bytes) -> tuple[NodeSeen, ...]:
    """What `see_nodes` must give."""
    return tuple(row for _, row in sorted(_copy(model, slot)[0].items()))


Hosted = tuple[ServiceSeen | CheckSeen, ...]
Instances = tuple[tuple[ServiceSeen, NodeSeen, tuple[CheckSeen, ...]], ...]


def see_instances(reading: StateView, service: bytes) -> Instances:
    """The instances of a service."""
    by_name = {row.name: row for row in see_nodes(reading, b"")}
    return tuple(
        (service_seen(one.row), by_name[one.node.name], tuple(map(check_seen, one.checks)))
        for one in each_instance(reading, service.decode()).value
    )


def expect_instances(model: Model, slot: int, service: bytes) -> Instances:
    """What `see_instances` must give."""
    nodes, checks, services = _copy(model, slot)
    name = service.decode().lower()
    return tuple(
        (
            row,
            nodes[node],
            tuple(
                check
                for place, check in sorted(checks.items(), key=_by_place)
                if place[0] == node and check.said.service_id in ("", id_)
            ),
        )
        for (node, id_), row in sorted(services.items(), key=_by_place)
        if row.said.name.lower() == name
    )


def _by_place(item: tuple[Place, object]) -> Place:
    return item[0]


def see_hosted(reading: StateView, node: bytes) -> Hosted:
    """What is on a node."""
    name = node.decode()
    services = map(service_seen, each_service_of_node(reading, name).value)
    return (*services, *map(check_seen, each_check(reading, name).value))


def expect_hosted(model: Model, slot: int, node: bytes) -> Hosted:
    """What `see_hosted` must give."""
    _, checks, services = _copy(model, slot)
    name = node.decode().lower()
    return (
        *(row for (host, _), row in sorted(services.items(), key=_by_place) if host == name),
        *(row for (host, _), row in sorted(checks.items(), key=_by_place) if host == name),
    )


def see_checks(reading: StateView, status: bytes) -> tuple[CheckSeen, ...]:
    """The checks with a status, by node and id."""
    return tuple(map(check_seen, each_check_in_state(reading, status.decode()).value))


def expect_checks(model: Model, slot: int, status: bytes) -> tuple[CheckSeen, ...]:
    """What `see_checks` must give."""
    checks, wanted = _copy(model, slot)[1], status.decode()
    found = (row for _, row in sorted(checks.items(), key=_by_place))
    return tuple(row for row in found if wanted in (ANY_STATE, row.said.status))


def see_service_checks(reading: StateView, service: bytes) -> tuple[CheckSeen, ...]:
    """The checks of the instances of a service, in any order."""
    found = map(check_seen, each_check_of_service(reading, service.decode()).value)
    return tuple(sorted(found, key=_node_and_id))


def expect_service_checks(model: Model, slot: int, service: bytes) -> tuple[CheckSeen, ...]:
    """What `see_service_checks` must give."""
    _, checks, services = _copy(model, slot)
    name = service.decode().lower()
    hosted = {place for place, row in services.items() if row.said.name.lower() == name}
    found = (row for (node, _), row in checks.items() if (node, row.said.service_id) in hosted)
    return tuple(sorted(found, key=_node_and_id))


def _node_and_id(check: CheckSeen) -> Place:
    return check.node, check.said.id


def service_seen(row: InstanceRow) -> ServiceSeen:
    """An instance as a client sees it."""
    return ServiceSeen(row.node, row.service, row.create_index, row.modify_index)


def check_seen(row: CheckRow) -> CheckSeen:
    """A check as a client sees it."""
    said = Check(
        row.id,
        row.name,
        row.status,
        row.notes,
        row.output,
        row.service_id,
        row.type,
        row.interval,
        row.timeout,
        row.exposed_port,
        row.definition,
    )
    indexes = (row.create_index, row.modify_index)
    return CheckSeen(row.node, said, row.service_name, row.service_tags, *indexes)
