"""Operations of transactions, and what a transaction gives back.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from typing import Any

import msgspec

ITEM_BYTES = 128
"""What a result counts besides its key and value: about what its other fields take as JSON."""


class TxnOp(msgspec.Struct, frozen=True, array_like=True):
    """One KV operation; `verb` as in Consul's API (`set`, `cas`, `lock`, `get-tree` …).

    The gateway has checked the shape of fields, not the verb: an unknown one fails at apply,
    as the other failures do, with its number in the list.
    """

    verb: str
    key: bytes
    value: bytes = b""
    flags: int = 0
    index: int = 0
    session: str = ""


class TxnItem(msgspec.Struct, frozen=True, array_like=True):
    """One result of a transaction: a key as it is after its operation.

    `value` is None where Consul shows none; `is_bare` marks get-or-empty on an absent key.
    """

    key: bytes
    value: bytes | None
    flags: int = 0
    lock_index: int = 0
    session: str = ""
    create_index: int = 0
    modify_index: int = 0
    is_bare: bool = False

    @property
    def size(self) -> int:
        """What it counts of what the results of one transaction may hold."""
        return ITEM_BYTES + len(self.key) + len(self.value or b"")

    @property
    def value_bytes(self) -> int:
        """How much of a value was read for it."""
        return len(self.value or b"")


class TxnRow(msgspec.Struct, frozen=True):
    """One result of a transaction that is no key: a row as it is after its operation.

    Attributes:
        kind: Of the operation: `Node`, `Service` or `Check`.
        row: The row, of its domain.
        value_bytes: What it takes where it is stored.
    """

    kind: str
    row: Any
    value_bytes: int

    @property
    def size(self) -> int:
        """See `TxnItem`."""
        return ITEM_BYTES + self.value_bytes


class TxnOpFailure(msgspec.Struct, frozen=True, array_like=True):
    """Why operation number `op_index` failed, as in Consul."""

    op_index: int
    what: str


class TxnResult(msgspec.Struct, frozen=True, array_like=True):
    """The value of a transaction: items if it took effect, faults if it did not.

    Attributes:
        items: `TxnItem` of each key, `TxnRow` of each row, in order.
        faults: Of the operations that failed.
    """

    items: tuple[Any, ...] = ()
    faults: tuple[TxnOpFailure, ...] = ()
