"""Operations of transactions on the catalog, and what they give back.

They are stored in the log inside `TxnMixed`, so they grow at their end only (FMT-2 in
`base.formats`).

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Iterable

import msgspec

from quorate.base.txn import TxnRow
from quorate.catalog.fields import Check, NodeFields, Service
from quorate.catalog.tables import CheckRow, InstanceRow, NodeRow


class NodeOp(msgspec.Struct, array_like=True, frozen=True):
    """An operation on a node; `index` is what `cas` and `delete-cas` compare."""

    verb: str
    node: str
    details: NodeFields
    index: int = 0


class ServiceOp(msgspec.Struct, array_like=True, frozen=True):
    """An operation on an instance of a service."""

    verb: str
    node: str
    service: Service
    index: int = 0


class CheckOp(msgspec.Struct, array_like=True, frozen=True):
    """An operation on a check."""

    verb: str
    node: str
    check: Check
    index: int = 0


def node_result(row: NodeRow) -> TxnRow:
    """A node as a result."""
    said = (*row.tagged_addresses.items(), *row.meta.items())
    return TxnRow("Node", row, lengths(text for pair in said for text in pair))


def service_result(row: InstanceRow) -> TxnRow:
    """An instance as a result."""
    said = row.service
    texts = (*said.tags, *(text for pair in said.meta.items() for text in pair))
    return TxnRow("Service", row, len(said.proxy) + lengths(texts))


def check_result(row: CheckRow) -> TxnRow:
    """A check as a result."""
    return TxnRow("Check", row, lengths((row.output, row.notes)))


def lengths(texts: Iterable[str]) -> int:
    """How long these texts are together."""
    return sum(map(len, texts))
