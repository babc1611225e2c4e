"""Renewals: what a client repeats to stay what it is, and what need not be logged each time.

A renewal is acknowledged only under a confirmed read point: a node that is cut off renews nothing.
It is logged only if the row says that it must be (of a session: if it is older than half its TTL).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from quorate.base.answers import Renewal
from quorate.base.errors import QuorateError
from quorate.base.outcomes import Outcome
from quorate.machine.queries import Reader
from quorate.serving.ports import Caller
from quorate.serving.serving import Serving

Look = Callable[[Reader, int], Renewal[Any] | None]
"""What a renewal needs in one state, at this log time; None: there is nothing to renew."""

Done = Callable[[Renewal[Any] | None, Outcome | None], None]
"""Gets what was found, and the outcome if it was logged; nothing found: it is gone."""


def renew(serving: Serving, caller: Caller, look: Look, done: Done) -> None:
    """Renew something.

    Args:
        serving: Of the node that is asked.
        caller: Who asks. What fails is answered.
        look: See there.
        done: Answers; what it raises becomes the answer.
    """
    serving.confirm(caller.context, partial(_confirmed, serving, caller, look, done))


def _confirmed(
    serving: Serving, caller: Caller, look: Look, done: Done, stamp_ms: int | QuorateError
) -> None:
    if isinstance(stamp_ms, QuorateError):
        caller.fail(stamp_ms)
    else:
        caller.run(partial(_renew, serving, caller, look, done, stamp_ms))


def _renew(serving: Serving, caller: Caller, look: Look, done: Done, stamp_ms: int) -> None:
    found = look(serving.reader(), stamp_ms)
    if found is None or found.command is None:
        done(found, None)
        return

    def applied(outcome: Outcome | QuorateError) -> None:
        caller.conclude(outcome, then)

    def then(outcome: Outcome) -> None:
        done(found if outcome.value is True else None, outcome)

    serving.submit(caller.context, found.command, applied, urgent=True)
