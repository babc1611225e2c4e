"""A snapshot for users: the whole state as bytes, and the commands that restore it.

The content is a header, chunks of rows, and a trailer, each a frame (`quorate.chunks`). It holds
the data of users, as the domains define it (`base.domain.Table`), but neither the members, nor what
was applied, nor tombstones: after a restore a blocking query with any older index returns at once.
Times are written so that they are meaningful in another cluster.

The container of the content (a gzipped tar, digests of files) is made by the gateway. Snapshots for
peers are all rows of the tables as stored, and do not use this module.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import msgspec

from quorate.base.errors import RequestError
from quorate.base.formats import ARCHIVE
from quorate.base.ports import View
from quorate.base.schema import Meta
from quorate.chunks import HEAD_BYTES, Chunk, Row, chunk_of, cut, head_of, rows_of, sealed
from quorate.machine.commands import RestoreBegin, RestoreCommit, RestoreRows
from quorate.machine.domains import Domains
from quorate.machine.restore import is_sound
from quorate.machine.rows import ViewRows
from quorate.machine.state import META_GENERATION, STATE_KEY, State, decode_state

MAGIC = b"quorate-state-1\n"
CHUNK_BYTES = 64 * 1024
"""Size of one chunk: one command restores it, and other writes wait for it for milliseconds."""

FRAME_BYTES_MAX = 16 * 1024 * 1024
"""A longer frame is refused before it is read."""

_COUNT_MAX = 2**62
"""Indexes continue from that of a snapshot, and must not overflow."""


class Content(Protocol):
    """The content of a snapshot: bytes, or a file that can be cut like bytes."""

    def __len__(self) -> int:
        """How long it is."""
        ...

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of it."""
        ...


class Info(msgspec.Struct, array_like=True, frozen=True):
    """The header and trailer of a snapshot. `rows` and `bytes` are only known at its end.

    `format`: see `base.formats.ARCHIVE`; of format 1 it is missing.
    """

    index: int
    wall_ms: int
    cluster_id: str
    rows: int = 0
    bytes: int = 0
    format: int = 1


_encode = msgspec.msgpack.Encoder().encode
_decode_info = msgspec.msgpack.Decoder(Info).decode


def content(domains: Domains, view: View) -> Iterator[bytes]:
    """The state of a view, piece by piece; hold the view if it may change meanwhile."""
    state = _state_of(view)
    info = Info(state.index, state.wall_ms, state.cluster_id, format=ARCHIVE.newest)
    yield MAGIC + sealed(_encode(info), crc32).frame
    rows = size = 0
    for piece in cut(saved_rows(domains, view, state), CHUNK_BYTES):
        rows += len(piece)
        size += sum(len(key) + len(value) for key, value in piece)
        yield chunk_of(piece, crc32).frame
    trailer = _encode(msgspec.structs.replace(info, rows=rows, bytes=size))
    yield sealed(b"", crc32).frame + sealed(trailer, crc32).frame


def verify(domains: Domains, data: Content, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> Info:
    """Read a snapshot's content from end to end, a frame at a time.

    Args:
        domains: Whose rows it may hold.
        data: What `content` gave, joined.
        frame_bytes_max: Longer frames are refused: no command could take their rows.

    Raises:
        RequestError: `bad_request`, definite: it is damaged, cut short, or none of ours.
    """
    rows = size = 0
    newest = most = 0
    info: Info | None = None
    for piece in _pieces(data, frame_bytes_max):
        if isinstance(piece, Info):
            info = piece
            continue
        for key, value in piece:
            if not is_sound(domains, key, value):
                raise RequestError("bad_request", "a row of the snapshot cannot be read")
            counted = domains.tables[key[0]].counted
            if counted is not None:
                index, count = counted(value)
                newest, most = max(newest, index), max(most, count)
            rows += 1
            size += len(key) + len(value)
    if info is None or (info.rows, info.bytes) != (rows, size) or newest > info.index:
        raise RequestError("bad_request", "the snapshot is not complete")
    if max(info.index, most) > _COUNT_MAX:
        raise RequestError("bad_request", "the snapshot has an index that is too high")
    return info


class Share(msgspec.Struct):
    """Size of the part of a snapshot that is of one kind."""

    rows: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count a row."""
        self.rows += 1
        self.bytes += size


class Inventory(NamedTuple):
    """The content of a snapshot, counted.

    Attributes:
        info: Its header and trailer.
        tables: Size of each table, by its number.
        keys: Size of the keys below each prefix.
    """

    info: Info
    tables: dict[int, Share]
    keys: dict[str, Share]


def inventory(domains: Domains, data: Content, depth: int = 1, prefix: str = "") -> Inventory:
    """Count the content of a snapshot, a frame at a time.

    Args:
        domains: Whose rows it may hold.
        data: What `content` gave, joined.
        depth: Keys are counted by so many of their parts.
        prefix: Only keys that begin so are counted by their parts.

    Raises:
        RequestError: `bad_request`, definite: it is damaged, cut short, or none of ours.
    """
    tables: dict[int, Share] = {}
    keys: dict[str, Share] = {}
    info = Info(0, 0, "")
    wanted = prefix.encode("utf-8", "surrogateescape")
    by_path = frozenset(number for number, one in domains.tables.items() if one.by_path)
    for piece in _pieces(data, FRAME_BYTES_MAX):
        if isinstance(piece, Info):
            info = piece
            continue
        for key, value in piece:
            size = len(key) + len(value)
            tables.setdefault(key[0], Share()).add(size)
            if key[0] in by_path and key[1:].startswith(wanted):
                parts = key[1:].decode("utf-8", "replace").split("/")
                name = "/".join(parts[:depth])
                keys.setdefault(f"{name}/" if len(parts) > depth else name, Share()).add(size)
    return Inventory(info, tables, keys)


def restore_commands(
    domains: Domains, data: Content, restore_id: str, info: Info | None = None
) -> Iterator[RestoreBegin | RestoreRows | RestoreCommit]:
    """The commands that make a verified snapshot the state of a cluster, in this order.

    Args:
        domains: Whose rows it may hold.
        data: What `content` gave, joined. Read a frame per command.
        restore_id: Drawn by the caller; names this restore.
        info: The result of `verify`; None: it is verified first.
    """
    info = verify(domains, data) if info is None else info
    yield RestoreBegin(restore_id)
    for piece in _pieces(data, FRAME_BYTES_MAX):
        if not isinstance(piece, Info):
            yield RestoreRows(restore_id, piece)
    yield RestoreCommit(restore_id, info.rows, info.index)


def dump(domains: Domains, view: View) -> dict[str, dict[bytes, Any]]:
    """The content of the tables, decoded, by table: to compare replicas and to inspect.

    Rows of the current generation under the table's name; the machine's own under `meta`; rows
    of other generations under `other`.
    """
    state = _state_of(view)
    tables: dict[str, dict[bytes, Any]] = {}
    for key, value in view.range(b""):
        if key[0] == META_GENERATION:
            name = f"meta {Meta(key[1]).name}"
            tables.setdefault(name, {})[key[2:]] = msgspec.msgpack.decode(value)
        elif key[0] == state.generation:
            table = domains.tables[key[1]]
            decoded = None if table.decode is None else table.decode(value)
            rows = tables.setdefault(table.name, {})
            rows[key[2:]] = value if decoded is None else decoded
        else:
            tables.setdefault("other", {})[key] = value
    return tables


def _state_of(view: View) -> State:
    data = view.get(STATE_KEY)
    return State() if data is None else decode_state(data)


def saved_rows(domains: Domains, view: View, state: State) -> Iterator[Row]:
    """The rows that a snapshot holds of a view's current generation; keys begin with the table."""
    rows = ViewRows(view, state)
    for number in domains.saved:
        prefix, saved = bytes((number,)), domains.tables[number].saved
        for key, value in rows.range(number, b""):
            kept = value if saved is None else saved(rows, state.log_time_ms, key, value)
            if kept is not None:
                yield prefix + key, kept


def _pieces(data: Content, frame_bytes_max: int) -> Iterator[tuple[Row, ...] | Info]:
    """Pieces of rows, and at last the trailer."""
    frames = _frames(data, frame_bytes_max)
    try:
        for frame in frames:
            if not frame:
                yield _decode_info(next(frames, b""))
                break
            yield rows_of(frame)
    except (ValueError, msgspec.MsgspecError) as error:  # the first: a text that is none
        raise RequestError("bad_request", f"the snapshot cannot be decoded: {error}") from error
    if next(frames, None) is not None:
        raise RequestError("bad_request", "there are bytes after the end of the snapshot")


def _frames(data: Content, frame_bytes_max: int) -> Iterator[bytes]:
    """The content of the frames after the header."""
    if data[: len(MAGIC)] != MAGIC:
        raise RequestError("bad_request", "not a snapshot of Quorate")
    place = len(MAGIC)
    if place == len(data):
        raise RequestError("bad_request", "the snapshot is empty")
    has_header = False
    while place < len(data):
        head = data[place : place + HEAD_BYTES]
        length, crc = head_of(head)
        place += HEAD_BYTES
        if len(head) < HEAD_BYTES or length > len(data) - place:
            raise RequestError("bad_request", "the snapshot is cut short")
        if length > frame_bytes_max:
            text = (
                f"a piece has {length} bytes, a command at most {frame_bytes_max}: it holds a "
                "longer value than limits.kv_max_value_size allows; raise that on all nodes first"
            )
            raise RequestError("too_large", text)
        body = data[place : place + length]
        place += length
        if not Chunk(body, crc).is_whole(crc32):
            raise RequestError("bad_request", "the snapshot is damaged: a checksum is wrong")
        if has_header:
            yield body
            continue
        has_header = True
        refusal = ARCHIVE.refusal("the snapshot", _decode_info(body).format)
        if refusal:
            raise RequestError("bad_request", refusal)
