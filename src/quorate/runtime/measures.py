"""Measures: the figures of all parts of a running node, as `base.metrics` has them.

Every part counts in attributes of its own; this is the one place that gives them names.
"""

from math import inf

from quorate.base.effects import NOTES
from quorate.base.metrics import Kind, Metric, by_label, counter, gauge, histogram
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
        by_label(
            Kind.COUNTER,
            "events_total",
            "Changes of state that the log tells, by name.",
            "event",
            {name.replace(" ", "_"): driver.notes.get(name, 0) for name in NOTES},
        ),
    ]


def _cluster(status: Status) -> list[Metric]:
    configuration = status.configuration
    is_leader = status.role == "leader"
    return [
        gauge("is_leader", "1 on the node that leads, 0 on all others.", is_leader),
        gauge(
            "has_leader",
            "1 if this node believes that the cluster can take writes now.",
            status.is_serving,
        ),
        by_label(
            Kind.GAUGE,
            "role",
            "1 for the role of this node in the log, 0 for all others.",
            "role",
            {role: float(role == status.role) for role in ROLES},
        ),
        gauge(
            "leader_last_heard_seconds",
            "How long ago the leader was heard; 0 on the leader, +Inf if never.",
            status.heard_s if status.heard_s >= 0 else inf,
        ),
        gauge("members", "Nodes of the configuration, learners too.", len(configuration.members)),
        gauge("voters", "Nodes of the configuration that vote.", len(configuration.voters)),
        gauge(
            "members_heard",
            "Nodes of the configuration that this node hears, itself included.",
            len({member.id for member in configuration.members} & status.healthy),
        ),
        gauge("configuration_number", "Number of the newest configuration.", configuration.number),
        gauge("ballot_round", "Round of the ballot in force; rises with every election.",
              status.ballot.round),
    ]  # fmt: skip


def _progress(node: Node, status: Status) -> list[Metric]:
    counters = node.group.machine.counters
    bundles = {
        "applied": counters.bundles_applied,
        "repeated": counters.bundles_repeated,
        "out_of_sequence": counters.bundles_out_of_sequence,
        "not_a_member": counters.bundles_of_strangers,
        "unreadable": counters.bundles_unreadable,
    }
    return [
        gauge("watermark_slot", "Every slot up to here is known as chosen.", status.watermark),
        gauge("applied_slot", "Every slot up to here is applied.", status.applied),
        gauge("index", "Index of the newest change (X-Consul-Index).", status.index),
        counter("batches_applied_total", "Batches applied.", counters.batches),
        counter("commands_applied_total", "Commands applied.", counters.commands),
        by_label(
            Kind.COUNTER,
            "bundles_total",
            "Bundles met in chosen batches, by what became of them.",
            "result",
            bundles,
        ),
        gauge("commands_waiting", "Commands of this node's clients not sent yet.",
              node.group.origin.waiting),
        gauge("watches", "Blocking queries that wait for a change.", len(node.group.watches)),
        gauge("disk_full", "1 while writes are refused for want of disk.", node.group.is_full),
    ]  # fmt: skip


def _turns(driver: Driver) -> list[Metric]:
    counters = driver.counters
    driver.gather()
    return [
        counter("loop_events_total", "Events given to the node.", counters.events),
        counter("loop_turns_total", "Turns ended.", counters.turns),
        counter("loop_ticks_late_total", "Ticks that came late by more than one tick.",
                counters.ticks_late),
        gauge("loop_lag_max_seconds", "The longest delay of a tick since the start.",
              counters.lag_max_s),
        counter("callback_errors_total", "Callbacks of clients that failed.",
                counters.ticket_errors),
        histogram("turn_seconds", "Duration of one turn of the node, its effects included.",
                  driver.turn_durations),
        histogram("loop_lag_seconds", "How late ticks came: the loop was busy that long.",
                  driver.lags),
        histogram("commit_seconds",
                  "From the making of a bundle to its application here: what a writer waits for.",
                  driver.commit_durations),
    ]  # fmt: skip


def _peers(transport: Transport) -> list[Metric]:
    counters = transport.counters
    return [
        gauge("peers_connected", "Peers to whom a connection stands.", len(transport.peers)),
        gauge("peer_connections", "Open connections of the server port, unfinished ones too.",
              transport.connections),
        gauge("peer_unfinished_bytes", "Bytes of messages from peers that are not complete.",
              transport.unfinished_bytes),
        counter("peer_messages_sent_total", "Messages to peers.", counters.sent),
        counter("peer_messages_received_total", "Messages from peers.", counters.received),
        counter("peer_messages_unsent_total", "Messages dropped for want of a connection.",
                counters.unsent),
        counter("peer_dials_total", "Connections begun.", counters.dials),
        counter("peer_connects_total", "Connections to peers that came to stand.",
                counters.connected),
        counter("peer_disconnects_total", "Connections to peers that ended.",
                counters.disconnected),
        counter("peer_refusals_total", "Handshakes and messages refused.", counters.refused),
        counter("peer_slow_drops_total", "Connections ended because the peer took nothing.",
                counters.dropped_slow),
    ]  # fmt: skip


def _log(wal: Wal) -> list[Metric]:
    stats = wal.stats
    return [
        counter("wal_records_total", "Records written to the log.", stats.records),
        counter("wal_syncs_total", "Commits of records made durable.", stats.commits),
        counter("wal_inline_syncs_total", "Of these, done in the loop itself.",
                stats.inline_commits),
        gauge("wal_bytes", "Bytes of the log's files.", wal.log_bytes),
        histogram("wal_sync_seconds", "Duration of a write and its fdatasync.", stats.durations),
    ]  # fmt: skip


def _tables(tables: LmdbTables) -> list[Metric]:
    return [
        gauge("tables_bytes", "Bytes of the tables in use.", tables.used_bytes),
        gauge("tables_reserved_bytes", "Bytes of the tables' file.", tables.size_bytes),
        gauge("old_rows", "Rows kept as they were, for who reads one state.", tables.old_rows),
        histogram("apply_seconds", "Duration of the table transaction that applies a batch.",
                  tables.durations),
    ]  # fmt: skip
