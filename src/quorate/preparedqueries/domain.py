"""Prepared queries as a domain."""

from quorate.base.domain import Domain
from quorate.base.facts import IsSessionAlive, SessionEnded
from quorate.preparedqueries import apply
from quorate.preparedqueries.commands import (
    PreparedQueryCreate,
    PreparedQueryDelete,
    PreparedQueryUpdate,
)
from quorate.preparedqueries.model import SIMULATION
from quorate.preparedqueries.subjects import ANY_QUERY, QUERY
from quorate.preparedqueries.tables import TABLES

PREPARED_QUERIES_DOMAIN = Domain(
    name="preparedqueries",
    tables=TABLES,
    handlers={
        PreparedQueryCreate: apply.on_create,
        PreparedQueryUpdate: apply.on_update,
        PreparedQueryDelete: apply.on_delete,
    },
    reactions={SessionEnded: apply.on_session_ended},
    asks=(IsSessionAlive,),
    subjects={QUERY: None, ANY_QUERY: None},
    simulation=SIMULATION,
)
