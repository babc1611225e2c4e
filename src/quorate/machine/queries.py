"""Reads, each with the two indexes of a blocking query and the subjects to wait for.

*Changed* is the index of the newest command that changed the subject, removals included: a
blocked reader that holds index N is answered when changed > N. *Header* is what it is told. Where
a removal may have been forgotten, changed is at least the floor; after a restore it is at least
the restore's index. The header is never below changed, or a reader that asks again with it would
be answered at once for ever.

Source: `docs/api`, blocking queries; https://developer.hashicorp.com/consul/api-docs/features/blocking.
"""

from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Generic, TypeVar

import msgspec

from quorate.base import subjects
from quorate.base.commands.txn import TxnDone, TxnOp
from quorate.base.config import ClusterConfig
from quorate.base.ports import View
from quorate.base.schema import Table, prefix_end
from quorate.kv import store
from quorate.kv.store import KvEntry, KvRow
from quorate.machine import txn
from quorate.machine.rows import ViewRows
from quorate.machine.state import (
    STATE_KEY,
    State,
    decode_state,
    index_of,
)
from quorate.registry import catalog, sessions
from quorate.registry.catalog import CheckRow, NodeRow, ServiceRow
from quorate.registry.sessions import SessionRow

T = TypeVar("T")

RESULT_BYTES_MAX = ClusterConfig().txn_result_bytes_max

_SUBJECTS = int(Table.SUBJECTS)

LIST_ROWS = 512
LIST_BYTES = 128 * 1024
"""A list with more rows or bytes is made piece by piece."""

BATCH_ROWS = 256
BATCH_BYTES = 32 * 1024
"""Of one piece: about a millisecond, with what is made of it."""


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """The answer to a read.

    Attributes:
        value: What was asked for.
        changed: Index of the newest change of what was asked for; 0 if never.
        header: The index to tell the caller, at least 1, before the rule that it never falls.
        subjects: What to watch to learn of the next change.
    """

    value: T
    changed: int
    header: int
    subjects: tuple[bytes, ...]


class LongList(msgspec.Struct, frozen=True):
    """A list of keys that is too long to be made in one turn: see `Reader.batches`.

    Attributes:
        prefix: Of the keys.
        separator: Names are cut behind it, see `Reader.kv_keys`; None: whole entries, not names.
        subjects: What to watch to learn of the next change.
    """

    prefix: bytes
    separator: bytes | None
    subjects: tuple[bytes, ...]


class Instance(msgspec.Struct, frozen=True):
    """An instance of a service with its node, and the checks of both."""

    node: NodeRow
    service: ServiceRow
    checks: list[CheckRow]


_state = lru_cache(maxsize=2)(decode_state)  # many reads look at one state


class Reader:
    """Reads of one state. Make one per evaluation; cheap.

    Args:
        view: The tables; must not change while the reader is used.
    """

    __slots__ = ("_rows", "_state")

    def __init__(self, view: View) -> None:
        data = view.get(STATE_KEY)
        self._state = State() if data is None else _state(data)
        self._rows = ViewRows(view, self._state)

    @property
    def state(self) -> tuple[int, int]:
        """Names this state of the tables: its slot and digest."""
        return self._state.applied, self._state.digest

    @property
    def index(self) -> int:
        """The index of the newest command that changed something."""
        return self._state.index

    @property
    def stamp_ms(self) -> int:
        """Logged time as of this state."""
        return self._state.stamp_ms

    @property
    def applied(self) -> int:
        """The newest slot applied."""
        return self._state.applied

    # --- keys -----------------------------------------------------------------------------------

    def kv_at_once(self, key: bytes) -> tuple[KvRow, int] | None:
        """The row of one key and `kv_get`'s header, for who does not wait; None if it is absent."""
        row = store.row_of(self._rows, key)
        return None if row is None else (row, max(row.modify_index, self._state.restored, 1))

    def kv_get(self, key: bytes) -> Answer[KvEntry | None]:
        """One key."""
        wait = (subjects.exactly(subjects.of_key(key)),)
        row = store.row_of(self._rows, key)
        if row is not None:
            return self._answer(KvEntry(key, row), row.modify_index, row.modify_index, wait)
        grave = self._rows.get(store.KV_TOMB, key)
        changed = max(0 if grave is None else index_of(grave), self._state.floor)
        return self._answer(None, changed, self._table(Table.KV), wait)

    def kv_list(self, prefix: bytes) -> Answer[list[KvEntry]]:
        """All keys with this byte prefix, in the order of bytes."""
        found = list(store.entries(self._rows, prefix))
        newest = max((entry.row.modify_index for entry in found), default=0)
        return self._under(prefix, found, newest)

    def kv_keys(self, prefix: bytes, separator: bytes = b"") -> Answer[list[bytes]]:
        """Names with this prefix, cut after the first separator behind it, each once."""
        names: list[bytes] = []
        newest, skip = 0, len(prefix)
        for entry in store.entries(self._rows, prefix):
            newest = max(newest, entry.row.modify_index)
            name = _cut(entry.key, separator, skip)
            if not names or names[-1] != name:
                names.append(name)
        return self._under(prefix, names, newest)

    def kv_list_in_turn(self, prefix: bytes) -> Answer[list[KvEntry]] | LongList:
        """As `kv_list`, if one turn can make it."""
        is_long = self._is_long(prefix)
        return self._long(prefix, None) if is_long else self.kv_list(prefix)

    def kv_keys_in_turn(
        self, prefix: bytes, separator: bytes = b""
    ) -> Answer[list[bytes]] | LongList:
        """As `kv_keys`, if one turn can make it."""
        is_long = self._is_long(prefix)
        return self._long(prefix, separator) if is_long else self.kv_keys(prefix, separator)

    @property
    def keys_index(self) -> int:
        """The index of the newest change of any key, at least 1."""
        return max(self._table(Table.KV), self._state.restored, 1)

    def batches(self, long: LongList) -> Iterator[list[KvEntry] | list[bytes]]:
        """A long list, piece by piece; a piece is empty if all rows it looked at are gone.

        Its header is `keys_index`.
        """
        entries: list[KvEntry] = []
        names: list[bytes] = []
        last: bytes | None = None
        rows, size = 0, 0
        for entry in store.looked_at(self._rows, long.prefix):
            rows += 1
            if entry is not None and long.separator is None:
                entries.append(entry)
                size += len(entry.row.value)
            elif entry is not None:
                name = _cut(entry.key, long.separator or b"", len(long.prefix))
                if name != last:
                    names.append(name)
                    last = name
            if rows == BATCH_ROWS or size >= BATCH_BYTES:
                batch = [entries or names]
                entries, names, rows, size = [], [], 0, 0
                del entry
                yield batch.pop()  # nothing of it stays here while a client takes it
        if entries or names:
            yield entries or names

    def changes(self, long: LongList) -> Iterator[int]:
        """Indexes whose highest is `Answer.changed` of a long list; one for each piece of work."""
        yield max(self._state.floor, self._state.restored)
        prefix = long.prefix
        newest = rows = 0
        for entry in store.looked_at(self._rows, prefix):
            newest = newest if entry is None else max(newest, entry.row.modify_index)
            rows += 1
            if rows % BATCH_ROWS == 0:
                yield newest
        for _, grave in self._rows.range(store.KV_TOMB, prefix, prefix_end(prefix)):
            newest = max(newest, index_of(grave))
            rows += 1
            if rows % BATCH_ROWS == 0:
                yield newest
        yield newest

    def txn_read(
        self, ops: Iterable[TxnOp], result_bytes_max: int = RESULT_BYTES_MAX
    ) -> Generator[None, None, TxnDone]:
        """A transaction of reads (`machine.txn.is_read_only`), on this one state.

        Yields whenever a turn's share of work is done.
        """
        return txn.read(self._rows, ops, result_bytes_max)

    # --- sessions -------------------------------------------------------------------------------

    def session_get(self, session: str) -> Answer[SessionRow | None]:
        """One session by id."""
        subject = subjects.of_session(session)
        row = sessions.session_of(self._rows, session)
        changed = row.modify_index if row is not None else self._noted(subject)
        header = self._table(Table.SESSIONS)
        return self._answer(row, changed, header, (subjects.exactly(subject),))

    def each_session(self, node: str | None = None) -> Answer[Iterator[SessionRow]]:
        """All sessions, by id, read one by one; the indexes are those of a node's if one is named.

        The rows of other nodes are not left out.
        """
        rows = sessions.sessions(self._rows)
        if node is None:
            return self._of_table(rows, Table.SESSIONS)
        subject = subjects.of_node_sessions(node)
        header = self._table(Table.SESSIONS)
        return self._answer(rows, self._noted(subject), header, (subjects.exactly(subject),))

    # --- catalog --------------------------------------------------------------------------------

    def each_node(self) -> Answer[Iterator[NodeRow]]:
        """All nodes, by name, read one by one."""
        return self._of_table(catalog.nodes(self._rows), Table.NODES)

    def node(self, name: str) -> Answer[NodeRow | None]:
        """One node by name, in any case."""
        row = catalog.node_of(self._rows, name)
        return self._of_node(name, row, is_there=row is not None)

    def node_row(self, name: str) -> NodeRow | None:
        """As `node`, for who has its indexes already."""
        return catalog.node_of(self._rows, name)

    def each_service(self) -> Answer[Iterator[ServiceRow]]:
        """All instances of all services, by name, node and id, read one by one."""
        return self._of_table(catalog.services(self._rows), Table.SERVICES)

    def each_service_of_node(self, name: str) -> Answer[Iterator[ServiceRow]]:
        """The instances on a node, by id, read one by one."""
        row = catalog.node_of(self._rows, name)
        found = catalog.services_of_node(self._rows, name)
        return self._of_node(name, found, is_there=row is not None)

    def each_check(self, name: str) -> Answer[Iterator[CheckRow]]:
        """All checks of a node, by id, read one by one."""
        row = catalog.node_of(self._rows, name)
        found = catalog.checks_of_node(self._rows, name)
        return self._of_node(name, found, is_there=row is not None)

    def each_instance(self, name: str) -> Answer[Iterator[Instance]]:
        """The instances of a service with nodes and checks, by node and id, read one by one."""
        found = self._instances(name)
        first = next(found, None)
        subject = subjects.of_service(name)
        changed = self._noted(subject)
        header = changed if first is not None else self._table(Table.SERVICES)
        rows = found if first is None else chain((first,), found)
        return self._answer(rows, changed, header, (subjects.exactly(subject),))

    def _instances(self, name: str) -> Iterator[Instance]:
        for service in catalog.instances_of(self._rows, name):
            node = catalog.node_of(self._rows, service.node)
            if node is not None:
                checks = [
                    check
                    for check in catalog.checks_of_node(self._rows, service.node)
                    if check.service_id in ("", service.id)
                ]
                yield Instance(node, service, checks)

    def _is_long(self, prefix: bytes) -> bool:
        """Whether more rows, bytes or tombstones have this prefix than one turn should read."""
        size = 0
        stored = self._rows.range(store.KV, prefix, prefix_end(prefix))
        for number, (key, data) in enumerate(stored):
            size += len(key) + len(data)
            if number >= LIST_ROWS or size > LIST_BYTES:
                return True
        if not prefix:
            return False  # its index is that of the table, without a look at tombstones
        graves = self._rows.range(store.KV_TOMB, prefix, prefix_end(prefix))
        return next(islice(graves, LIST_ROWS, None), None) is not None

    def _long(self, prefix: bytes, separator: bytes | None) -> LongList:
        wait = (subjects.beginning(subjects.of_key(prefix)),)
        return LongList(prefix, separator, wait)

    # --- the rules ------------------------------------------------------------------------------

    def _answer(self, value: T, changed: int, header: int, wait: tuple[bytes, ...]) -> Answer[T]:
        changed = max(changed, self._state.restored)
        return Answer(value, changed, max(header, changed, 1), wait)

    def _under(self, prefix: bytes, value: T, newest: int) -> Answer[T]:
        """A prefix: what is there, what was removed, and what may have been forgotten."""
        wait = (subjects.beginning(subjects.of_key(prefix)),)
        table = self._table(Table.KV)
        if not prefix:
            return self._answer(value, table, table, wait)
        for _, grave in self._rows.range(store.KV_TOMB, prefix, prefix_end(prefix)):
            newest = max(newest, index_of(grave))
        changed = max(newest, self._state.floor)
        return self._answer(value, changed, newest or table, wait)

    def _of_table(self, value: T, table: Table) -> Answer[T]:
        index = self._table(table)
        return self._answer(value, index, index, (subjects.exactly(subjects.of_table(table)),))

    def _of_node(self, name: str, value: T, *, is_there: bool) -> Answer[T]:
        subject = subjects.of_node(name)
        changed = self._noted(subject)
        header = changed if is_there else self._table(Table.NODES)
        return self._answer(value, changed, header, (subjects.exactly(subject),))

    def _table(self, table: Table) -> int:
        return self._state.indexes.get(table, 0)

    def _noted(self, subject: bytes) -> int:
        """Newest change of a subject that has a row for it; the floor if that may be forgotten."""
        data = self._rows.get(_SUBJECTS, subject)
        return self._state.floor if data is None else index_of(data)


def _cut(name: bytes, separator: bytes, skip: int) -> bytes:
    """A name up to and with the first separator behind `skip` bytes, if there is one."""
    end = name.find(separator, skip) if separator else -1
    return name[: end + len(separator)] if end >= 0 else name
