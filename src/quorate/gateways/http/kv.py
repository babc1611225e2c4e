"""Keys: `/v1/kv/:key`. The plainest GET and PUT are the hot path of the product.

Source: https://developer.hashicorp.com/consul/api-docs/kv.
"""

from functools import partial
from typing import Any

import msgspec

from quorate.base.command import Command
from quorate.base.errors import QuorateError
from quorate.base.outcomes import Outcome
from quorate.gateways.http.blocking import mode_of, read
from quorate.gateways.http.context import DEFAULT_LINES, Context, check_enterprise
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.longlists import Listing
from quorate.gateways.http.params import Params, unsigned
from quorate.gateways.http.responses import TEXT, go_json
from quorate.httpserver.request import Request
from quorate.kv.commands import (
    KvAcquire,
    KvCas,
    KvDelete,
    KvDeleteCas,
    KvDeleteTree,
    KvRelease,
    KvSet,
)
from quorate.kv.queries import kv_at_once, kv_get, kv_keys_in_turn, kv_list_in_turn
from quorate.kv.tables import KvPair, KvRow
from quorate.serving.evaluations import Evaluated

_RAW_LINES = b"X-Content-Type-Options: nosniff\r\nContent-Security-Policy: sandbox\r\n"
_SAFE_QUICK = 1400  # longer values are sent by `send_shared`, which may compress them
_INDEX = b"%bX-Consul-Index: %d\r\n"
_TRUE = b"X-Quorate-Index: %d\r\nContent-Length: 4\r\n\r\ntrue"


class KvShown(msgspec.Struct, rename="pascal"):
    """A key as the API shows it."""

    lock_index: int
    key: str
    flags: int
    value: bytes | None
    create_index: int
    modify_index: int
    session: str | msgspec.UnsetType = msgspec.UNSET


def shown(key: bytes, row: KvRow) -> KvShown:
    """A key as the API shows it."""
    return KvShown(
        row.lock_index,
        key.decode("utf-8", "replace"),
        row.flags,
        row.value or None,
        row.create_index,
        row.modify_index,
        row.session or msgspec.UNSET,
    )


# --- the hot path -----------------------------------------------------------------------------


def quick_get(context: Context, request: Request, key: bytes) -> None:
    """Read one key with the default consistency."""
    context.serving.confirm(request.context, partial(_got, context, request, key))


def quick_stale_get(context: Context, request: Request, key: bytes) -> None:
    """Read one key from the tables of this node, without a confirmation round."""
    context.serving.check_kept_up()
    if request.is_wanted():
        _send_key(context, request, key, context.stale_lines())
    else:
        request.postpone(partial(quick_stale_get, context, request, key))


def _got(context: Context, request: Request, key: bytes, log_time_ms: int | QuorateError) -> None:
    if isinstance(log_time_ms, QuorateError):
        context.fail(request, log_time_ms)
    elif request.is_wanted():
        _send_key(context, request, key, DEFAULT_LINES)
    else:
        request.postpone(partial(_send_key, context, request, key, DEFAULT_LINES))


def _send_key(context: Context, request: Request, key: bytes, lines: bytes) -> None:
    try:
        responses = context.responses
        reader = context.reader()
        found = kv_at_once(reader, key)
        if found is None or len(found[0].value) > _SAFE_QUICK:
            answer = kv_get(reader, key)
            _render_key(context, request, Evaluated(answer), _INDEX % (lines, answer.header))
            return
        row, index = found
        body = go_json([shown(key, row)], is_pretty=responses.is_pretty)
        request.answer(
            b"%b%bX-Consul-Index: %d\r\nContent-Length: %d\r\n\r\n%b"
            % (responses.json_200, lines, index, len(body), body)
        )
    except Exception as error:  # noqa: BLE001 - it is answered, and raised again if it is ours
        context.fail(request, error)


def quick_put(context: Context, request: Request, key: bytes) -> None:
    """Write one key unconditionally."""
    done = partial(_put_done, context, request)
    context.serving.submit(request.context, KvSet(key, request.body), done)


def _put_done(context: Context, request: Request, outcome: Outcome | QuorateError) -> None:
    if type(outcome) is Outcome and outcome.value is True:
        request.answer(context.responses.json_200 + _TRUE % outcome.index)
    else:
        context.submitted(request, outcome, partial(_answer_bool, context, request))


# --- reading ----------------------------------------------------------------------------------


def get(context: Context, request: Request, params: Params, key: bytes) -> None:
    """Read a key, the keys below a prefix, or their names."""
    _check_key(context, key)
    mode = mode_of(context, request, params)
    if "keys" in params:
        _get_names(context, request, params, key)
        return
    if "recurse" in params:
        read(
            context,
            request,
            mode,
            lambda reader: kv_list_in_turn(reader, key),
            partial(_render_list, context, request),
            listing=Listing(_shown_entries),
        )
        return
    if not key:
        raise HttpError(400, "Missing key name")
    render = _render_raw if "raw" in params else _render_key
    read(
        context,
        request,
        mode,
        lambda reader: kv_get(reader, key),
        partial(render, context, request),
    )


def _get_names(context: Context, request: Request, params: Params, prefix: bytes) -> None:
    mode = mode_of(context, request, params)
    separator = params.raw("separator") or params.raw("seperator")  # codespell:ignore

    def render(answer: Evaluated, lines: bytes) -> None:
        if not answer.value and prefix:
            context.responses.empty(request, status=404, lines=lines)
            return
        context.send_shared(request, answer, lambda: _shown_names(answer.value), lines)

    read(
        context,
        request,
        mode,
        lambda reader: kv_keys_in_turn(reader, prefix, separator),
        render,
        listing=Listing(_shown_names, is_found_if_empty=not prefix),
    )


def _render_key(context: Context, request: Request, answer: Evaluated, lines: bytes) -> None:
    if answer.value is None:
        context.responses.empty(request, status=404, lines=lines)
    else:
        key, row = answer.value.key, answer.value.row
        context.send_shared(request, answer, lambda: [shown(key, row)], lines)


def _render_raw(context: Context, request: Request, answer: Evaluated, lines: bytes) -> None:
    if answer.value is None:
        context.responses.empty(request, status=404, lines=lines)
    else:
        value = answer.value.row.value
        context.responses.send(request, value, kind=TEXT, lines=lines + _RAW_LINES)


def _render_list(context: Context, request: Request, answer: Evaluated, lines: bytes) -> None:
    if not answer.value:
        context.responses.empty(request, status=404, lines=lines)
    else:
        context.send_shared(request, answer, lambda: _shown_entries(answer.value), lines)


def _shown_entries(entries: list[KvPair]) -> list[KvShown]:
    return [shown(entry.key, entry.row) for entry in entries]


def _shown_names(names: list[bytes]) -> list[str]:
    return [name.decode("utf-8", "replace") for name in names]


# --- writing ----------------------------------------------------------------------------------


def put(context: Context, request: Request, params: Params, key: bytes) -> None:
    """Write a key, also conditionally (`cas`), or lock or unlock it."""
    check_enterprise(request, params)
    if not key:
        raise HttpError(400, "Missing key name")
    _check_key(context, key)
    _check_conflict(params, ("cas", "acquire", "release"))
    flags = _number(params, "flags")
    value = request.body
    command: Command
    if "cas" in params:
        command = KvCas(key, value, flags, _number(params, "cas"))
    elif "acquire" in params:
        command = KvAcquire(key, value, flags, params.text("acquire"))
    elif "release" in params:
        session = params.text("release")
        if not session:
            raise HttpError(500, "raft apply failed: missing session")
        command = KvRelease(key, value, flags, session)
    else:
        command = KvSet(key, value, flags)
    context.check_datacenter(params)
    if len(value) > context.config.value_bytes_max:
        raise too_long(len(value), context.config.value_bytes_max)
    context.submit(
        request, command, partial(_answer_bool, context, request), prefix="raft apply failed: "
    )


def delete(context: Context, request: Request, params: Params, key: bytes) -> None:
    """Delete a key, also conditionally (`cas`), or all keys with a prefix."""
    check_enterprise(request, params)
    is_tree = "recurse" in params
    if not key and not is_tree:
        raise HttpError(400, "Missing key name")
    _check_key(context, key)
    _check_conflict(params, ("recurse", "cas"))
    command: Command
    if is_tree:
        command = KvDeleteTree(key)
    elif "cas" in params:
        command = KvDeleteCas(key, _number(params, "cas"))
    else:
        command = KvDelete(key)
    context.check_datacenter(params)
    context.submit(request, command, partial(_answer_bool, context, request))


def _check_key(context: Context, key: bytes) -> None:
    limit = context.config.key_bytes_max
    if len(key) > limit:
        raise HttpError(400, f"Invalid key name: it is longer than {limit} bytes")


def _check_conflict(params: Params, names: tuple[str, ...]) -> None:
    if sum(name in params for name in names) > 1:
        raise HttpError(400, f"Conflicting flags: {params.encoded()}\n")


def _number(params: Params, name: str) -> int:
    if name not in params:
        return 0
    try:
        return unsigned(params.text(name))
    except TextError as error:
        raise HttpError(500, str(error)) from error


def too_long(length: int, limit: int) -> HttpError:
    """The response to a value that is too long."""
    return HttpError(
        413,
        f"Request body({length} bytes) too large, max size: {limit} bytes. "
        "See limits.kv_max_value_size.",
    )


def _answer_bool(context: Context, request: Request, outcome: Outcome) -> None:
    value: Any = outcome.value
    context.responses.value(request, value, lines=b"X-Quorate-Index: %d\r\n" % outcome.index)
