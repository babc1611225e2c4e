"""Commands that name this node, whose row may not be in the catalog yet.

A leader is known a moment before the node's own row is applied. A request that arrives in between
waits for the row, instead of failing because the node does not exist.
"""

from collections.abc import Callable

from quorate.base import subjects
from quorate.base.command import Command
from quorate.base.outcomes import Outcome
from quorate.catalog.apply import NO_NODE
from quorate.catalog.queries import node_get
from quorate.catalog.subjects import of_node
from quorate.gateways.http.callers import HttpCaller
from quorate.gateways.http.context import Context
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.attempts import Attempt

TIMEOUT_S = 2.0
"""How long a request waits for the row."""


def submit_for_own_node(
    context: Context,
    request: Request,
    command: Command,
    then: Callable[[Outcome], None],
    prefix: str = "",
) -> None:
    """See `Context.submit`; tried again when the row of this node appears, if it was absent."""
    name = context.local.status().node.name

    def missing(reader: Reader) -> tuple[bytes, ...]:
        is_there = node_get(reader, name).value is not None
        return () if is_there else (subjects.exactly(of_node(name)),)

    Attempt(
        context.serving,
        HttpCaller(context, request, prefix),
        command,
        then,
        is_early=lambda outcome: bool(outcome.value == NO_NODE),
        missing=missing,
        timeout_s=TIMEOUT_S,
    ).begin()
