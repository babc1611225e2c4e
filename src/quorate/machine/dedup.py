"""Exactly once, per origin: which bundles count.

DUP-1: a bundle counts iff its origin is a member, voter or learner, of a configuration in force or
    to come, and it is the next of its origin: sequence last + 1 of the known incarnation, or
    sequence 1 of a higher one. All others are skipped on every replica alike.
DUP-2: the row of an origin is deleted when no configuration names it any more; ids are never used
    again, so late bundles of a removed node are skipped.

Source: `docs/protocol/paxos.md`; Ongaro's dissertation, 6.3, at the scale of nodes, not clients.
"""

from enum import Enum
from typing import Any

import msgspec

from quorate.base.batches import Bundle, Configuration
from quorate.base.chain import Chain
from quorate.base.ids import NodeId, Slot
from quorate.base.ports import View
from quorate.base.schema import Meta, index_key, index_of, prefix_end
from quorate.machine.rows import BatchRows
from quorate.machine.state import meta_key

Counted = tuple[int, int]
"""(incarnation, sequence) of the last bundle that counted."""

NONE_COUNTED: Counted = (0, 0)


class CountedRow(msgspec.Struct, array_like=True, frozen=True):
    """How it is stored."""

    incarnation: int
    sequence: int


_ORIGINS = meta_key(Meta.ORIGINS)
_CONFIGURATIONS = meta_key(Meta.CONFIGURATIONS)

_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(CountedRow).decode
_decode_configuration = msgspec.msgpack.Decoder(Configuration).decode


def _decode_counted(data: bytes) -> Counted:
    row = _decode_row(data)
    return row.incarnation, row.sequence


def _stored(configuration: Configuration) -> Configuration | tuple[Any, ...]:
    """Without `left` as in format 1, so that digests stay the same."""
    return configuration if configuration.left else msgspec.structs.astuple(configuration)[:-1]


class Verdict(Enum):
    """Whether a bundle is applied, and why not."""

    COUNTS = "counts"
    REPEATED = "repeated"
    GAP = "gap"
    NOT_A_MEMBER = "not a member"


class Origins:
    """The last bundle that counted, per origin, and the configurations that name the origins.

    Changes take effect with `commit`; after a transaction that failed call `abort`.

    Args:
        view: Of the tables that store it.
        alpha: A configuration chosen in slot i is in force from i + alpha on.
    """

    def __init__(self, view: View, alpha: int) -> None:
        end = prefix_end(_ORIGINS)
        self._counted = {
            NodeId(key[len(_ORIGINS) :].decode()): _decode_counted(data)
            for key, data in view.range(_ORIGINS, end)
        }
        end = prefix_end(_CONFIGURATIONS)
        chosen = (
            (Slot(index_of(key[len(_CONFIGURATIONS) :])), _decode_configuration(data))
            for key, data in view.range(_CONFIGURATIONS, end)
        )
        self.chain = Chain(chosen, alpha)
        self._new_counted: dict[NodeId, Counted | None] = {}
        self._new_chain = self.chain

    def last(self, origin: NodeId) -> Counted:
        """The last bundle of this origin that counted; (0, 0) if none did."""
        counted: Counted = self._counted.get(origin, NONE_COUNTED)
        return counted

    def judge(self, bundle: Bundle) -> Verdict:
        """Whether this bundle counts (DUP-1); if so it is counted."""
        origin = bundle.origin
        if origin not in self.chain.members:
            return Verdict.NOT_A_MEMBER
        new = self._new_counted.get(origin)
        incarnation, sequence = self.last(origin) if new is None else new
        if bundle.incarnation == incarnation:
            if bundle.sequence <= sequence:
                return Verdict.REPEATED
            if bundle.sequence != sequence + 1:
                return Verdict.GAP
        elif bundle.incarnation < incarnation:
            return Verdict.REPEATED
        elif bundle.sequence != 1:
            return Verdict.GAP
        self._new_counted[origin] = (bundle.incarnation, bundle.sequence)
        return Verdict.COUNTS

    def pass_slot(self, slot: Slot, configuration: Configuration | None) -> None:
        """The batch of `slot` was applied; `configuration` became valid by it."""
        chain = self._new_chain
        if configuration is not None:
            chain = chain.followed_by(slot, configuration)
        if len(chain.governing) > 1:
            chain = chain.above(slot)
        if chain is self._new_chain:
            return
        self._new_chain = chain
        for origin in sorted(self.chain.members.keys() - chain.members.keys()):
            self._new_counted[origin] = None

    def store(self, rows: BatchRows) -> None:
        """Write the changes; a few rows at most."""
        for origin, counted in self._new_counted.items():
            key = _ORIGINS + origin.encode()
            if counted is None:
                rows.delete_full(key)
            else:
                rows.put_full(key, _encode(counted))
        if self._new_chain is not self.chain:
            kept = {slot for slot, _ in self._new_chain.chosen}
            for slot, _ in self.chain.chosen:
                if slot not in kept:
                    rows.delete_full(_CONFIGURATIONS + index_key(slot))
            for slot, configuration in self._new_chain.chosen:
                rows.put_full(_CONFIGURATIONS + index_key(slot), _encode(_stored(configuration)))

    def commit(self) -> None:
        """The changes are in the tables."""
        for origin, counted in self._new_counted.items():
            if counted is None:
                self._counted.pop(origin, None)
            else:
                self._counted[origin] = counted
        if self._new_counted:
            self._new_counted = {}
        if self._new_chain is not self.chain:
            self.chain = self._new_chain

    def abort(self) -> None:
        """The transaction failed: drop the changes."""
        self._new_counted = {}
        self._new_chain = self.chain
