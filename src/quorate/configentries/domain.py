"""Configuration entries as a domain."""

from quorate.base.domain import Domain
from quorate.configentries import apply
from quorate.configentries.commands import EntryDelete, EntrySet, IntentionDelete, IntentionSet
from quorate.configentries.model import SIMULATION
from quorate.configentries.subjects import ENTRY
from quorate.configentries.tables import TABLES

CONFIG_ENTRIES_DOMAIN = Domain(
    name="configentries",
    tables=TABLES,
    handlers={
        IntentionSet: apply.on_intention_set,
        IntentionDelete: apply.on_intention_delete,
    },
    long_handlers={EntrySet: apply.on_set, EntryDelete: apply.on_delete},
    subjects={ENTRY: None},
    simulation=SIMULATION,
)
