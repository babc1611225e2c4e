"""Requests to the process: `/v1/agent/reload`, `/v1/agent/leave`, `/v1/agent/monitor`.

The process is the agent's (`process.Process`); here are only the endpoints.

Source: https://developer.hashicorp.com/consul/api-docs/agent.
"""

from collections.abc import Iterator
from functools import partial

from quorate.base.errors import QuorateError, RequestError
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params
from quorate.gateways.http.process import Follower, Process
from quorate.gateways.http.responses import TEXT
from quorate.httpserver.request import Request

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"
_NOTHING_YET = b""


def _process(context: Context) -> Process:
    if context.process is None:
        raise HttpError(500, "this node has no process that could be asked for that")
    return context.process


def reload(context: Context, request: Request, _: Params, __: bytes) -> None:
    """Read the configuration again."""
    try:
        _process(context).reload()
    except RequestError as error:
        raise HttpError(500, error.text, code=error.code) from error
    context.responses.empty(request)


def leave(context: Context, request: Request, _: Params, __: bytes) -> None:
    """Leave the cluster, and stop."""
    _process(context).leave(partial(_left, context, request))


def _left(context: Context, request: Request, error: QuorateError | None) -> None:
    if error is None:
        context.responses.empty(request)
    else:
        context.fail(request, HttpError(500, error.text, code=error.code))


def monitor(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The log, line by line as it is written, until the connection ends or the node stops."""
    level = params.text("loglevel") or "info"
    followers: list[Follower] = []

    def wake() -> None:
        if request.is_lost:
            followers[0].close()
        else:
            request.go_on()

    try:
        followers.append(_process(context).follow(level, wake, is_json="logjson" in params))
    except RequestError as error:
        raise HttpError(400, error.text) from error
    head = context.responses.head(200, TEXT) + CHUNKED
    request.answer(head, _chunks(followers[0]))


def _chunks(follower: Follower) -> Iterator[bytes]:
    """Pieces of a chunked body; an empty one: nothing was logged yet."""
    while True:
        is_over = follower.is_over
        if text := follower.take():
            yield b"%x\r\n%b\r\n" % (len(text), text)
        elif is_over:
            yield _LAST
            return
        else:
            yield _NOTHING_YET
