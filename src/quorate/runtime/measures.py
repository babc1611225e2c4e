"""Measures: the figures of all parts of a running node, as `base.metrics` has them.

Every part counts in attributes of its own; this is the one place that gives them names.
"""

from math import inf

from quorate.base import measured
from quorate.base.effects import NOTES
from quorate.base.metrics import Metric
from quorate.base.ports import Status
from quorate.node.node import Node
from quorate.runtime.driver import Driver
from quorate.runtime.tables import LmdbTables
from quorate.runtime.transport import Transport
from quorate.runtime.wal import Wal

ROLES = ("leader", "candidate", "follower", "learner", "joining")
"""Every role that a status may name."""


def gathered(
    node: Node, driver: Driver, transport: Transport, wal: Wal, tables: LmdbTables, now_s: float
) -> list[Metric]:
    """All figures of a running node.

    Cost: one status; 0.1 ms. For scrapes, not for every request.
    """
    status = node.status(now_s)
    return [
        *_cluster(status),
        *_progress(node, status),
        *_turns(driver),
        *_peers(transport),
        *_log(wal),
        *_tables(tables),
        measured.EVENTS_TOTAL.by_label(
            {name.replace(" ", "_"): driver.notes.get(name, 0) for name in NOTES}
        ),
    ]


def _cluster(status: Status) -> list[Metric]:
    configuration = status.configuration
    is_leader = status.role == "leader"
    return [
        measured.IS_LEADER.of(is_leader),
        measured.HAS_LEADER.of(
            status.is_serving,
        ),
        measured.ROLE.by_label(
            {role: float(role == status.role) for role in ROLES},
        ),
        measured.LEADER_LAST_HEARD_SECONDS.of(
            status.last_contact_s if status.last_contact_s >= 0 else inf,
        ),
        measured.MEMBERS.of(len(configuration.members)),
        measured.VOTERS.of(len(configuration.voters)),
        measured.MEMBERS_HEARD.of(
            len({member.id for member in configuration.members} & status.healthy)
        ),
        measured.CONFIGURATION_NUMBER.of(configuration.number),
        measured.BALLOT_ROUND.of(status.ballot.round),
    ]


def _progress(node: Node, status: Status) -> list[Metric]:
    counters = node.group.machine.counters
    node.group.watches.wakes.collect()
    bundles = {
        "applied": counters.bundles_applied,
        "repeated": counters.bundles_repeated,
        "out_of_sequence": counters.bundles_out_of_sequence,
        "not_a_member": counters.bundles_of_nonmembers,
        "unreadable": counters.bundles_unreadable,
    }
    return [
        measured.WATERMARK_SLOT.of(status.watermark),
        measured.APPLIED_SLOT.of(status.applied),
        measured.INDEX.of(status.index),
        measured.BATCHES_APPLIED_TOTAL.of(counters.batches),
        measured.COMMANDS_APPLIED_TOTAL.of(counters.commands),
        measured.BUNDLES_TOTAL.by_label(
            bundles,
        ),
        measured.COMMANDS_WAITING.of(node.group.origin.waiting),
        measured.WAKE_SECONDS.of(node.group.watches.wakes),
        measured.WATCHES.of(len(node.group.watches)),
        measured.DISK_FULL.of(node.group.space.is_full),
    ]


def _turns(driver: Driver) -> list[Metric]:
    counters = driver.counters
    driver.collect()
    return [
        measured.LOOP_EVENTS_TOTAL.of(counters.events),
        measured.LOOP_TURNS_TOTAL.of(counters.turns),
        measured.LOOP_TICKS_LATE_TOTAL.of(counters.ticks_late),
        measured.LOOP_LAG_MAX_SECONDS.of(counters.lag_max_s),
        measured.CALLBACK_ERRORS_TOTAL.of(counters.ticket_errors),
        measured.TURN_SECONDS.of(driver.turn_durations),
        measured.LOOP_LAG_SECONDS.of(driver.lags),
        measured.COMMIT_SECONDS.of(driver.commit_durations),
    ]


def _peers(transport: Transport) -> list[Metric]:
    counters = transport.counters
    return [
        measured.PEERS_CONNECTED.of(len(transport.peers)),
        measured.PEER_CONNECTIONS.of(transport.connections),
        measured.PEER_UNFINISHED_BYTES.of(transport.unfinished_bytes),
        measured.PEER_MESSAGES_SENT_TOTAL.of(counters.sent),
        measured.PEER_MESSAGES_RECEIVED_TOTAL.of(counters.received),
        measured.PEER_MESSAGES_UNSENT_TOTAL.of(counters.unsent),
        measured.PEER_DIALS_TOTAL.of(counters.dials),
        measured.PEER_CONNECTS_TOTAL.of(counters.connected),
        measured.PEER_DISCONNECTS_TOTAL.of(counters.disconnected),
        measured.PEER_REFUSALS_TOTAL.of(counters.refused),
        measured.PEER_SLOW_DROPS_TOTAL.of(counters.dropped_slow),
    ]


def _log(wal: Wal) -> list[Metric]:
    stats = wal.stats
    return [
        measured.WAL_RECORDS_TOTAL.of(stats.records),
        measured.WAL_SYNCS_TOTAL.of(stats.commits),
        measured.WAL_INLINE_SYNCS_TOTAL.of(stats.inline_commits),
        measured.WAL_BYTES.of(wal.log_bytes),
        measured.WAL_SYNC_SECONDS.of(stats.durations),
    ]


def _tables(tables: LmdbTables) -> list[Metric]:
    return [
        measured.TABLES_BYTES.of(tables.used_bytes),
        measured.TABLES_RESERVED_BYTES.of(tables.size_bytes),
        measured.OLD_ROWS.of(tables.old_rows),
        measured.APPLY_SECONDS.of(tables.durations),
    ]
