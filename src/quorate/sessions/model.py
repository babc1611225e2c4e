"""Model of the sessions for the simulator: see `kv.model`."""

from typing import NamedTuple, cast

from quorate.base.domain import Model, Simulation
from quorate.base.facts import (
    CheckStatus,
    CheckStatusChanged,
    IsNodeKnown,
    IsSessionAlive,
    NodeLeaving,
    SessionEnded,
)
from quorate.base.outcomes import Failure
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew


class Session(NamedTuple):
    """A session as far as the model cares."""

    id: str
    node: str
    ttl_ms: int
    lock_delay_ms: int
    is_delete: bool
    checks: tuple[str, ...]
    renewed_ms: int


class Sessions:
    """All sessions, and when each lived.

    Attributes:
        sessions: Those that live.
        session_slots: In which slot each was created and ended; 0: it lives.
    """

    def __init__(self, _: Model) -> None:
        self.sessions: dict[str, Session] = {}
        self.session_slots: dict[str, tuple[int, int]] = {}

    def has_session(self, session: str, slot: int) -> bool:
        """Did the session live after `slot`?"""
        created, ended = self.session_slots.get(session, (0, 0))
        return 0 < created <= slot and not 0 < ended <= slot


def sessions_of(model: Model) -> Sessions:
    """The state of this domain."""
    return cast(Sessions, model.own["sessions"])


# --- commands ---------------------------------------------------------------------------------


def _create(model: Model, command: SessionCreate) -> str | Failure:
    node = command.node.lower()
    if not model.ask(IsNodeKnown(node)):
        return Failure("precondition", "Missing node registration")
    checks = (*command.node_checks, *command.service_checks)
    for check in checks:
        status = model.ask(CheckStatus(node, check))
        if status is None:
            return Failure("precondition", f"Missing check '{check}' registration")
        if status == "critical":
            return Failure("precondition", f"Check '{check}' is in critical state")
    if command.id in sessions_of(model).sessions:
        return Failure("already_exists", f"Session '{command.id}' exists already")
    model.take()
    sessions_of(model).sessions[command.id] = Session(
        command.id,
        node,
        command.ttl_ms,
        command.lock_delay_ms,
        command.behavior == "delete",
        checks,
        model.stamp_ms,
    )
    sessions_of(model).session_slots[command.id] = (model.slot, 0)
    return command.id


def _destroy(model: Model, command: SessionDestroy) -> bool:
    session = sessions_of(model).sessions.get(command.id)
    if session is not None:
        _end(model, session)
    return True


def _renew(model: Model, command: SessionRenew) -> bool:
    session = sessions_of(model).sessions.get(command.id)
    if session is None:
        return False
    if session.ttl_ms > 0:
        sessions_of(model).sessions[command.id] = session._replace(renewed_ms=model.stamp_ms)
    return True


def _expire(model: Model, command: SessionExpire) -> bool:
    session = sessions_of(model).sessions.get(command.id)
    if session is None or session.ttl_ms <= 0 or session.renewed_ms != command.renewed_ms:
        return False
    if model.stamp_ms < session.renewed_ms + 2 * session.ttl_ms:
        return False
    _end(model, session)
    return True


# --- facts and questions ----------------------------------------------------------------------


def _end(model: Model, session: Session) -> None:
    model.take()
    mine = sessions_of(model)
    del mine.sessions[session.id]
    mine.session_slots[session.id] = (mine.session_slots[session.id][0], model.slot)
    model.tell(SessionEnded(session.id, session.is_delete, session.lock_delay_ms))


def _check_status(model: Model, fact: CheckStatusChanged) -> None:
    if fact.status == "critical":
        for session in sorted(sessions_of(model).sessions.values()):
            if session.node == fact.node and fact.check in session.checks:
                _end(model, session)


def _node_leaving(model: Model, fact: NodeLeaving) -> None:
    for session in sorted(sessions_of(model).sessions.values()):
        if session.node == fact.name:
            _end(model, session)


def _is_alive(model: Model, question: IsSessionAlive) -> bool:
    return question.id in sessions_of(model).sessions


SIMULATION = Simulation(
    state=Sessions,
    model={
        SessionCreate: _create,
        SessionDestroy: _destroy,
        SessionRenew: _renew,
        SessionExpire: _expire,
        CheckStatusChanged: _check_status,
        NodeLeaving: _node_leaving,
        IsSessionAlive: _is_alive,
    },
)
