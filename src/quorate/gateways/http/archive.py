"""A snapshot as a file: a gzipped tar of `meta.json`, `state.bin` and `SHA256SUMS`.

What `state.bin` holds is `machine.snapshot`'s. Everything here may run in a thread.
"""

import hashlib
import io
import json
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

MEMORY_BYTES_MAX = 16 * 1024 * 1024
"""A longer archive is kept in a temporary file while it is made or read."""

_CHUNK_BYTES = 256 * 1024
_LEVEL = 3
_GZIP = 16 + zlib.MAX_WBITS
_MEMBERS_MAX = 8
_UNREADABLE = "failed to read snapshot file: "
_BLOCK_BYTES = 512
_NAME, _SIZE, _SUM, _KIND = slice(0, 100), slice(124, 136), slice(148, 156), 156  # in a header
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
META, STATE, SUMS = "meta.json", "state.bin", "SHA256SUMS"


class ArchiveError(Exception):
    """It is no whole archive of ours; the text says why."""


def pack(content: Iterable[bytes], meta: dict[str, object]) -> IO[bytes]:
    """Make an archive; returns an open file at its start, which goes when it is closed.

    Args:
        content: The state, piece by piece.
        meta: What is said about it.
    """
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(MEMORY_BYTES_MAX) as state:
        for piece in content:
            digest.update(piece)
            state.write(piece)
        size = state.tell()
        state.seek(0)
        meta_bytes = json.dumps(meta).encode()
        sums = f"{hashlib.sha256(meta_bytes).hexdigest()}  {META}\n{digest.hexdigest()}  {STATE}\n"
        out = tempfile.SpooledTemporaryFile(MEMORY_BYTES_MAX)  # noqa: SIM115 - the caller closes it
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=_LEVEL) as tar:
            _add(tar, META, len(meta_bytes), io.BytesIO(meta_bytes))
            _add(tar, STATE, size, state)
            _add(tar, SUMS, len(sums), io.BytesIO(sums.encode()))
    out.seek(0)
    return out


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o600
    tar.addfile(info, content)


def size_of(file: IO[bytes]) -> int:
    """The length of a file, which is at its start again afterwards."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """A file's bytes, then it is closed; closed too if nobody wants the rest."""
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def unpack(data: bytes, bytes_max: int) -> bytes:
    """Read an archive and check its digests; returns the state.

    Args:
        data: The whole file.
        bytes_max: How large it may become.

    Raises:
        ArchiveError: It is damaged, too large, or none of ours.
    """
    with tempfile.SpooledTemporaryFile(MEMORY_BYTES_MAX) as plain:
        _inflate(data, plain, bytes_max)
        found = _members(plain)
    missing = [name for name in (META, STATE, SUMS) if name not in found]
    if missing:
        raise ArchiveError(f"{_UNREADABLE}it lacks {', '.join(missing)}")
    wanted = {tuple(line.split()) for line in found[SUMS].decode("ascii", "replace").splitlines()}
    for name in (META, STATE):
        if (hashlib.sha256(found[name]).hexdigest(), name) not in wanted:
            raise ArchiveError(f"{_UNREADABLE}the digest of {name} is wrong")
    return found[STATE]


def _inflate(data: bytes, out: IO[bytes], bytes_max: int) -> None:
    prefix = "failed to decompress snapshot: "
    if not data:
        raise ArchiveError(prefix + "EOF")
    inflater = zlib.decompressobj(_GZIP)
    view, place, size = memoryview(data), 0, 0
    try:
        while not inflater.eof:
            piece = inflater.unconsumed_tail or bytes(view[place : place + _CHUNK_BYTES])
            place += 0 if inflater.unconsumed_tail else len(piece)
            if not piece:
                raise ArchiveError(prefix + "unexpected EOF")
            made = inflater.decompress(piece, _CHUNK_BYTES)
            size += len(made)
            if size > bytes_max:
                raise ArchiveError(f"{prefix}it becomes larger than {bytes_max} bytes")
            out.write(made)
    except zlib.error as error:
        raise ArchiveError(prefix + str(error)) from error


def _members(plain: IO[bytes]) -> dict[str, bytes]:
    """The files of ours in a tar; what else it holds is skipped.

    Not by `tarfile`, which believes what a header says of lengths, holes and further headers.
    """
    found: dict[str, bytes] = {}
    count, left_bytes = 0, size_of(plain)
    while (head := plain.read(_BLOCK_BYTES)).strip(b"\0"):  # zeros: the end
        size = _size_in(head)
        padding = -size % _BLOCK_BYTES
        left_bytes -= _BLOCK_BYTES + size + padding
        if left_bytes < 0:
            raise ArchiveError(_UNREADABLE + "unexpected EOF")
        name = head[_NAME].partition(b"\0")[0].decode("ascii", "replace")
        is_plain = head[_KIND] in b"0\0"
        count += is_plain
        if count > _MEMBERS_MAX:
            raise ArchiveError(_UNREADABLE + "it holds too many files")
        if is_plain and name in (META, STATE, SUMS):
            found[name] = plain.read(size)
            size = 0
        plain.seek(size + padding, io.SEEK_CUR)
    return found


def _size_in(head: bytes) -> int:
    """The length of what follows a header, if that is one."""
    size, crc = _OCTAL.fullmatch(head[_SIZE]), _OCTAL.fullmatch(head[_SUM])
    blank = head[: _SUM.start] + b" " * 8 + head[_SUM.stop :]
    if len(head) < _BLOCK_BYTES or size is None or crc is None or sum(blank) != int(crc[1], 8):
        raise ArchiveError(_UNREADABLE + "a header is damaged")
    return int(size[1], 8)
