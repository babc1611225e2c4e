"""The tables of the catalog.

Names are found without regard to case and shown as they were given.
"""

from collections.abc import Iterator
from operator import itemgetter

import msgspec

from quorate.base.domain import Table
from quorate.base.ports import TableRows
from quorate.base.schema import prefix_end
from quorate.base.subjects import key_part, name_part
from quorate.base.versions import NODE_ID_META

NODES = 6
"""Table: lower-cased node name -> `NodeRow`."""

SERVICES = 7
"""Table: lower-cased service name, 0x00, node, 0x00, id -> `ServiceRow`."""

CHECKS = 8
"""Table: lower-cased node name, 0x00, check id -> `CheckRow`."""

NODE_SERVICES = 11
"""Table: lower-cased node name, 0x00, service id -> lower-cased service name."""

_VALUE = itemgetter(1)  # of a row: its key is in the value, too


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
    """A health check of a node, or of a service on it."""

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


class ServiceRow(msgspec.Struct, array_like=True, frozen=True):
    """An instance of a service. `definition` is JSON, see `ServiceRegister`."""

    node: str
    id: str
    name: str
    definition: bytes
    create_index: int
    modify_index: int


encode_row = msgspec.msgpack.Encoder().encode
decode_node = msgspec.msgpack.Decoder(NodeRow).decode
decode_check = msgspec.msgpack.Decoder(CheckRow).decode
decode_service = msgspec.msgpack.Decoder(ServiceRow).decode


# --- reading ----------------------------------------------------------------------------------


def node_of(rows: TableRows, name: str) -> NodeRow | None:
    """A node by name, or None."""
    data = rows.get(NODES, name_part(name))
    return None if data is None else decode_node(data)


def nodes(rows: TableRows) -> Iterator[NodeRow]:
    """All nodes, by name."""
    return map(decode_node, map(_VALUE, rows.range(NODES, b"")))


def check_of(rows: TableRows, node: str, check: str) -> CheckRow | None:
    """A check of a node by id, or None."""
    data = rows.get(CHECKS, check_key(node, check))
    return None if data is None else decode_check(data)


def checks_of_node(rows: TableRows, node: str) -> Iterator[CheckRow]:
    """All checks of a node, those of its services too, by id."""
    prefix = name_part(node) + b"\0"
    return map(decode_check, map(_VALUE, rows.range(CHECKS, prefix, prefix_end(prefix))))


def instances_of(rows: TableRows, service: str) -> Iterator[ServiceRow]:
    """The instances of a service, by node and id."""
    prefix = name_part(service) + b"\0"
    return map(decode_service, map(_VALUE, rows.range(SERVICES, prefix, prefix_end(prefix))))


def services(rows: TableRows) -> Iterator[ServiceRow]:
    """All instances, by service, node and id."""
    return map(decode_service, map(_VALUE, rows.range(SERVICES, b"")))


def services_of_node(rows: TableRows, node: str) -> Iterator[ServiceRow]:
    """The instances on a node, by id."""
    prefix = name_part(node) + b"\0"
    for key, name in rows.range(NODE_SERVICES, prefix, prefix_end(prefix)):
        data = rows.get(SERVICES, name + b"\0" + key)
        if data is not None:
            yield decode_service(data)


def check_key(node: str, check: str) -> bytes:
    """The key of a check."""
    return name_part(node) + b"\0" + key_part(check)


def _name(data: bytes) -> None:
    data.decode()


TABLES = (
    Table(NODES, "NODES", "Node", decode_node, is_indexed=True),
    Table(SERVICES, "SERVICES", "Service", decode_service, is_indexed=True),
    Table(CHECKS, "CHECKS", "Check", decode_check, is_indexed=True),
    Table(NODE_SERVICES, "NODE_SERVICES", "NodeService", _name),
)
