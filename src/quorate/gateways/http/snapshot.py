"""Snapshots: `/v1/snapshot`: the whole state as a file, and back.

Packing and unpacking happen in threads; the loop only holds a view, submits commands, and hands
out a file as the client takes it. A restore is a row of ordinary commands; until the last one
nobody sees anything of it.

Source: https://developer.hashicorp.com/consul/api-docs/snapshot.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Protocol, TypeVar, runtime_checkable

from quorate.base.commands import Command
from quorate.base.errors import QuorateError
from quorate.base.outcomes import Outcome
from quorate.base.ports import HeldView, View
from quorate.gateways.http import archive
from quorate.gateways.http.blocking import INDEX_LINES, confirmed, mode_of
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params
from quorate.gateways.http.request import Request
from quorate.machine import snapshot as states
from quorate.machine.queries import Reader

T = TypeVar("T")

_KIND = b"application/x-gzip"
_GROWTH_MAX = 4  # how much larger than the file its content may be


@runtime_checkable
class _Holdable(Protocol):
    def hold(self) -> HeldView: ...


def save(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The whole state as a file."""
    mode = mode_of(context, request, params, knows_namespaces=False)
    confirmed(context, request, mode, partial(_save, context, request))


def _save(context: Context, request: Request) -> None:
    tables: View = context.local.tables
    index = max(Reader(tables).index, 1)
    held = tables.hold() if isinstance(tables, _Holdable) else None
    meta: dict[str, object] = {
        "Version": 1,
        "ID": f"quorate-{index}",
        "Index": index,
        "QuorateVersion": context.config.version,
    }

    def work() -> IO[bytes]:
        try:
            return archive.pack(states.content(tables if held is None else held), meta)
        finally:
            if held is not None:
                held.close()

    def then(file: IO[bytes]) -> None:
        head = context.answers.head(200, _KIND) + INDEX_LINES % index
        size = archive.size_of(file)
        request.answer(b"%bContent-Length: %d\r\n\r\n" % (head, size), archive.pieces(file))

    _in_thread(context, request, work, then)


def restore(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Replace the whole state by that of a file."""
    context.check_datacenter(params)
    data, bytes_max = request.body, context.config.snapshot_bytes_max * _GROWTH_MAX
    restore_id = str(uuid.uuid4())

    def work() -> list[Command]:
        try:
            return list(states.restore_commands(archive.unpack(data, bytes_max), restore_id))
        except archive.ArchiveError as error:
            raise HttpError(500, str(error)) from error
        except QuorateError as error:
            raise HttpError(500, error.text, code=error.code) from error

    def then(commands: list[Command]) -> None:
        _submit_all(context, request, iter(commands), None)

    _in_thread(context, request, work, then)


def _submit_all(
    context: Context, request: Request, commands: Iterator[Command], outcome: Outcome | None
) -> None:
    """Submit the next command when the last one was applied."""
    if outcome is not None and outcome.value is not True:
        raise HttpError(500, "another restore has taken the place of this one", code="precondition")
    command = next(commands, None)
    if command is not None:
        context.submit(request, command, partial(_submit_all, context, request, commands))
    elif outcome is not None:
        context.answers.empty(request, lines=b"X-Quorate-Index: %d\r\n" % outcome.index)


def _in_thread(
    context: Context, request: Request, work: Callable[[], T], then: Callable[[T], None]
) -> None:
    """Do work in a thread, and go on in the loop; what it raises becomes the answer."""

    def done(future: asyncio.Future[T]) -> None:
        if future.cancelled():  # the loop ends, and the client's connection with it
            return
        error = future.exception()
        if error is None:
            context.guarded(request, partial(then, future.result()))
        elif isinstance(error, Exception):
            context.fail(request, error)

    asyncio.get_running_loop().run_in_executor(None, work).add_done_callback(done)
