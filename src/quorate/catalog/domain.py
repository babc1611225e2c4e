"""The catalog as a domain."""

from quorate.base.domain import Domain
from quorate.base.facts import CheckStatus, IsNodeKnown
from quorate.catalog import apply, older, resolvers
from quorate.catalog.commands import (
    CatalogPut,
    CatalogRegister,
    CheckDeregister,
    CheckOutput,
    CheckUpdate,
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.catalog.simulation import SIMULATION
from quorate.catalog.subjects import HOST, HOSTS, NODE, SERVICE
from quorate.catalog.tables import TABLES
from quorate.catalog.verbs import OPERATIONS

CATALOG_DOMAIN = Domain(
    name="catalog",
    tables=TABLES,
    handlers={CheckOutput: apply.on_check_output},
    long_handlers={
        CatalogPut: apply.on_put,
        CatalogRegister: apply.on_register,
        CheckUpdate: apply.on_check_update,
        CheckDeregister: apply.on_check_deregister,
        ServiceDeregister: apply.on_service_deregister,
        NodeDeregister: apply.on_node_deregister,
        NodeRegister: older.on_node_register,
        NodeHealth: older.on_node_health,
        ServiceRegister: older.on_service_register,
    },
    resolvers={IsNodeKnown: resolvers.is_known, CheckStatus: resolvers.check_status},
    subjects={NODE: None, SERVICE: None, HOST: None, HOSTS: None},
    operations=OPERATIONS,
    simulation=SIMULATION,
)
