"""What members have shown their disks to hold: reports that some batches carry.

A row per member, written in the transaction of the batch that carries the report, but outside the
digest: it guards the log and is no state of the machine. Batches of format 1 carry no reports.
"""

from collections.abc import Mapping, Sequence

import msgspec

from quorate.base.batches import Shown
from quorate.base.ids import NodeId
from quorate.base.ports import Transaction, View
from quorate.base.schema import Meta, prefix_end
from quorate.machine.state import meta_key

_SHOWN = meta_key(Meta.SHOWN)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Shown).decode


def read_shown(view: View) -> dict[NodeId, Shown]:
    """All rows, by node."""
    rows = view.range(_SHOWN, prefix_end(_SHOWN))
    return {one.node: one for one in (_decode(data) for _, data in rows)}


def store_shown(
    transaction: Transaction, before: Mapping[NodeId, Shown], said: Sequence[Shown]
) -> dict[NodeId, Shown]:
    """Merge the reports of a batch: the higher one of both counts, as a late batch may report less.

    Nodes without a report keep their row, also when they are no members any more: an id is never
    used again, and a row has a hundred bytes.

    Returns:
        All rows as they are now.
    """
    after = dict(before)
    for one in said:
        known = after.get(one.node)
        new = one
        if known is not None:
            newest = max(known, one, key=lambda each: (each.incarnation, each.slot))
            promised, slot = max(known.promised, one.promised), max(known.slot, one.slot)
            new = msgspec.structs.replace(newest, promised=promised, slot=slot)
        if new != known:
            after[one.node] = new
            transaction.put(_SHOWN + one.node.encode(), _encode(new))
    return after
