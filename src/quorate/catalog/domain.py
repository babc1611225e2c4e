"""The catalog as a domain."""

from quorate.base.domain import Domain
from quorate.base.facts import CheckStatus, IsNodeKnown
from quorate.catalog import apply
from quorate.catalog.commands import (
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.catalog.model import SIMULATION
from quorate.catalog.subjects import NODE, SERVICE
from quorate.catalog.tables import TABLES

CATALOG_DOMAIN = Domain(
    name="catalog",
    tables=TABLES,
    handlers={
        ServiceRegister: apply.on_service_register,
        ServiceDeregister: apply.on_service_deregister,
    },
    long_handlers={
        NodeRegister: apply.on_node_register,
        NodeHealth: apply.on_node_health,
        NodeDeregister: apply.on_node_deregister,
    },
    answers={IsNodeKnown: apply.is_known, CheckStatus: apply.check_status},
    subjects={NODE: None, SERVICE: None},
    simulation=SIMULATION,
)
