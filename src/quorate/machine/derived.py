"""Secondary indexes: rows that follow from rows of another table (`base.domain.Derived`).

Handlers maintain them. This module makes missing ones, and checks them.

IDX-1: after every batch the rows of an index are those that its source's rows of the current
    generation give; `differences` lists violations.
IDX-2: replicas need not agree on them (ROW-6 in `machine.rows`): when one was made, and by which
    version, influences neither the digest nor what a sweep counts.
IDX-3: a row of the machine lists the indexes that the tables hold. One that is not listed is made
    anew before anything is applied; one that is listed and not known to this version is taken off
    the list, since it is not maintained any more.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import islice

import msgspec

from quorate.base.errors import StorageError
from quorate.base.ports import Tables, Transaction, View
from quorate.base.schema import prefix_end
from quorate.machine.domains import Domains
from quorate.machine.rows import WRITE_UNITS, BatchRows, ViewRows
from quorate.machine.state import DERIVED_KEY, STATE_KEY, State, decode_state, prefixes

_PIECE = 32
_TRANSACTION = 8_192
_TRIES = 4
"""A transaction that outgrows the store is tried again: the runtime enlarges the store in steps."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, int]).decode


def mark(transaction: Transaction, domains: Domains) -> None:
    """Record that the tables hold every index that this version knows (IDX-3)."""
    transaction.put(DERIVED_KEY, _encode(domains.derived_versions))


def make_up(tables: Tables, domains: Domains, state: State) -> None:
    """Make missing indexes. Cost: O(rows of their sources), nothing if none is missing.

    In transactions of bounded size; the last one records that they are complete.

    Raises:
        StorageError: The tables are damaged, or there is no space; incomplete indexes are not read.
    """
    data = tables.get(DERIVED_KEY)
    held = {} if data is None else _decode(data)
    if held == domains.derived_versions or state == State():
        return
    versions = domains.derived_versions.items()
    lacking = {number for number, version in versions if held.get(number) != version}
    for number in sorted(lacking):
        while piece := list(islice(_table(tables, state.generation, number), _TRANSACTION)):
            _commit(tables, [(key, None) for key, _ in piece])
    made = _made(tables, domains, state, lacking)
    while rows := list(islice(made, _TRANSACTION)):
        _commit(tables, rows)
    _commit(tables, [(DERIVED_KEY, _encode(domains.derived_versions))])


def _made(
    tables: Tables, domains: Domains, state: State, lacking: set[int]
) -> Iterator[tuple[bytes, bytes]]:
    """The rows of missing indexes; the caller may commit those it has before it takes the next."""
    place = prefixes(state.generation)
    for source, indexes in domains.derived.items():
        wanted = [(place[number], one.keys) for number, one in indexes if number in lacking]
        if not wanted:
            continue
        prefix = place[source]
        ranged = partial(_until, tables, prefix_end(prefix))
        for full, value in in_pieces(ranged, prefix):
            for index, keys in wanted:
                for key in keys(full[len(prefix) :], value):
                    yield index + key, b""


def _commit(tables: Tables, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
    for left in reversed(range(_TRIES)):
        transaction = tables.begin()
        try:
            for key, value in rows:
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)
            transaction.commit()
        except StorageError as error:
            transaction.abort()
            if error.code != "disk_full" or left == 0:
                raise
        except BaseException:
            transaction.abort()
            raise
        else:
            return


def derive_all(rows: BatchRows) -> Generator[None, None, None]:
    """Make all indexes of a generation that just became the current one and has none.

    Yields whenever this turn's share of work is done.
    """
    for source, indexes in rows.domains.derived.items():
        for key, value in in_pieces(partial(rows.range, source)):
            units = 0
            for number, one in indexes:
                for derived in one.keys(key, value):
                    rows.add_derived(number, derived)
                    units += WRITE_UNITS
            if rows.spend(units):
                yield


def differences(domains: Domains, view: View) -> list[str]:
    """Violations of IDX-1 as sentences. For tests and the simulator."""
    data = view.get(STATE_KEY)
    state = State() if data is None else decode_state(data)
    rows, found = ViewRows(view, state), list[str]()
    for source, indexes in domains.derived.items():
        for number, one in indexes:
            expected = [key for pair in rows.range(source, b"") for key in one.keys(*pair)]
            held = {key for key, _ in rows.range(number, b"")}
            name = domains.tables[number].name
            if len(set(expected)) != len(expected):
                found.append(f"{name}: two rows of its source give one key")
            found += [f"{name}: lacks {key!r}" for key in sorted(set(expected) - held)]
            found += [f"{name}: has {key!r}" for key in sorted(held - set(expected))]
    return found


def in_pieces(
    rows: Callable[[bytes], Iterator[tuple[bytes, bytes]]], first: bytes = b""
) -> Iterator[tuple[bytes, bytes]]:
    """Every row from `first` on, of tables that change meanwhile; no row is added after `first`."""
    while piece := list(islice(rows(first), _PIECE)):
        yield from piece
        first = piece[-1][0] + b"\0"


def own_rows(rows: BatchRows, generation: int) -> Iterator[tuple[bytes, bytes]]:
    """All rows of indexes in a generation, with full keys."""
    for number in sorted(rows.domains.derived_versions):
        yield from _table(rows.transaction, generation, number)


def other_rows(rows: BatchRows, generation: int) -> Iterator[tuple[bytes, bytes]]:
    """All rows of a generation but those of indexes, with full keys."""
    place = prefixes(generation)
    first = bytes((generation,))
    for number in sorted(rows.domains.derived_versions):
        yield from rows.transaction.range(first, place[number])
        first = prefix_end(place[number]) or first
    yield from rows.transaction.range(first, prefix_end(bytes((generation,))))


def _until(view: View, last: bytes | None, first: bytes) -> Iterator[tuple[bytes, bytes]]:
    return view.range(first, last)


def _table(view: View, generation: int, number: int) -> Iterator[tuple[bytes, bytes]]:
    prefix = prefixes(generation)[number]
    return view.range(prefix, prefix_end(prefix))
