"""Measures: the counters of all parts of a body, by dotted name."""

import msgspec

from quorate.node.node import Node
from quorate.runtime.driver import Driver
from quorate.runtime.tables import LmdbTables
from quorate.runtime.transport import Transport
from quorate.runtime.wal import Wal


def gathered(
    node: Node, driver: Driver, transport: Transport, wal: Wal, tables: LmdbTables
) -> dict[str, float]:
    """Counters and gauges of a running node."""
    groups: dict[str, msgspec.Struct] = {
        "driver": driver.counters,
        "peers": transport.counters,
        "log": wal.stats,
        "machine": node.machine.counters,
    }
    measures: dict[str, float] = {
        f"{group}.{field}": getattr(counters, field)
        for group, counters in groups.items()
        for field in counters.__struct_fields__
    }
    measures |= {f"notes.{what.replace(' ', '_')}": count for what, count in driver.notes.items()}
    return measures | {
        "peers.linked": len(transport.peers),
        "peers.connections": transport.connections,
        "log.bytes": wal.log_bytes,
        "tables.bytes": tables.used_bytes,
        "tables.reserved_bytes": tables.size_bytes,
        "machine.applied": node.machine.applied,
        "machine.index": node.machine.index,
        "origin.waiting": node.origin.waiting,
        "watches": len(node.watches),
    }
