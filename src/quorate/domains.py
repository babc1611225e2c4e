"""The domains of Quorate: the one place that lists them."""

from quorate.catalog.domain import CATALOG
from quorate.kv.domain import KV_STORE
from quorate.machine.engine import assembled
from quorate.sessions.domain import SESSIONS_DOMAIN

DOMAINS = assembled((CATALOG, SESSIONS_DOMAIN, KV_STORE))
"""In the order in which they react to facts and are restored; it is part of the format."""
