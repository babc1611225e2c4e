"""Nodes, instances of services, and checks of both.

CTG-1: names of nodes and services are found without regard to case and shown as they were given.
CTG-2: a command notes its change under the watch keys of the entities it changes: a change of a
    node, or of a check of the node as a whole, once under the key of the host, not under each
    service it hosts.
CTG-3: the cost of a command depends only on the entities it changes: that of a check not on how
    many others the node has.
CTG-4: an output that comes without a change of status can be written without an index: it changes
    the row and its indexes stay, so no watcher wakes.

Source: https://developer.hashicorp.com/consul/api-docs/catalog.
"""

from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import TypeVar

import msgspec

from quorate.base.facts import (
    CheckRemoved,
    CheckStatusChanged,
    NodeLeaving,
    NodeRemoved,
)
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows
from quorate.base.schema import SUBJECTS, prefix_end
from quorate.base.subjects import name_part
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
    CRITICAL,
    OUTPUTS,
    PASSING,
    SERF_HEALTH,
    Check,
    NodeFields,
    Service,
)
from quorate.catalog.subjects import of_host, of_hosts, of_node, of_service
from quorate.catalog.tables import (
    CHECKS,
    NODE_ADDRESSES,
    NODE_IDS,
    NODE_SERVICES,
    NODES,
    SERVICE_ADDRESSES,
    SERVICE_CHECKS,
    SERVICES,
    CheckRow,
    InstanceRow,
    NodeRow,
    check_key,
    check_of,
    checks_of_instance,
    decode_check,
    encode_check,
    encode_instance,
    encode_row,
    instance_key,
    instance_of,
    instances_of,
    node_address_key,
    node_by_id,
    node_id_key,
    node_of,
    service_address_key,
    service_check_key,
    services_of_node,
)

T = TypeVar("T")

NO_NODE = Failure("precondition", "Missing node registration")
NO_SERVICE = Failure("precondition", "Missing service registration")
NO_CHECK_ID = Failure("bad_request", "Missing check ID")

_PIECE = 32
_LOOK_UNITS, _WRITE_UNITS = 1, 24


# --- registering ------------------------------------------------------------------------------


def on_put(rows: Rows, command: CatalogPut) -> Generator[None, None, bool | Failure]:
    """Apply `CatalogPut`."""
    is_kept = command.keeps_node and node_of(rows, command.node) is not None
    details = None if is_kept else command.details
    return (yield from _register(rows, command, details, has_tags=True))


def on_register(rows: Rows, command: CatalogRegister) -> Generator[None, None, bool | Failure]:
    """Apply `CatalogRegister`."""
    return (yield from _register(rows, command, command.details, has_tags=False))


def _register(
    rows: Rows,
    command: CatalogPut | CatalogRegister,
    details: NodeFields | None,
    *,
    has_tags: bool,
) -> Generator[None, None, bool | Failure]:
    node = command.node
    known = node_of(rows, node)
    failure = yield from _refusal(rows, command, details, known)
    if failure is not None:
        return failure
    if details is not None:
        yield from _name_node(rows, node, details, known)
    elif known is not None:
        node = known.name
    if command.is_member and check_of(rows, node, SERF_HEALTH) is None:
        yield from put_check(rows, node, serf_health(PASSING))
    if command.service is not None:
        yield from put_instance(rows, node, command.service)
    for check in command.checks:
        yield from put_check(rows, node, check, has_tags=has_tags)
        if rows.spend(_WRITE_UNITS):
            yield
    return True


def _refusal(
    rows: Rows,
    command: CatalogPut | CatalogRegister,
    details: NodeFields | None,
    known: NodeRow | None,
) -> Generator[None, None, Failure | None]:
    """Why the command is refused; None: it is not."""
    if known is None and details is None:
        return NO_NODE
    is_other = False  # another node had the name: it is removed with its services
    if known is not None and details is not None and details.id:
        is_other = known.id not in ("", details.id)
        failure = reserved(rows, known, command.node) if is_other else None
        if failure is not None:
            return failure
    for check in command.checks:
        if not check.id:
            return NO_CHECK_ID
        service = check.service_id
        if not service or (command.service is not None and command.service.id == service):
            continue
        if is_other or rows.get(NODE_SERVICES, instance_key(command.node, service)) is None:
            return NO_SERVICE
        if rows.spend(_LOOK_UNITS):
            yield
    return None


def put_node(rows: Rows, node: str, details: NodeFields) -> Generator[None, None, Failure | None]:
    """Write a node; a failure says why it cannot have that name, and changed nothing."""
    known = node_of(rows, node)
    if known is not None and details.id and known.id not in ("", details.id):
        failure = reserved(rows, known, node)
        if failure is not None:
            return failure
    yield from _name_node(rows, node, details, known)
    return None


def _name_node(
    rows: Rows, node: str, details: NodeFields, known: NodeRow | None
) -> Generator[None, None, None]:
    if not details.id and known is not None:
        details = msgspec.structs.replace(details, id=known.id)
    yield from make_room(rows, node, details.id)
    _put_node(rows, node, details)


def reserved(rows: Rows, holder: NodeRow, name: str) -> Failure | None:
    """Why another node cannot take a name: the `serfHealth` of its holder is not critical."""
    health = check_of(rows, holder.name, SERF_HEALTH)
    if health is None or health.status == CRITICAL:
        return None
    return Failure(
        "already_exists",
        f"Node name {name} is reserved by node {holder.id} "
        f"with name {holder.name} ({holder.address})",
    )


def make_room(rows: Rows, name: str, node: str) -> Generator[None, None, None]:
    """Make a name free for the node with this id: remove other holders, and its own old name."""
    holder = node_of(rows, name)
    if holder is not None and holder.id not in ("", node):
        yield from remove_node(rows, holder.name)
    namesake = node_by_id(rows, node) if node else None
    if namesake is not None and name_part(namesake.name) != name_part(name):
        yield from remove_node(rows, namesake.name)


def _put_node(rows: Rows, name: str, details: NodeFields) -> None:
    row = store_node(rows, name, details)
    if row is not None:
        rows.note_subject(NODES, of_node(name))
        _note_host(rows, NODES, name)


def store_node(rows: Rows, name: str, details: NodeFields) -> NodeRow | None:
    """Write the row of a node; None: the stored one is equal."""
    old = node_of(rows, name)
    row = NodeRow(
        details.id,
        name,
        details.address,
        details.datacenter,
        details.tagged_addresses,
        details.meta,
        0 if old is None else old.create_index,
        0 if old is None else old.modify_index,
    )
    if row == old:
        return None
    index = rows.take_index()
    row = msgspec.structs.replace(row, create_index=row.create_index or index, modify_index=index)
    rows.put(NODES, name_part(name), encode_row(row))
    _relist(rows, NODE_IDS, node_id_key, old, row)
    _relist(rows, NODE_ADDRESSES, node_address_key, old, row)
    return row


def _relist(
    rows: Rows, index: int, key_of: Callable[[T], bytes | None], old: T | None, new: T | None
) -> None:
    """Have a secondary index list a row as it is now; None: it did not exist, or does not now."""
    before, after = None if old is None else key_of(old), None if new is None else key_of(new)
    if before == after:
        return
    if before is not None:
        rows.remove_derived(index, before)
    if after is not None:
        rows.add_derived(index, after)


def put_instance(rows: Rows, node: str, service: Service) -> Generator[None, None, None]:
    """Write an instance of a node that exists, unless the stored one is equal."""
    old = instance_of(rows, node, service.id)
    if old is not None and old.service == service:
        return
    created = begin_instance(rows, old, service.name)
    index = rows.take_index()
    row = InstanceRow(node, service, created or index, index)
    store_instance(rows, old if created else None, row, encode_instance(row))
    if old is not None and not created:
        yield from rename_checks(rows, node, service)


def begin_instance(rows: Rows, old: InstanceRow | None, name: str) -> int:
    """Prepare to overwrite an instance: it is removed first if it belongs to another service.

    Returns:
        The index at which the instance was created; 0: by this command.
    """
    if old is None:
        return 0
    if name_part(old.service.name) == name_part(name):
        return old.create_index
    rows.take_index()
    _remove_instance(rows, old)
    return 0


def store_instance(rows: Rows, old: InstanceRow | None, row: InstanceRow, data: bytes) -> None:
    """Write the row of an instance, and note it.

    Args:
        rows: Of the tables.
        old: What it replaces; None: nothing.
        row: The instance.
        data: The same as it is stored.
    """
    node, name = row.node, row.service.name
    key = instance_key(node, row.service.id)
    rows.put(SERVICES, name_part(name) + b"\0" + key, data)
    rows.put(NODE_SERVICES, key, name_part(name))
    _relist(rows, SERVICE_ADDRESSES, service_address_key, old, row)
    rows.note_subject(SERVICES, of_service(name))
    rows.note_subject(SERVICES, of_node(node))


def rename_checks(rows: Rows, node: str, service: Service) -> Generator[None, None, None]:
    """Write the new service of an instance into its checks. Cost: O(those)."""
    after: str | None = None
    while piece := list(islice(checks_of_instance(rows, node, service.id, after), _PIECE)):
        for row in piece:
            index = rows.take_index()
            renamed = msgspec.structs.replace(row, service_name=service.name, modify_index=index)
            rows.put(CHECKS, check_key(node, row.id), encode_check(renamed))
            rows.mark_changed(CHECKS, of_node(node))
            if rows.spend(_WRITE_UNITS):
                yield
        after = piece[-1].id


# --- checks -----------------------------------------------------------------------------------


def serf_health(status: str) -> Check:
    """The check of a member."""
    return Check(SERF_HEALTH, "Serf Health Status", status, output=OUTPUTS.get(status, ""))


def on_check_update(rows: Rows, command: CheckUpdate) -> Generator[None, None, bool]:
    """Apply `CheckUpdate`."""
    row = check_of(rows, command.node, command.check)
    if row is not None:
        after = msgspec.structs.replace(row, status=command.status, output=command.output)
        yield from _store_check(rows, row, after)
        return True
    node = node_of(rows, command.node)
    if node is None or command.check != SERF_HEALTH:
        return False
    made = msgspec.structs.replace(serf_health(command.status), output=command.output)
    yield from put_check(rows, node.name, made)
    return True


def on_check_output(rows: Rows, command: CheckOutput) -> bool:
    """Apply `CheckOutput` (CTG-4)."""
    row = check_of(rows, command.node, command.check)
    if row is None:
        return False
    if row.output != command.output:
        after = msgspec.structs.replace(row, output=command.output)
        rows.put(CHECKS, check_key(row.node, row.id), encode_check(after))
        rows.note_unindexed()
    return True


def on_check_deregister(rows: Rows, command: CheckDeregister) -> Generator[None, None, bool]:
    """Apply `CheckDeregister`."""
    row = check_of(rows, command.node, command.check)
    if row is None:
        return False
    rows.take_index()
    yield from drop_check(rows, row)
    return True


def put_check(
    rows: Rows, node: str, check: Check, *, has_tags: bool = False
) -> Generator[None, None, None]:
    """Write a check of a node that exists, unless the stored one is equal.

    Args:
        rows: Of the tables.
        node: Its name.
        check: The check.
        has_tags: It gets the tags of its service.
    """
    old = check_of(rows, node, check.id)
    instance = instance_of(rows, node, check.service_id) if check.service_id else None
    row = CheckRow(
        node,
        check.id,
        check.name,
        check.status,
        check.notes,
        check.output,
        check.service_id,
        "" if instance is None else instance.service.name,
        check.type,
        0 if old is None else old.create_index,
        0 if old is None else old.modify_index,
        instance.service.tags if instance is not None and has_tags else None,
        check.interval,
        check.timeout,
        check.exposed_port,
        check.definition,
    )
    yield from _store_check(rows, old, row)


def _store_check(rows: Rows, old: CheckRow | None, row: CheckRow) -> Generator[None, None, None]:
    """Write a check if it has changed; `row` has the indexes of `old`."""
    if row == old:
        return
    index = rows.take_index()
    row = msgspec.structs.replace(row, create_index=row.create_index or index, modify_index=index)
    if old is not None and old.service_id != row.service_id:
        rows.remove_derived(SERVICE_CHECKS, service_check_key(old))
        _note_check(rows, old)
    store_check(rows, row)
    _note_check(rows, row)
    if old is None or old.status != row.status:
        yield from rows.emit(CheckStatusChanged(row.node, row.id, row.status))


def store_check(rows: Rows, row: CheckRow) -> None:
    """Write the row of a check. The caller notes the change."""
    rows.put(CHECKS, check_key(row.node, row.id), encode_check(row))
    rows.add_derived(SERVICE_CHECKS, service_check_key(row))


def drop_check(rows: Rows, row: CheckRow) -> Generator[None, None, None]:
    """Remove a check. The caller takes the index."""
    rows.delete(CHECKS, check_key(row.node, row.id))
    rows.remove_derived(SERVICE_CHECKS, service_check_key(row))
    _note_check(rows, row)
    yield from rows.emit(CheckRemoved(row.node, row.id))


def _note_check(rows: Rows, row: CheckRow) -> None:
    rows.note_subject(CHECKS, of_node(row.node))
    if row.service_id:
        rows.note_subject(CHECKS, of_service(row.service_name))
    else:
        _note_host(rows, CHECKS, row.node)


def _note_host(rows: Rows, table: int, node: str) -> None:
    rows.note_subject(table, of_host(node))
    rows.note_subject(table, of_hosts())


# --- removing ---------------------------------------------------------------------------------


def on_node_deregister(rows: Rows, command: NodeDeregister) -> Generator[None, None, bool]:
    """Apply `NodeDeregister`."""
    yield from remove_node(rows, command.name)
    return True


def remove_node(rows: Rows, name: str) -> Generator[None, None, None]:
    """Remove a node with its services and checks, if it is known."""
    yield from rows.emit(NodeLeaving(name))
    node = node_of(rows, name)
    if node is None:
        return
    rows.take_index()
    for instance in _in_pieces(lambda: services_of_node(rows, name)):
        _remove_instance(rows, instance)
        if rows.spend(_WRITE_UNITS):
            yield
    prefix = name_part(name) + b"\0"
    for key, data in _in_pieces(lambda: rows.range(CHECKS, prefix, prefix_end(prefix))):
        rows.delete(CHECKS, key)
        rows.remove_derived(SERVICE_CHECKS, service_check_key(decode_check(data)))
        rows.mark_changed(CHECKS, of_node(name))
        if rows.spend(_WRITE_UNITS):
            yield
    rows.delete(NODES, name_part(name))
    _relist(rows, NODE_IDS, node_id_key, node, None)
    _relist(rows, NODE_ADDRESSES, node_address_key, node, None)
    rows.note_subject(NODES, of_node(name))
    rows.schedule_removal(of_node(name))
    if rows.get(SUBJECTS, of_host(name)) is not None:
        rows.schedule_removal(of_host(name))
    yield from rows.emit(NodeRemoved(name))


def on_service_deregister(rows: Rows, command: ServiceDeregister) -> Generator[None, None, bool]:
    """Apply `ServiceDeregister`."""
    return (yield from remove_instance(rows, command.node, command.id))


def remove_instance(rows: Rows, node: str, service: str) -> Generator[None, None, bool]:
    """Remove an instance with its checks; returns whether there was one."""
    row = instance_of(rows, node, service)
    if row is None:
        return False
    rows.take_index()
    _remove_instance(rows, row)
    for check in _in_pieces(lambda: checks_of_instance(rows, node, service)):
        yield from drop_check(rows, check)
        if rows.spend(_WRITE_UNITS):
            yield
    return True


def _remove_instance(rows: Rows, row: InstanceRow) -> None:
    """Remove an instance without its checks."""
    key, name = instance_key(row.node, row.service.id), row.service.name
    rows.delete(SERVICES, name_part(name) + b"\0" + key)
    rows.delete(NODE_SERVICES, key)
    _relist(rows, SERVICE_ADDRESSES, service_address_key, row, None)
    subject = of_service(name)
    rows.note_subject(SERVICES, subject)
    rows.note_subject(SERVICES, of_node(row.node))
    if next(instances_of(rows, name), None) is None:
        rows.schedule_removal(subject)


def _in_pieces(first: Callable[[], Iterator[T]]) -> Iterator[T]:
    """All items of `first`, if the caller deletes each one before it takes the next."""
    while piece := list(islice(first(), _PIECE)):
        yield from piece
