"""Snapshots: `/v1/snapshot`: the whole state as a file, and back.

Packing and unpacking happen in threads, on disk; the loop only holds a view, submits commands, and
sends the file. A restore is a sequence of ordinary commands; nothing of it is visible before the
last one is applied. The number of snapshots in progress is limited (`transfers.Snapshots`).

Source: https://developer.hashicorp.com/consul/api-docs/snapshot.
"""

import asyncio
import io
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, TypeVar

from quorate.base.command import Command
from quorate.base.errors import InvariantError, RequestError
from quorate.base.outcomes import Outcome
from quorate.domains import DOMAINS
from quorate.gateways.http import archive
from quorate.gateways.http.blocking import INDEX_LINES, confirmed, mode_of
from quorate.gateways.http.callers import HttpCaller
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params
from quorate.gateways.http.transfers import Snapshots
from quorate.httpserver.request import PIECE_BYTES, Owned, Request
from quorate.httpserver.spool import SpaceFile, Spool
from quorate.machine import snapshot as states
from quorate.machine.queries import Reader
from quorate.serving.held import HeldState, when_held

T = TypeVar("T")

_KIND = b"application/x-gzip"
_UNCHANGED = "; nothing was changed"
_GROWTH_MAX = 4  # how much larger than the file its content may be


# --- saving -----------------------------------------------------------------------------------


class _Saved:
    """A snapshot that is saved: it is counted, has a view, and a file once it is made."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._file: SpaceFile | None = None
        self.held: HeldState | None = None
        snapshots.begin_save()

    def hold(self, held: HeldState) -> None:
        """Save this view."""
        self.held = held

    def pieces(self, file: SpaceFile) -> Iterator[bytes]:
        """The bytes of the file, read piece by piece."""
        self._file = file
        source = file.rewind()
        return iter(lambda: source.read(PIECE_BYTES), b"")

    def close(self) -> None:
        """It was sent, or the connection has ended."""
        if self.held is not None:
            self.held.close()
        if self._file is not None:
            self._file.close_soon()
        self._snapshots.end_save()


def save(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Send the whole state as a file."""
    mode_of(context, request, params, knows_namespaces=False)
    confirmed(context, request, partial(_save, context, request))


def _save(context: Context, request: Request) -> None:
    saved = _Saved(context.shared.snapshots)
    request.own(saved)
    caller = HttpCaller(context, request)
    when_held(context.serving, caller, partial(_save_held, context, request, saved))


def _save_held(context: Context, request: Request, saved: _Saved, held: HeldState) -> None:
    saved.hold(held)
    index = max(Reader(held.view).index, 1)
    meta: dict[str, object] = {
        "Version": 1,
        "ID": f"quorate-{index}",
        "Index": index,
        "QuorateVersion": context.config.version,
    }

    def work() -> SpaceFile:
        try:
            content = states.content(DOMAINS, held.view)
            return archive.pack(content, meta, context.shared.snapshots.space)
        finally:
            held.close()

    def then(file: SpaceFile) -> None:
        head = context.responses.head(200, _KIND) + INDEX_LINES % index
        chunks = saved.pieces(file)
        request.answer(b"%bContent-Length: %d\r\n\r\n" % (head, file.size), chunks)

    _in_thread(context, request, work, then)


# --- restoring --------------------------------------------------------------------------------


class FileContent:
    """A file that can be sliced like bytes; implements `machine.snapshot.Content`.

    Args:
        file: Read by one thread at a time.
        size: Its length.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size

    def __len__(self) -> int:
        """Its length in bytes."""
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        """A slice: one read."""
        first, last, _ = part.indices(self._size)
        self._file.seek(first)
        return self._file.read(max(0, last - first))


def _write_state(state: SpaceFile, piece: bytes) -> None:
    """Write a piece of the state; a state of another product is refused by its first piece."""
    if not state.size:
        archive.check_state(piece, states.MAGIC)
    state.write(piece)


class _Restored:
    """A snapshot that is restored: only one at a time; has the upload and the unpacked state."""

    def __init__(self, snapshots: Snapshots, upload: Owned | None) -> None:
        self._snapshots = snapshots
        self._upload = upload
        self._state: SpaceFile | None = None
        snapshots.begin_restore()

    def unpacked(self, file: IO[bytes], bytes_max: int) -> FileContent:
        """The state of an archive, checked against its digests. In a thread."""
        state = self._state = self._snapshots.space.file()
        archive.unpack(file, bytes_max, partial(_write_state, state))
        return FileContent(state.rewind(), state.size)

    def close_upload(self) -> None:
        """Close the upload: it is not needed any more."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.close()

    def close(self) -> None:
        """It was restored, or refused."""
        self.close_upload()
        if self._state is not None:
            self._state.close_soon()
        self._snapshots.end_restore()


def restore(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Replace the whole state by that of a file."""
    context.check_datacenter(params)
    spool = request.sink
    if not isinstance(spool, Spool):
        _restore(context, request, io.BytesIO(request.body))
        return

    def came() -> None:
        if spool.error is not None:
            context.fail(request, spool.error)
        else:
            context.guarded(request, lambda: _restore(context, request, spool.rewound()))

    spool.whole(came)


def _restore(context: Context, request: Request, file: IO[bytes]) -> None:
    restored = _Restored(context.shared.snapshots, request.sink)
    request.own(restored)
    config = context.config
    restore_id = str(uuid.uuid4())

    def work() -> Iterator[Command]:
        try:
            content = restored.unpacked(file, config.snapshot_bytes_max * _GROWTH_MAX)
            info = states.verify(DOMAINS, content, frame_bytes_max=config.command_bytes_max)
        except archive.ArchiveError as error:
            raise HttpError(500, f"{error}{_UNCHANGED}") from error
        except RequestError as error:  # an error of the client, but 500 as in Consul
            text = f"failed to read snapshot file: {archive.STATE}: {error.text}{_UNCHANGED}"
            raise HttpError(500, text, code=error.code) from error
        return states.restore_commands(DOMAINS, content, restore_id, info)

    def then(commands: Iterator[Command]) -> None:
        restored.close_upload()
        _submit_next(context, request, commands, None)

    _in_thread(context, request, work, then)


def _submit_next(
    context: Context, request: Request, commands: Iterator[Command], outcome: Outcome | None
) -> None:
    """Submit the next command when the last one was applied; a thread reads it."""
    if outcome is not None and outcome.value is not True:
        raise HttpError(500, "another restore has taken the place of this one", code="precondition")

    def then(command: Command | None) -> None:
        if command is not None:
            context.submit(request, command, partial(_submit_next, context, request, commands))
        elif outcome is not None:
            context.responses.empty(request, lines=b"X-Quorate-Index: %d\r\n" % outcome.index)

    _in_thread(context, request, lambda: next(commands, None), then)


def _in_thread(
    context: Context, request: Request, work: Callable[[], T], then: Callable[[T], None]
) -> None:
    """Run `work` in a thread, then `then` in the loop; what either raises becomes the response.

    Errors that the node must know are passed to it: here they would only end a callback.

    Raises:
        RuntimeError: The system has no thread for it.
    """

    def done(future: asyncio.Future[T]) -> None:
        if future.cancelled():  # the loop ends, and with it the connection
            return
        error = future.exception()
        try:
            if error is None:
                context.guarded(request, partial(then, future.result()))
            else:
                context.fail(request, error)
        except (Exception, InvariantError) as fault:  # noqa: BLE001 - answered already; for the node
            context.shared.slices.on_error(fault)
        if isinstance(error, InvariantError):
            context.shared.slices.on_error(error)

    asyncio.get_running_loop().run_in_executor(None, work).add_done_callback(done)
