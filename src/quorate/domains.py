"""The domains of Quorate: the one place that lists them."""

from quorate.catalog.domain import CATALOG_DOMAIN
from quorate.configentries.domain import CONFIG_ENTRIES_DOMAIN
from quorate.events.domain import EVENTS_DOMAIN
from quorate.kv.domain import KV_DOMAIN
from quorate.machine.engine import assembled
from quorate.preparedqueries.domain import PREPARED_QUERIES_DOMAIN
from quorate.sessions.domain import SESSIONS_DOMAIN

DOMAINS = assembled(
    (
        CATALOG_DOMAIN,
        SESSIONS_DOMAIN,
        KV_DOMAIN,
        CONFIG_ENTRIES_DOMAIN,
        PREPARED_QUERIES_DOMAIN,
        EVENTS_DOMAIN,
    )
)
"""In the order in which they react to facts and are restored; it is part of the format."""
