"""The tables of the catalog.

Names are found without regard to case and shown as they were given.
"""

from collections.abc import Callable, Iterator
from functools import partial
from heapq import merge
from ipaddress import ip_address
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

import msgspec

from quorate.base.domain import Derived, Table
from quorate.base.ports import TableRows
from quorate.base.schema import prefix_end
from quorate.base.subjects import key_part, name_part
from quorate.base.versions import NODE_ID_META
from quorate.catalog.fields import (
    NO_DEFINITION,
    SERVICE_FIELDS,
    Address,
    Definition,
    Service,
    Weights,
)

T = TypeVar("T")

NODES = 6
"""Table: lower-cased node name -> `NodeRow`."""

SERVICES = 7
"""Table: lower-cased service name, 0x00, node, 0x00, id -> `InstanceRow`, or `ServiceRow`."""

CHECKS = 8
"""Table: lower-cased node name, 0x00, check id -> `CheckRow`."""

NODE_SERVICES = 11
"""Table: lower-cased node name, 0x00, service id -> lower-cased service name."""

NODE_IDS = 32
"""Secondary index: node id, 0x00, lower-cased node name."""

SERVICE_CHECKS = 33
"""Secondary index: lower-cased node name, 0x00, service id or nothing, 0x00, check id."""

NODE_ADDRESSES = 34
"""Secondary index: IP address, lower-cased node name."""

SERVICE_ADDRESSES = 35
"""Secondary index: IP address of an instance, lower-cased node name, 0x00, service id."""

_INSTANCE_TAG = 2
_VALUE = itemgetter(1)  # of a row: the value contains the fields of its key


class NodeRow(msgspec.Struct, array_like=True, frozen=True):
    """A node of the catalog."""

    id: str
    name: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str]
    meta: dict[str, str]
    create_index: int
    modify_index: int

    @property
    def shown_id(self) -> str:
        """The id that the API shows: the configured one, if any."""
        return self.meta.get(NODE_ID_META) or self.id


class CheckRow(msgspec.Struct, array_like=True, frozen=True):
    """A health check of a node, or of a service on it.

    Attributes:
        service_tags: Of its service when the check was written; None: it has none, or a command of
            format 5 and older wrote it.
    """

    node: str
    id: str
    name: str
    status: str
    notes: str
    output: str
    service_id: str
    service_name: str
    type: str
    create_index: int
    modify_index: int
    # since format 4 of the tables; a row ends with the last one that is not its default:
    service_tags: tuple[str, ...] | None = None
    interval: str = ""
    timeout: str = ""
    exposed_port: int = 0
    definition: Definition = NO_DEFINITION


class InstanceRow(msgspec.Struct, array_like=True, frozen=True, tag=_INSTANCE_TAG):
    """An instance of a service."""

    node: str
    service: Service
    create_index: int
    modify_index: int


class ServiceRow(msgspec.Struct, array_like=True, frozen=True):
    """An instance as commands of format 3 and older store it: `definition` is JSON.

    It stays until the instance is registered anew: a replica that converted such rows by itself
    would differ from one that still applies the commands.
    """

    node: str
    id: str
    name: str
    definition: bytes
    create_index: int
    modify_index: int


encode_row = msgspec.msgpack.Encoder().encode
_CHECK_FIELDS = 11
_CHECK_ENDS = msgspec.structs.astuple(CheckRow("", "", "", "", "", "", "", "", "", 0, 0))
_SERVICE_ENDS = msgspec.structs.astuple(Service("", ""))


def _trimmed(fields: tuple[Any, ...], least: int, defaults: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without the default values at the end, but not fewer than `least`.

    So what a command of an older format writes has the bytes that it had there.
    """
    end = len(fields)
    while end > least and fields[end - 1] == defaults[end - 1]:
        end -= 1
    return fields[:end]


def encode_check(row: CheckRow) -> bytes:
    """The row of a check as it is stored."""
    return encode_row(_trimmed(msgspec.structs.astuple(row), _CHECK_FIELDS, _CHECK_ENDS))


def encode_instance(row: InstanceRow) -> bytes:
    """The row of an instance as it is stored."""
    fields = _trimmed(msgspec.structs.astuple(row.service), SERVICE_FIELDS, _SERVICE_ENDS)
    return encode_row((_INSTANCE_TAG, row.node, fields, row.create_index, row.modify_index))


decode_node = msgspec.msgpack.Decoder(NodeRow).decode
decode_check = msgspec.msgpack.Decoder(CheckRow).decode
decode_older_instance = msgspec.msgpack.Decoder(ServiceRow).decode
_decode_instance = msgspec.msgpack.Decoder(InstanceRow).decode


def decode_instance(data: bytes) -> InstanceRow:
    """An instance, from either form of row.

    Raises:
        ValueError: The bytes are neither.
    """
    try:
        return _decode_instance(data)
    except msgspec.ValidationError:
        row = decode_older_instance(data)
    service = service_of(row.id, row.name, row.definition)
    return InstanceRow(row.node, service, row.create_index, row.modify_index)


# --- definitions in JSON ----------------------------------------------------------------------


class _Place(msgspec.Struct, rename="pascal"):
    address: str = ""
    port: int = 0


class _Weights(msgspec.Struct, rename="pascal"):
    passing: int = 1
    warning: int = 1


class _Definition(msgspec.Struct, rename="pascal"):
    """What older versions stored of an instance; what they stored of all alike is left out."""

    kind: str = ""
    tags: list[str] | None = None
    address: str = ""
    port: int = 0
    tagged_addresses: dict[str, _Place] | None = None
    socket_path: str = ""
    meta: dict[str, str] | None = None
    weights: _Weights = msgspec.field(default_factory=_Weights)
    enable_tag_override: bool = False


_decode_definition = msgspec.json.Decoder(_Definition).decode


def service_of(service: str, name: str, definition: bytes) -> Service:
    """An instance from id, name and a definition in JSON; an invalid one counts as empty."""
    try:
        said = _decode_definition(definition)
    except (
        ValueError,
        msgspec.MsgspecError,
    ):  # no version stored such; reads must not fail because of a row
        said = _Definition()
    tagged = {name: Address(at.address, at.port) for name, at in
              (said.tagged_addresses or {}).items()}  # fmt: skip
    return Service(
        service,
        name,
        said.kind,
        tuple(said.tags or ()),
        said.address,
        said.port,
        tagged,
        said.socket_path,
        said.meta or {},
        Weights(said.weights.passing, said.weights.warning),
        said.enable_tag_override,
    )


# --- nodes ------------------------------------------------------------------------------------


def node_of(rows: TableRows, name: str) -> NodeRow | None:
    """A node by name, or None."""
    data = rows.get(NODES, name_part(name))
    return None if data is None else decode_node(data)


def node_by_id(rows: TableRows, node: str) -> NodeRow | None:
    """A node by its id, or None; no node has an empty one. Cost: O(1)."""
    prefix = key_part(node) + b"\0"
    found = next(iter(rows.range(NODE_IDS, prefix, prefix_end(prefix))), None)
    data = None if found is None else rows.get(NODES, found[0][len(prefix) :])
    return None if data is None else decode_node(data)


def nodes(rows: TableRows) -> Iterator[NodeRow]:
    """All nodes, by name."""
    return map(decode_node, map(_VALUE, rows.range(NODES, b"")))


def node_id_key(row: NodeRow) -> bytes | None:
    """Where `NODE_IDS` lists a node; None: nowhere."""
    return key_part(row.id) + b"\0" + name_part(row.name) if row.id else None


def _keys_of_node(_: bytes, value: bytes) -> tuple[bytes, ...]:
    key = node_id_key(decode_node(value))
    return () if key is None else (key,)


# --- addresses --------------------------------------------------------------------------------


def _address_part(text: str) -> bytes | None:
    """An IP address in one form, whatever form it is given in; None: it is none."""
    try:
        packed = ip_address(text).packed
    except ValueError:
        return None
    return bytes((len(packed),)) + packed


def node_address_key(row: NodeRow) -> bytes | None:
    """Where `NODE_ADDRESSES` lists a node; None: nowhere."""
    part = _address_part(row.address)
    return None if part is None else part + name_part(row.name)


def service_address_key(row: InstanceRow) -> bytes | None:
    """Where `SERVICE_ADDRESSES` lists an instance; None: nowhere."""
    part = _address_part(row.service.address)
    return None if part is None else part + instance_key(row.node, row.service.id)


def nodes_at(rows: TableRows, address: str) -> Iterator[NodeRow]:
    """The nodes with an address, by name. Cost: O(those read)."""
    return _at(rows, NODE_ADDRESSES, address, partial(_node_listed, rows))


def instances_at(rows: TableRows, address: str) -> Iterator[InstanceRow]:
    """The instances with an address of their own, by node and id. Cost: O(those read)."""
    return _at(rows, SERVICE_ADDRESSES, address, partial(_instance_listed, rows))


def _at(
    rows: TableRows, table: int, address: str, listed: Callable[[bytes], T | None]
) -> Iterator[T]:
    part = _address_part(address)
    if part is None:
        return
    for key, _ in rows.range(table, part, prefix_end(part)):
        row = listed(key[len(part) :])
        if row is not None:
            yield row


def _node_listed(rows: TableRows, key: bytes) -> NodeRow | None:
    data = rows.get(NODES, key)
    return None if data is None else decode_node(data)


def _instance_listed(rows: TableRows, key: bytes) -> InstanceRow | None:
    name = rows.get(NODE_SERVICES, key)
    data = None if name is None else rows.get(SERVICES, name + b"\0" + key)
    return None if data is None else decode_instance(data)


def _address_of_node(_: bytes, value: bytes) -> tuple[bytes, ...]:
    key = node_address_key(decode_node(value))
    return () if key is None else (key,)


def _address_of_instance(_: bytes, value: bytes) -> tuple[bytes, ...]:
    key = service_address_key(decode_instance(value))
    return () if key is None else (key,)


# --- checks -----------------------------------------------------------------------------------


def check_of(rows: TableRows, node: str, check: str) -> CheckRow | None:
    """A check of a node by id, or None."""
    data = rows.get(CHECKS, check_key(node, check))
    return None if data is None else decode_check(data)


def checks_of_node(rows: TableRows, node: str, after: str = "") -> Iterator[CheckRow]:
    """All checks of a node, those of its services too, by id; only those that follow `after`."""
    prefix = name_part(node) + b"\0"
    first = _behind(prefix, after)
    return map(decode_check, map(_VALUE, rows.range(CHECKS, first, prefix_end(prefix))))


def _behind(prefix: bytes, name: str) -> bytes:
    """The first key that can follow that of a name; "": the first of all."""
    return prefix + key_part(name) + b"\0" if name else prefix


def checks_of_instance(
    rows: TableRows, node: str, service: str, after: str | None = None
) -> Iterator[CheckRow]:
    """The checks of one instance, or with "" those of the node as a whole, by id. O(those).

    Args:
        rows: Of the tables.
        node: Its name, in any case.
        service: Id of the instance.
        after: Only the checks that follow the one with this id; None: all.
    """
    prefix = instance_key(node, service) + b"\0"
    place = name_part(node) + b"\0"
    first = prefix if after is None else prefix + key_part(after) + b"\0"
    found = rows.range(SERVICE_CHECKS, first, prefix_end(prefix))
    return filter(None, map(partial(_listed, rows, place, len(prefix)), found))


def checks_about(rows: TableRows, node: str, service: str) -> Iterator[CheckRow]:
    """The checks that determine the health of an instance: its own and those of its node, by id."""
    own = checks_of_instance(rows, node, service)
    if not service:
        return own
    return merge(checks_of_instance(rows, node, ""), own, key=attrgetter("id"))


def _listed(
    rows: TableRows, place: bytes, length: int, found: tuple[bytes, bytes]
) -> CheckRow | None:
    data = rows.get(CHECKS, place + found[0][length:])
    return None if data is None else decode_check(data)


def all_checks(rows: TableRows) -> Iterator[CheckRow]:
    """All checks, by node and id."""
    return map(decode_check, map(_VALUE, rows.range(CHECKS, b"")))


def check_key(node: str, check: str) -> bytes:
    """The key of a check."""
    return name_part(node) + b"\0" + key_part(check)


def service_check_key(row: CheckRow) -> bytes:
    """Where `SERVICE_CHECKS` lists a check."""
    return instance_key(row.node, row.service_id) + b"\0" + key_part(row.id)


def _keys_of_check(_: bytes, value: bytes) -> tuple[bytes, ...]:
    return (service_check_key(decode_check(value)),)


# --- instances --------------------------------------------------------------------------------


def instance_key(node: str, service: str) -> bytes:
    """The key in `NODE_SERVICES` of an instance, by its id; also how its key in others ends."""
    return name_part(node) + b"\0" + key_part(service)


def stored_instance(rows: TableRows, node: str, service: str) -> bytes | None:
    """The encoded row of an instance by its id; None if there is none."""
    key = instance_key(node, service)
    name = rows.get(NODE_SERVICES, key)
    return None if name is None else rows.get(SERVICES, name + b"\0" + key)


def instance_of(rows: TableRows, node: str, service: str) -> InstanceRow | None:
    """An instance by its id, or None."""
    data = stored_instance(rows, node, service)
    return None if data is None else decode_instance(data)


def instances_of(rows: TableRows, service: str) -> Iterator[InstanceRow]:
    """The instances of a service, by node and id."""
    prefix = name_part(service) + b"\0"
    return map(decode_instance, map(_VALUE, rows.range(SERVICES, prefix, prefix_end(prefix))))


def instances_on(rows: TableRows, service: str, node: str) -> Iterator[InstanceRow]:
    """The instances of a service on a node, by id."""
    prefix = name_part(service) + b"\0" + name_part(node) + b"\0"
    return map(decode_instance, map(_VALUE, rows.range(SERVICES, prefix, prefix_end(prefix))))


def services(rows: TableRows) -> Iterator[InstanceRow]:
    """All instances, by service, node and id."""
    return map(decode_instance, map(_VALUE, rows.range(SERVICES, b"")))


def services_of_node(rows: TableRows, node: str, after: str = "") -> Iterator[InstanceRow]:
    """The instances on a node, by id; only those that follow `after`."""
    prefix = name_part(node) + b"\0"
    for key, name in rows.range(NODE_SERVICES, _behind(prefix, after), prefix_end(prefix)):
        data = rows.get(SERVICES, name + b"\0" + key)
        if data is not None:
            yield decode_instance(data)


def hosts_of(rows: TableRows, service: str, most: int) -> list[bytes] | None:
    """The nodes with instances of a service, as parts of keys; None if they are more than `most`.

    Cost: O(nodes), not instances.
    """
    return None if len(found := list(islice(_hosts(rows, service), most + 1))) > most else found


def _hosts(rows: TableRows, service: str) -> Iterator[bytes]:
    prefix = name_part(service) + b"\0"
    first, end = prefix, prefix_end(prefix)
    while (row := next(iter(rows.range(SERVICES, first, end)), None)) is not None:
        place = row[0][len(prefix) : row[0].index(b"\0", len(prefix))]
        yield place
        first = prefix + place + b"\1"  # after all keys that continue with 0x00


def _name(data: bytes) -> None:
    data.decode()


TABLES = (
    Table(NODES, "NODES", "Node", decode_node, is_indexed=True),
    Table(SERVICES, "SERVICES", "Service", decode_instance, is_indexed=True),
    Table(CHECKS, "CHECKS", "Check", decode_check, is_indexed=True),
    Table(NODE_SERVICES, "NODE_SERVICES", "NodeService", _name),
    Table(NODE_IDS, "NODE_IDS", "NodeId", derived=Derived(NODES, _keys_of_node)),
    Table(
        SERVICE_CHECKS, "SERVICE_CHECKS", "ServiceCheck", derived=Derived(CHECKS, _keys_of_check)
    ),
    Table(
        NODE_ADDRESSES, "NODE_ADDRESSES", "NodeAddress", derived=Derived(NODES, _address_of_node)
    ),
    Table(
        SERVICE_ADDRESSES,
        "SERVICE_ADDRESSES",
        "ServiceAddress",
        derived=Derived(SERVICES, _address_of_instance),
    ),
)
