"""A snapshot as a file: a gzipped tar of `meta.json`, `state.bin` and `SHA256SUMS`.

What `state.bin` holds is `machine.snapshot`'s. Everything here may run in a thread, and holds no
more than a piece in memory: a small file may unpack to a huge one, so every limit is checked
before the bytes are made.
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from quorate.httpserver.spool import Space, SpaceFile

CHUNK_BYTES = 256 * 1024
UNLIMITED_BYTES = 1 << 50
SMALL_BYTES_MAX = 1024 * 1024
"""The longest `meta.json` or `SHA256SUMS`."""

_LEVEL = 3
_GZIP = 16 + zlib.MAX_WBITS
_MEMBERS_MAX = 8
_UNREADABLE = "failed to read snapshot file: "
_UNPACKABLE = "failed to decompress snapshot: "
_IS = "a snapshot of Quorate is a gzipped tar of meta.json, state.bin and SHA256SUMS"
_GZIP_MAGIC = b"\x1f\x8b\x08"
_BLOCK_BYTES = 512
_NAME, _SIZE, _SUM, _KIND = slice(0, 100), slice(124, 136), slice(148, 156), 156  # in a header
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
META, STATE, SUMS = "meta.json", "state.bin", "SHA256SUMS"
_decode_meta = msgspec.json.Decoder(dict[str, object]).decode


class ArchiveError(Exception):
    """It is no whole archive of ours; the text says why."""


class Scanned(NamedTuple):
    """What an archive holds.

    Attributes:
        small: `meta.json` and `SHA256SUMS`, as far as they are there.
        digests: SHA-256 of each file in it, in hexadecimal digits.
        sizes: Bytes of each file.
    """

    small: dict[str, bytes]
    digests: dict[str, str]
    sizes: dict[str, int]


def pack(content: Iterable[bytes], meta: dict[str, object], space: Space) -> SpaceFile:
    """Make an archive.

    Args:
        content: The state, piece by piece.
        meta: What is said about it.
        space: Where the file goes.

    Raises:
        StorageError: There is no space for it, or no file descriptor; nothing is left behind.
    """
    digest = hashlib.sha256()
    state = space.file()
    try:
        for piece in content:
            digest.update(piece)
            state.write(piece)
        meta_bytes = json.dumps(meta).encode()
        sums = f"{hashlib.sha256(meta_bytes).hexdigest()}  {META}\n{digest.hexdigest()}  {STATE}\n"
        out = space.file()
        try:
            with (
                gzip.GzipFile(fileobj=out, mode="wb", compresslevel=_LEVEL, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w") as tar,
            ):
                _add(tar, META, len(meta_bytes), io.BytesIO(meta_bytes))
                _add(tar, STATE, state.size, state.rewind())
                _add(tar, SUMS, len(sums), io.BytesIO(sums.encode()))
        except BaseException:
            out.close()
            raise
    finally:
        state.close()
    return out


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o600
    tar.addfile(info, content)


def unpack(file: IO[bytes], bytes_max: int, write: Callable[[bytes], object]) -> Scanned:
    """Read an archive, hand on its state piece by piece, and check its digests.

    Args:
        file: At its start.
        bytes_max: How large it may become.
        write: Takes the state; worth nothing if this raises.

    Raises:
        ArchiveError: It is damaged, too large, or not written by Quorate.
    """
    found = scan(file, bytes_max, write)
    missing = [name for name in (META, STATE, SUMS) if name not in found.sizes]
    if missing:
        raise ArchiveError(f"{_UNREADABLE}it lacks {', '.join(missing)}; {_IS}")
    lines = found.small[SUMS].decode("ascii", "replace").splitlines()
    wanted = {tuple(line.split()) for line in lines}
    for name in (META, STATE):
        if (found.digests[name], name) not in wanted:
            raise ArchiveError(f"{_UNREADABLE}the digest of {name} is wrong")
    return found


def verify(path: Path, state: IO[bytes] | None = None) -> tuple[dict[str, object], Scanned]:
    """Read a file and check every digest in it; returns its `meta.json`, and what it contains.

    Args:
        path: The file.
        state: Where its state is written; None: nowhere.

    Raises:
        ArchiveError: It is no archive of ours, or not whole.
        OSError: It cannot be read.

    Cost: unpacks the whole file once, in pieces.
    """
    with path.open("rb") as file:
        found = unpack(file, UNLIMITED_BYTES, len if state is None else state.write)
    try:
        return _decode_meta(found.small[META]), found
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ArchiveError(f"{META} cannot be read: {error}") from error


def scan(file: IO[bytes], bytes_max: int, write: Callable[[bytes], object]) -> Scanned:
    """Read an archive to its end. No digest is compared.

    Not by `tarfile`, which believes what a header says of lengths, holes and further headers.

    Args:
        file: At its start.
        bytes_max: How large it may become.
        write: Takes `state.bin`, piece by piece.

    Raises:
        ArchiveError: It cannot be read, or becomes too large.

    Cost: memory for a few pieces of 256 KiB, however large it is.
    """
    found = Scanned({}, {}, {})
    content = _Inflated(file, bytes_max)
    count = 0
    while (head := content.read(_BLOCK_BYTES)).strip(b"\0"):  # zeros: the end
        size = _size_in(head)
        name = head[_NAME].partition(b"\0")[0].decode("ascii", "replace")
        is_plain = head[_KIND] in b"0\0"
        count += 1
        if count > _MEMBERS_MAX:
            raise ArchiveError(_UNREADABLE + "it holds too many files")
        if is_plain:
            _scan_member(content, name, size, found, write)
        else:
            content.skip(size)
        content.skip(-size % _BLOCK_BYTES)
    content.finish()
    return found


def check_state(first: bytes, magic: bytes) -> None:
    """Check how `state.bin` begins: Consul's file is packed in the same way.

    Args:
        first: Its first bytes, as many as `magic` has or more.
        magic: How one of ours begins.

    Raises:
        ArchiveError: It was not written by Quorate.
    """
    if not first.startswith(magic):
        raise ArchiveError(
            f"{_UNREADABLE}{STATE} was not written by Quorate; a snapshot of Consul cannot be "
            "restored here, as only Consul can read it"
        )


def _scan_member(
    content: "_Inflated", name: str, size: int, found: Scanned, write: Callable[[bytes], object]
) -> None:
    if name not in (META, STATE, SUMS):
        raise ArchiveError(f"{_UNREADABLE}unexpected file {json.dumps(name)} in it; {_IS}")
    kept: list[bytes] | None = [] if name in (META, SUMS) else None
    if kept is not None and size > SMALL_BYTES_MAX:
        raise ArchiveError(f"{_UNREADABLE}{name} is too long")
    if name in found.sizes:
        raise ArchiveError(f"{_UNREADABLE}it holds {name} twice")
    digest = hashlib.sha256()
    left_bytes = size
    while left_bytes:
        piece = content.read(min(left_bytes, CHUNK_BYTES))
        if not piece:
            raise ArchiveError(f"{_UNREADABLE}unexpected EOF: {name} is cut short")
        left_bytes -= len(piece)
        digest.update(piece)
        if kept is not None:
            kept.append(piece)
        elif name == STATE:
            write(piece)
    found.digests[name], found.sizes[name] = digest.hexdigest(), size
    if kept is not None:
        found.small[name] = b"".join(kept)


class _Inflated:
    """The content of a gzip file, made piece by piece."""

    def __init__(self, file: IO[bytes], bytes_max: int) -> None:
        self._file = file
        self._bytes_max = bytes_max
        self._inflater = zlib.decompressobj(_GZIP)
        self._made = b""
        self._size = 0
        self._read_bytes = 0

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end."""
        made = self._made
        while len(made) < size and (more := self._next()):
            made += more
        self._made = made[size:]
        return made[:size]

    def skip(self, size: int) -> None:
        """Leave out so many bytes."""
        while size:
            piece = self.read(min(size, CHUNK_BYTES))
            if not piece:
                raise ArchiveError(_UNREADABLE + "unexpected EOF: the tar in it is cut short")
            size -= len(piece)

    def finish(self) -> None:
        """Read to the end: only there the file's own checksum is compared.

        Raises:
            ArchiveError: Something other than zeros follows, or anything behind the gzip data.
        """
        while piece := self.read(CHUNK_BYTES):
            if piece.strip(b"\0"):
                raise ArchiveError(_UNREADABLE + "something follows the end of the tar in it")
        rest_bytes = len(self._inflater.unused_data)
        while piece := self._file.read(CHUNK_BYTES):
            rest_bytes += len(piece)
        if rest_bytes:
            raise ArchiveError(
                f"{_UNPACKABLE}gzip: invalid header: {rest_bytes} bytes follow the end of the "
                "snapshot; it is not used as it was changed after it was made"
            )

    def _next(self) -> bytes:
        """The next bytes, at most `CHUNK_BYTES`; empty at the end."""
        inflater, made = self._inflater, b""
        try:
            while not made and not inflater.eof:
                piece = inflater.unconsumed_tail or self._file.read(CHUNK_BYTES)
                if not inflater.unconsumed_tail:
                    self._check(piece)
                made = inflater.decompress(piece, CHUNK_BYTES)
        except zlib.error as error:
            raise ArchiveError(_UNPACKABLE + _fault(str(error))) from error
        self._size += len(made)
        if self._size > self._bytes_max:
            raise ArchiveError(f"{_UNPACKABLE}it becomes larger than {self._bytes_max} bytes")
        return made

    def _check(self, piece: bytes) -> None:
        """Refuse the end where more must come, and what does not begin as a gzip file does."""
        if not piece and not self._read_bytes:
            raise ArchiveError(f"{_UNPACKABLE}EOF: the file is empty; {_IS}")
        begins = piece[: len(_GZIP_MAGIC)]
        if not self._read_bytes and not _GZIP_MAGIC.startswith(begins):
            raise ArchiveError(f"{_UNPACKABLE}gzip: invalid header: it is no gzip file; {_IS}")
        if not piece:
            raise ArchiveError(
                f"{_UNPACKABLE}unexpected EOF: the file is cut short, it ends after "
                f"{self._read_bytes} bytes"
            )
        self._read_bytes += len(piece)


def _fault(text: str) -> str:
    """What zlib found, in words that say which part of the file is wrong."""
    if "header" in text:
        return "gzip: invalid header: its first bytes are damaged"
    if "incorrect" in text:
        return "gzip: invalid checksum: the file is damaged"
    return "deflate: corrupt input: the file is damaged"


def _size_in(head: bytes) -> int:
    """The length of what follows a header, if that is one."""
    size, crc = _OCTAL.fullmatch(head[_SIZE]), _OCTAL.fullmatch(head[_SUM])
    blank = head[: _SUM.start] + b" " * 8 + head[_SUM.stop :]
    if len(head) < _BLOCK_BYTES or size is None or crc is None or sum(blank) != int(crc[1], 8):
        raise ArchiveError(f"{_UNREADABLE}a header of the tar in it is damaged; {_IS}")
    return int(size[1], 8)
