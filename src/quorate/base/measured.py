"""Every metric of a node, declared once: name, kind, help, unit, labels.

Code that counts gives values (`Declaration.of`), and no metric is named elsewhere. What each means
at length, and what to do about it, is on the page of metrics; tests compare both.
"""

from quorate.base.metrics import Declaration, Unit, counter, gauge, histogram

IS_LEADER = gauge(
    "is_leader",
    "1 on the node that leads, 0 on all others.",
)

HAS_LEADER = gauge(
    "has_leader",
    "1 if this node believes that the cluster can take writes now.",
)

LEADER_LAST_HEARD_SECONDS = gauge(
    "leader_last_heard_seconds",
    "Seconds since the last contact with the leader; 0 on the leader, +Inf if never.",
    unit=Unit.SECONDS,
)

MEMBERS = gauge(
    "members",
    "Nodes of the configuration, learners too.",
)

VOTERS = gauge(
    "voters",
    "Nodes of the configuration that vote.",
)

MEMBERS_HEARD = gauge(
    "members_heard",
    "Nodes of the configuration that this node reaches, itself included.",
)

CONFIGURATION_NUMBER = gauge(
    "configuration_number",
    "Number of the newest configuration.",
)

BALLOT_ROUND = gauge(
    "ballot_round",
    "Round of the ballot in force; rises with every election.",
)

WATERMARK_SLOT = gauge(
    "watermark_slot",
    "Every slot up to here is known as chosen.",
)

APPLIED_SLOT = gauge(
    "applied_slot",
    "Every slot up to here is applied.",
)

INDEX = gauge(
    "index",
    "Index of the newest change (X-Consul-Index).",
)

BATCHES_APPLIED_TOTAL = counter(
    "batches_applied_total",
    "Batches applied.",
)

COMMANDS_APPLIED_TOTAL = counter(
    "commands_applied_total",
    "Commands applied.",
)

COMMANDS_WAITING = gauge(
    "commands_waiting",
    "Commands of this node's clients not sent yet.",
)

WATCHES = gauge(
    "watches",
    "Blocking queries that wait for a change.",
)

DISK_FULL = gauge(
    "disk_full",
    "1 while writes are refused for want of disk.",
)

LOOP_EVENTS_TOTAL = counter(
    "loop_events_total",
    "Events given to the node.",
)

LOOP_TURNS_TOTAL = counter(
    "loop_turns_total",
    "Turns ended.",
)

LOOP_TICKS_LATE_TOTAL = counter(
    "loop_ticks_late_total",
    "Ticks that came late by more than one tick.",
)

LOOP_LAG_MAX_SECONDS = gauge(
    "loop_lag_max_seconds",
    "The longest delay of a tick since the start.",
    unit=Unit.SECONDS,
)

CALLBACK_ERRORS_TOTAL = counter(
    "callback_errors_total",
    "Callbacks of clients that failed.",
)

TURN_SECONDS = histogram(
    "turn_seconds",
    "Duration of one turn of the node, its effects included.",
)

LOOP_LAG_SECONDS = histogram(
    "loop_lag_seconds",
    "How late ticks came: the loop was busy that long.",
)

WAKE_SECONDS = histogram(
    "wake_seconds",
    "From a change to the waking of who waited for it, each of whom reads again then.",
)

COMMIT_SECONDS = histogram(
    "commit_seconds",
    "From the making of a bundle to its application here: what a writer waits for.",
)

PEERS_CONNECTED = gauge(
    "peers_connected",
    "Peers with an open connection.",
)

PEER_CONNECTIONS = gauge(
    "peer_connections",
    "Open connections of the server port, unfinished ones too.",
)

PEER_UNFINISHED_BYTES = gauge(
    "peer_unfinished_bytes",
    "Bytes of messages from peers that are not complete.",
    unit=Unit.BYTES,
)

PEER_MESSAGES_SENT_TOTAL = counter(
    "peer_messages_sent_total",
    "Messages to peers.",
)

PEER_MESSAGES_RECEIVED_TOTAL = counter(
    "peer_messages_received_total",
    "Messages from peers.",
)

PEER_MESSAGES_UNSENT_TOTAL = counter(
    "peer_messages_unsent_total",
    "Messages dropped for want of a connection.",
)

PEER_DIALS_TOTAL = counter(
    "peer_dials_total",
    "Connections begun.",
)

PEER_CONNECTS_TOTAL = counter(
    "peer_connects_total",
    "Connections to peers that were established.",
)

PEER_DISCONNECTS_TOTAL = counter(
    "peer_disconnects_total",
    "Connections to peers that ended.",
)

PEER_REFUSALS_TOTAL = counter(
    "peer_refusals_total",
    "Handshakes and messages refused.",
)

PEER_SLOW_DROPS_TOTAL = counter(
    "peer_slow_drops_total",
    "Connections ended because the peer took nothing.",
)

WAL_RECORDS_TOTAL = counter(
    "wal_records_total",
    "Records written to the log.",
)

WAL_SYNCS_TOTAL = counter(
    "wal_syncs_total",
    "Commits of records made durable.",
)

WAL_INLINE_SYNCS_TOTAL = counter(
    "wal_inline_syncs_total",
    "Of these, done in the loop itself.",
)

WAL_BYTES = gauge(
    "wal_bytes",
    "Bytes of the log's files.",
    unit=Unit.BYTES,
)

WAL_SYNC_SECONDS = histogram(
    "wal_sync_seconds",
    "Duration of a write and its fdatasync.",
)

TABLES_BYTES = gauge(
    "tables_bytes",
    "Bytes of the tables in use.",
    unit=Unit.BYTES,
)

TABLES_RESERVED_BYTES = gauge(
    "tables_reserved_bytes",
    "Bytes of the tables' file.",
    unit=Unit.BYTES,
)

OLD_ROWS = gauge(
    "old_rows",
    "Rows kept as they were, for who reads one state.",
)

APPLY_SECONDS = histogram(
    "apply_seconds",
    "Duration of the table transaction that applies a batch.",
)

EVENTS_TOTAL = counter(
    "events_total",
    "Changes of state that are logged, by name.",
    "event",
)

ROLE = gauge(
    "role",
    "1 for the role of this node in the log, 0 for all others.",
    "role",
)

BUNDLES_TOTAL = counter(
    "bundles_total",
    "Bundles met in chosen batches, by what became of them.",
    "result",
)

HTTP_CONNECTIONS = gauge(
    "http_connections",
    "Connections of clients.",
)

HTTP_HELD_BYTES = gauge(
    "http_held_bytes",
    "Bytes held in memory for clients.",
    unit=Unit.BYTES,
)

HTTP_HELD_LIMIT_BYTES = gauge(
    "http_held_limit_bytes",
    "So many may be.",
    unit=Unit.BYTES,
)

HTTP_REQUESTS_REFUSED_TOTAL = counter(
    "http_requests_refused_total",
    "Requests answered 429 because too much was held.",
)

HTTP_CONNECTIONS_REFUSED_TOTAL = counter(
    "http_connections_refused_total",
    "Connections turned away because there were too many.",
)

HTTP_ACCEPT_FAILURES_TOTAL = counter(
    "http_accept_failures_total",
    "Connections that the system had no file descriptor for.",
)

DNS_REPLIES_TOTAL = counter(
    "dns_replies_total",
    "Replies to DNS queries, those of recursors not, by response code.",
    "rcode",
)

DNS_CONNECTIONS_REFUSED_TOTAL = counter(
    "dns_connections_refused_total",
    "TCP connections for DNS turned away because there were too many.",
)

HTTP_REQUESTS_TOTAL = counter(
    "http_requests_total",
    "Requests answered, by route, method and class of status.",
    "route",
    "method",
    "status",
)

HTTP_REQUEST_SECONDS = histogram(
    "http_request_seconds",
    "From a whole request to its answer; blocking queries that waited are left out.",
    "area",
)

BUILD_INFO = gauge(
    "build_info",
    "1, with the version of Quorate and the version of Consul that clients get.",
    "version",
    "consul_version",
)


DECLARED: dict[str, Declaration] = {
    each.name: each for each in list(vars().values()) if isinstance(each, Declaration)
}
"""All of them, by name."""
