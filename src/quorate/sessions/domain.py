"""Sessions as a domain."""

from quorate.base.domain import Domain, TimerKind
from quorate.base.facts import (
    CheckRemoved,
    CheckStatus,
    CheckStatusChanged,
    IsNodeKnown,
    IsSessionAlive,
    NodeLeaving,
    NodeRemoved,
)
from quorate.sessions import apply
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew
from quorate.sessions.model import SIMULATION
from quorate.sessions.subjects import NODE_SESSIONS, SESSION
from quorate.sessions.tables import EXPIRY, SESSIONS, TABLES, row_deadline_ms

SESSIONS_DOMAIN = Domain(
    name="sessions",
    tables=TABLES,
    handlers={SessionRenew: apply.on_renew},
    long_handlers={
        SessionCreate: apply.on_create,
        SessionDestroy: apply.on_destroy,
        SessionExpire: apply.on_expire,
    },
    reactions={
        CheckStatusChanged: apply.on_check_status,
        CheckRemoved: apply.on_check_removed,
        NodeLeaving: apply.on_node_leaving,
        NodeRemoved: apply.on_node_removed,
    },
    resolvers={IsSessionAlive: apply.is_alive},
    asks=(CheckStatus, IsNodeKnown),
    timers=(TimerKind(EXPIRY, SESSIONS, row_deadline_ms, apply.expiry),),
    subjects={SESSION: None, NODE_SESSIONS: None},
    simulation=SIMULATION,
)
