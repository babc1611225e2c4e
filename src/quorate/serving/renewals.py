"""Renewals: requests that a client repeats to keep something, not all of which are logged.

A renewal is acknowledged only under a confirmed read index: a node that is partitioned off renews
nothing. It is logged only if the row requires it (a session: if it is older than half its TTL).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from quorate.base.errors import QuorateError
from quorate.base.outcomes import Outcome
from quorate.base.results import Renewal
from quorate.machine.queries import Reader
from quorate.serving.ports import Caller
from quorate.serving.serving import Serving

Look = Callable[[Reader, int], Renewal[Any] | None]
"""What a renewal requires in one state, at this log time; None: there is nothing to renew."""

Done = Callable[[Renewal[Any] | None, Outcome | None], None]
"""Gets what was found, and the outcome if it was logged; None: it does not exist any more."""


def renew(serving: Serving, caller: Caller, look: Look, done: Done) -> None:
    """Renew something.

    Args:
        serving: Of the node.
        caller: Who made the request. It gets errors as the response.
        look: See there.
        done: Responds; what it raises becomes the response.
    """
    serving.confirm(caller.context, partial(_confirmed, serving, caller, look, done))


def _confirmed(
    serving: Serving, caller: Caller, look: Look, done: Done, log_time_ms: int | QuorateError
) -> None:
    if isinstance(log_time_ms, QuorateError):
        caller.fail(log_time_ms)
    else:
        caller.run(partial(_renew, serving, caller, look, done, log_time_ms))


def _renew(serving: Serving, caller: Caller, look: Look, done: Done, log_time_ms: int) -> None:
    found = look(serving.reader(), log_time_ms)
    if found is None or found.command is None:
        done(found, None)
        return

    def applied(outcome: Outcome | QuorateError) -> None:
        caller.conclude(outcome, then)

    def then(outcome: Outcome) -> None:
        done(found if outcome.value is True else None, outcome)

    serving.submit(caller.context, found.command, applied, urgent=True)
