"""The machine's own row, and the layout of keys in the tables.

A key is generation, table, key of the row. Generation 0 holds the machine's own rows (`Meta`);
one of the others is current: a restored snapshot fills another one, which one command makes
current.
"""

from functools import lru_cache
from typing import Any

import msgspec

from quorate.base.formats import STATE
from quorate.base.ids import Index, Slot
from quorate.base.removals import TreeRemoval
from quorate.base.schema import Meta

GENERATIONS_MAX = 255
META_GENERATION = 0
FIRST_GENERATION = 1

_INDEXED_1 = (1, 5, 6, 7, 8)
"""The numbers of the tables whose indexes a row of format 1 holds, in its order."""


class State(msgspec.Struct, array_like=True, frozen=True):
    """One row, written with every batch, in the same transaction.

    Attributes:
        applied: The newest slot whose batch these tables contain.
        index: Of the newest command that changed something.
        log_time_ms: The highest log time of any batch so far.
        wall_ms: The highest wall clock of any batch so far; for people.
        digest: Rolling CRC of all writes of apply.
        generation: The current one.
        stale: Generations no longer current, to be swept.
        restored: Index at which the state was last replaced as a whole; 0 if never.
        floor: The highest index of a tombstone that has been dropped.
        indexes: Newest change of each indexed table, by its number; one that is
            missing has never changed: 0. Not to be changed.
        cluster_id: The cluster of these tables; "" before bootstrap.
        removals: Trees of keys that are removed while some of their rows are still stored.
        format: See `base.formats.STATE`. Rows of format 1 have none.
    """

    applied: Slot = Slot(0)
    index: Index = Index(0)
    log_time_ms: int = 0
    wall_ms: int = 0
    digest: int = 0
    generation: int = FIRST_GENERATION
    stale: tuple[int, ...] = ()
    restored: Index = Index(0)
    floor: Index = Index(0)
    indexes: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    cluster_id: str = ""
    removals: tuple[TreeRemoval, ...] = ()
    format: int = STATE.newest


class Restore(msgspec.Struct, array_like=True, frozen=True):
    """A restore under way: its id, the generation of its rows, and their number."""

    restore_id: str
    generation: int
    rows: int
    is_broken: bool = False


_INDEXES_PLACE = State.__struct_fields__.index("indexes")
_FORMAT_PLACE = State.__struct_fields__.index("format")

encode_state = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(State).decode


def decode_state(data: bytes) -> State:
    """The machine's own row, of this format or an older one.

    Raises:
        StorageError: `version`: a newer version of Quorate wrote it.
        ValueError: The bytes are no such row.
    """
    try:
        state = _decode_state(data)
    except msgspec.ValidationError:
        return _of_another_format(data)
    if state.format != STATE.newest:
        STATE.check("the state in the tables", state.format)
        state = msgspec.structs.replace(state, format=STATE.newest)
    return state


def _of_another_format(data: bytes) -> State:
    fields: list[Any] = msgspec.msgpack.decode(data, type=list[Any])
    if len(fields) > _FORMAT_PLACE and isinstance(fields[_FORMAT_PLACE], int):
        STATE.check("the state in the tables", fields[_FORMAT_PLACE])
    if len(fields) > _INDEXES_PLACE:
        indexes = msgspec.convert(fields[_INDEXES_PLACE], list[int])
        fields[_INDEXES_PLACE] = dict(zip(_INDEXED_1, indexes, strict=True))
    return msgspec.convert(fields, State)


encode_restore = msgspec.msgpack.Encoder().encode
decode_restore = msgspec.msgpack.Decoder(Restore).decode


def meta_key(meta: Meta, key: bytes = b"") -> bytes:
    """The full key of a row of the machine itself."""
    return bytes((META_GENERATION, meta)) + key


STATE_KEY = meta_key(Meta.STATE)
RESTORE_KEY = meta_key(Meta.RESTORE)
DERIVED_KEY = meta_key(Meta.DERIVED)


@lru_cache(maxsize=8)
def prefixes(generation: int) -> tuple[bytes, ...]:
    """The first two bytes of every key of a generation, by number of table."""
    return tuple(bytes((generation, table)) for table in range(256))
