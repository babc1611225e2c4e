"""Model of the sessions for the simulator: see `kv.model`."""

from typing import NamedTuple, cast

from quorate.base.domain import Model, SimulatedRead, Simulation
from quorate.base.facts import (
    CheckRemoved,
    CheckStatus,
    CheckStatusChanged,
    IsNodeKnown,
    IsSessionAlive,
    NodeLeaving,
    SessionEnded,
)
from quorate.base.outcomes import Failure
from quorate.base.ports import Rng
from quorate.base.results import StateView
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew
from quorate.sessions.queries import each_session


class ModelSession(NamedTuple):
    """The fields of a session that the model needs."""

    id: str
    node: str
    ttl_ms: int
    lock_delay_ms: int
    is_delete: bool
    checks: tuple[str, ...]
    renewed_ms: int


class Sessions:
    """All sessions that exist."""

    def __init__(self, _: Model) -> None:
        self.sessions: dict[str, ModelSession] = {}

    def put_back(self, sessions: dict[str, ModelSession], log_time_ms: int) -> None:
        """The sessions of that copy, each with its full TTL."""
        self.sessions = {
            name: session._replace(renewed_ms=log_time_ms) for name, session in sessions.items()
        }


def sessions_of(model: Model) -> Sessions:
    """The state of this domain."""
    return cast(Sessions, model.own["sessions"])


def is_alive_at(model: Model, session: str, slot: int) -> bool:
    """Did the session exist after `slot`?"""
    return slot > 0 and session in model.copies[slot]["sessions"]


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
    sessions_of(model).sessions[command.id] = ModelSession(
        command.id,
        node,
        command.ttl_ms,
        command.lock_delay_ms,
        command.behavior == "delete",
        checks,
        model.log_time_ms,
    )
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
        sessions_of(model).sessions[command.id] = session._replace(renewed_ms=model.log_time_ms)
    return True


def _expire(model: Model, command: SessionExpire) -> bool:
    session = sessions_of(model).sessions.get(command.id)
    if session is None or session.ttl_ms <= 0 or session.renewed_ms != command.renewed_ms:
        return False
    if model.log_time_ms < session.renewed_ms + 2 * session.ttl_ms:
        return False
    _end(model, session)
    return True


# --- facts and questions ----------------------------------------------------------------------


def _end(model: Model, session: ModelSession) -> None:
    model.take()
    mine = sessions_of(model)
    del mine.sessions[session.id]
    model.tell(SessionEnded(session.id, session.is_delete, session.lock_delay_ms))


def _check_status(model: Model, fact: CheckStatusChanged) -> None:
    if fact.status == "critical":
        _check_removed(model, CheckRemoved(fact.node, fact.check))


def _check_removed(model: Model, fact: CheckRemoved) -> None:
    for session in sorted(sessions_of(model).sessions.values()):
        if session.node == fact.node and fact.check in session.checks:
            _end(model, session)


def _node_leaving(model: Model, fact: NodeLeaving) -> None:
    for session in sorted(sessions_of(model).sessions.values()):
        if session.node == fact.name:
            _end(model, session)


def _is_alive(model: Model, question: IsSessionAlive) -> bool:
    return question.id in sessions_of(model).sessions


# --- snapshots of users -----------------------------------------------------------------------


def _save(model: Model) -> dict[str, ModelSession]:
    return dict(sessions_of(model).sessions)


def _restore(model: Model, saved: dict[str, ModelSession]) -> None:
    sessions_of(model).put_back(saved, model.log_time_ms)


# --- what clients read ------------------------------------------------------------------------


def _see(reading: StateView, _: bytes) -> tuple[ModelSession, ...]:
    return tuple(
        ModelSession(
            row.id,
            row.node.lower(),
            row.ttl_ms,
            row.lock_delay_ms,
            row.behavior == "delete",
            (*row.node_checks, *row.service_checks),
            row.renewed_ms,
        )
        for row in each_session(reading).value
    )


def _expect(model: Model, slot: int, _: bytes) -> tuple[ModelSession, ...]:
    return tuple(sorted(model.copies[slot]["sessions"].values())) if slot else ()


def _no_key(_: Rng) -> bytes:
    return b""


SIMULATION = Simulation(
    state=Sessions,
    save=_save,
    restore=_restore,
    model={
        SessionCreate: _create,
        SessionDestroy: _destroy,
        SessionRenew: _renew,
        SessionExpire: _expire,
        CheckStatusChanged: _check_status,
        CheckRemoved: _check_removed,
        NodeLeaving: _node_leaving,
        IsSessionAlive: _is_alive,
    },
    queries={"sessions": SimulatedRead(_see, _expect, _no_key)},
)
