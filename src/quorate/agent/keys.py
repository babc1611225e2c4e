"""Which keys a configuration file may have: Consul's, and a block of our own.

A supported key has a kind. A key of Consul's that this version does not use is accepted with a
warning, so that a file written for Consul starts a node. A key that asks for protection that is
not implemented stops the start (`protection`). Any other key is an error.

A key within a block is named with dots, as in `ports.http`.
"""

from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from quorate.agent import protection
from quorate.base.config import MIB, ClusterConfig, Limits, Timing


class ValueKind(Enum):
    """What the value of a key must be: in words, and its type."""

    TEXT = ("a string", str)
    SWITCH = ("true or false", bool)
    WHOLE = ("a whole number", int)
    NUMBER = ("a number", float)
    DURATION = ('a duration such as "10s"', str)
    TEXTS = ("a list of strings", list[str])
    NAMES = ("a block of strings", dict[str, str])
    DEFINITIONS = ("a block, or a list of blocks", list[dict[str, Any]])
    UNUSED = ("anything: this version does not use it", Any)
    GUARDED = ("nothing that asks for protection", Any)


class Key(NamedTuple):
    """What is known of one key."""

    kind: ValueKind
    setting: str = ""  # that it alone sets; see `settings.AgentSettings`
    flag: str = ""  # on the command line
    about: str = ""  # the flag's help
    default: Any = None  # of a setting that is the plain value; None: it is computed
    least: int | None = None
    most: int | None = None
    is_reloaded: bool = False  # a reload changes that setting; others need a restart


VALUE_BYTES_MAX = 8 * MIB
"""Highest `kv_max_value_size`: a batch that holds such a value must fit into a frame."""

Live = partial(Key, is_reloaded=True)
SWITCH, TEXT, TEXTS, NAMES = ValueKind.SWITCH, ValueKind.TEXT, ValueKind.TEXTS, ValueKind.NAMES
WHOLE, DURATION, DEFINITIONS = ValueKind.WHOLE, ValueKind.DURATION, ValueKind.DEFINITIONS

_EXPECT = "Bootstrap a cluster as soon as N nodes have met."
_JOIN = "Address of another node's server port; repeatable."
_META = "Metadata of this node; repeatable."
_CLIENT = "Where to listen for clients; several with spaces."
_SCRIPTS = "Run programs for checks that clients register."
_LOCAL_SCRIPTS = "Run programs for checks of configuration files."
_OUTPUT = "Bytes that are kept of the output of a check."
_WAIT, _WAIT_MAX = "How long a blocking read waits.", "How long it may wait at most."

_RECURSOR = "Server to ask for other names; repeatable."
_SOA = ("refresh", "retry", "expire", "min_ttl")

TABLE: dict[str, Key] = {
    "server": Key(SWITCH, "", "server", "Be a full member; there are no other agents yet."),
    "bootstrap": Key(SWITCH, "is_alone", "bootstrap", "Bootstrap a cluster of one."),
    "bootstrap_expect": Key(WHOLE, "expect", "bootstrap-expect", _EXPECT),
    "retry_join": Key(TEXTS, "join", "retry-join", _JOIN),
    "node_name": Key(TEXT, "node_name", "node", "Name of this node; the host's name if not given."),
    "node_id": Key(TEXT, "", "node-id", "The id of this node in the API, a UUID."),
    "node_meta": Live(NAMES, "node.meta", "node-meta", _META),
    "disable_host_node_id": Key(SWITCH, "", "disable-host-node-id"),
    "bind_addr": Key(TEXT, "bind", "bind", "Where to listen for other nodes."),
    "advertise_addr": Key(TEXT, "advertise", "advertise", "Address that other nodes use."),
    "client_addr": Key(TEXT, "clients", "client", _CLIENT),
    "addresses.http": Key(TEXT),
    "addresses.dns": Key(TEXT, "dns_hosts"),
    "ports.http": Key(WHOLE, "http_port", "http-port", "Port of the HTTP API; -1 disables it."),
    "ports.dns": Key(WHOLE, "dns_port", "dns-port", "Port of DNS; -1 disables it."),
    "ports.server": Key(WHOLE, "server_port", "server-port", "Port for other nodes."),
    "ports.serf_lan": Key(WHOLE, "", "serf-lan-port"),  # read in `retry_join`
    "data_dir": Key(TEXT, "data_dir", "data-dir", "Where this node keeps everything."),
    "datacenter": Key(TEXT, "node.datacenter", "datacenter", "Name of the data center."),
    "log_level": Live(TEXT, "log_level", "log-level", "trace, debug, info, warn or error."),
    "log_json": Key(SWITCH, "log_json", "log-json", "Log one JSON object a line.", False),
    "pid_file": Key(TEXT, "pid_file", "pid-file", "Where to write the process id."),
    "default_query_time": Live(DURATION, "http.default_wait_s", "default-query-time", _WAIT, 300.0),
    "max_query_time": Live(DURATION, "http.max_wait_s", "max-query-time", _WAIT_MAX, 600.0),
    "session_ttl_min": Live(DURATION, "http.session_ttl_min_s", default=10.0),
    "check_update_interval": Key(DURATION, "checks.output_interval_s", default=300.0),
    "check_output_max_size": Key(
        WHOLE, "checks.output_bytes_max", "check_output_max_size", _OUTPUT, 4096, 1, 64 * 1024
    ),
    "discard_check_output": Key(SWITCH, "checks.discards_output", default=False),
    "enable_script_checks": Key(
        SWITCH, "runs_scripts", "enable-script-checks", _SCRIPTS, default=False
    ),
    "enable_local_script_checks": Key(
        SWITCH, "runs_local_scripts", "enable-local-script-checks", _LOCAL_SCRIPTS
    ),
    "service": Live(DEFINITIONS),
    "services": Live(DEFINITIONS),
    "check": Live(DEFINITIONS),
    "checks": Live(DEFINITIONS),
    "quorate.wake_on_check_output": Key(SWITCH, "checks.wakes_on_output", default=False),
    "leave_on_terminate": Live(SWITCH, "leaves_on_terminate", default=False),
    "skip_leave_on_interrupt": Live(SWITCH, "leaves_on_interrupt"),
    "unix_sockets.user": Key(TEXT),
    "unix_sockets.group": Key(TEXT),
    "unix_sockets.mode": Key(TEXT),
    "disable_http_unprintable_char_filter": Live(SWITCH, "http.takes_unprintable", default=False),
    "http_config.response_headers": Live(NAMES, "http.response_headers"),
    "http_config.block_endpoints": Live(TEXTS, "http.blocked_paths", default=()),
    "domain": Live(TEXT, "dns.domain", "domain", "The domain of DNS names."),
    "alt_domain": Live(TEXT, "dns.alt_domain", "alt-domain", "A second one."),
    "recursors": Live(TEXTS, "dns.recursors", "recursor", _RECURSOR),
    "dns_config.allow_stale": Live(SWITCH, "dns.takes_stale", default=True),
    "dns_config.max_stale": Live(DURATION, "dns.age_s_max", default=87600 * 3600.0),
    "dns_config.node_ttl": Live(DURATION, "dns.node_ttl_s", default=0.0),
    "dns_config.service_ttl": Live(NAMES, "dns.service_ttls_s"),
    "dns_config.only_passing": Live(SWITCH, "dns.only_passing", default=False),
    "dns_config.enable_truncate": Live(SWITCH, "dns.sets_truncated", default=True),
    "dns_config.udp_answer_limit": Live(WHOLE, "dns.udp_answers_max", default=3, least=1),
    "dns_config.a_record_limit": Live(WHOLE, "dns.a_records_max", default=0, least=0),
    "dns_config.recursor_strategy": Live(TEXT, "dns.picks_recursors"),
    "dns_config.recursor_timeout": Live(DURATION, "dns.recursor_timeout_s", default=2.0),
    "dns_config.disable_compression": Live(SWITCH, "dns.compresses"),
    "dns_config.enable_additional_node_meta_txt": Live(SWITCH, "dns.shows_node_meta", default=True),
    **{f"dns_config.soa.{name}": Live(WHOLE, "dns.soa") for name in _SOA},
    "limits.http_max_conns_per_client": Live(
        WHOLE, "http.connections_per_client_max", default=200, least=1
    ),
    "limits.txn_max_req_len": Live(WHOLE, "http.txn_bytes_max", default=512 * 1024, least=1),
    "limits.kv_max_value_size": Key(WHOLE, least=1, most=VALUE_BYTES_MAX),
    "performance.raft_multiplier": Key(WHOLE),
    "performance.rpc_hold_timeout": Key(DURATION),
    "quorate.auto_promote": Key(SWITCH, "node.auto_promote"),
    "quorate.wal_sync": Key(TEXT, "wal_sync"),
    "quorate.wal_segment_bytes": Key(WHOLE, "wal_segment_bytes", default=64 * MIB, least=MIB),
    "quorate.snapshot_log_bytes": Key(WHOLE, "snapshot_log_bytes", default=256 * MIB, least=MIB),
    "quorate.free_bytes_min": Key(WHOLE, "free_bytes_min", default=128 * MIB, least=MIB),
}
"""Every supported key. The help shows the flags in this order."""

_UNUSED: dict[str, str] = {
    "": (
        # identity, addresses, joining
        "primary_datacenter advertise_addr_wan advertise_addr_ipv4 "
        "advertise_addr_ipv6 serf_lan serf_wan translate_wan_addrs retry_join_wan retry_interval "
        "retry_max rejoin_after_leave start_join start_join_wan retry_interval_wan retry_max_wan "
        # log
        "log_file log_rotate_bytes log_rotate_duration log_rotate_max_files enable_syslog "
        "syslog_facility "
        # checks; access control, in old words; DNS; limits
        "watches acl_down_policy acl_ttl acl_enforce_version_8 discovery_max_stale "
        # consensus and gossip
        "raft_protocol raft_snapshot_threshold raft_snapshot_interval raft_trailing_logs "
        "reconnect_timeout reconnect_timeout_wan disable_keyring_file "
        # UI, mesh and the rest
        "ui ui_dir ui_content_path cloud config_entries peering disable_update_check "
        "disable_remote_exec enable_debug disable_anonymous_signature "
        "enable_central_service_config experiments segment segments locality audit version "
        "version_prerelease revision license_path partition non_voting_server read_replica "
        "protocol rpc server_name server_rejoin_age_max use_streaming_backend "
        "disable_coordinates xds reporting"
    ),
    "addresses": "grpc",
    "ports": (
        "grpc grpc_tls https serf_wan proxy_min_port proxy_max_port sidecar_min_port "
        "sidecar_max_port expose_min_port expose_max_port"
    ),
    "http_config": "use_cache max_header_bytes",
    "performance": "leave_drain_time grpc_keepalive_interval grpc_keepalive_timeout",
    "limits": (
        "rpc_rate rpc_max_burst rpc_max_conns_per_client rpc_handshake_timeout "
        "rpc_client_timeout https_handshake_timeout request_limits"
    ),
    "acl": "down_policy token_ttl policy_ttl role_ttl enable_token_persistence",
    "auto_config.authorization": "static",
    "dns_config": "use_cache cache_max_age",
    **dict.fromkeys(
        ("gossip_lan", "gossip_wan"),
        "gossip_nodes probe_interval probe_timeout suspicion_mult gossip_interval retransmit_mult",
    ),
    "autopilot": (
        "cleanup_dead_servers last_contact_threshold max_trailing_logs min_quorum "
        "server_stabilization_time disable_upgrade_migration redundancy_zone_tag "
        "upgrade_version_tag"
    ),
    "raft_logstore": "backend disable_log_cache verification boltdb wal",
    "telemetry": (
        "prometheus_retention_time disable_hostname statsd_address statsite_address "
        "dogstatsd_addr dogstatsd_tags metrics_prefix prefix_filter filter_default "
        "disable_per_tenancy_usage_metrics enable_host_metrics retry_failed_connection"
    ),
    "ui_config": (
        "enabled dir content_path metrics_provider metrics_provider_files "
        "metrics_provider_options_json metrics_proxy dashboard_url_templates"
    ),
    "connect": (
        "enabled ca_provider ca_config enable_mesh_gateway_wan_federation "
        "enable_serverless_plugin test_ca_leaf_root_change_spread"
    ),
}
"""Consul's keys that this version does not use, by block."""

_NUMBERS = {"cluster": ClusterConfig, "timing": Timing, "limits": Limits}
"""Blocks below `quorate`: each field of these structs is a key."""

KEYS: dict[str, Key] = {
    **dict.fromkeys(protection.names(_UNUSED), Key(ValueKind.UNUSED)),
    **dict.fromkeys(protection.GUARDED, Key(ValueKind.GUARDED)),
    **{
        f"quorate.{block}.{name}": Key(ValueKind.WHOLE if field is int else ValueKind.NUMBER)
        for block, struct in _NUMBERS.items()
        for name, field in struct.__annotations__.items()
    },
    **TABLE,
}
"""Every key that is accepted."""

BLOCKS = {key[:place] for key in KEYS for place, letter in enumerate(key) if letter == "."}
"""Every block that holds such keys."""

RELOADED = {
    **{key.setting: name for name, key in TABLE.items() if key.setting and key.is_reloaded},
    "definitions": "services and checks",
}
"""Settings that a reload changes, by the key that sets each."""

FIXED = {
    **{key.setting: name for name, key in TABLE.items() if key.setting and not key.is_reloaded},
    "socket": "unix_sockets",
    "is_dns_wanted": "ports.dns",
    "node.cluster": "quorate.cluster, limits.kv_max_value_size",
    "node.timing": "quorate.timing, performance",
    "node.limits": "quorate.limits",
}
"""Settings that need a restart, by their keys."""

FLAGS = {
    **{key.flag: (name, key.about) for name, key in TABLE.items() if key.flag},
    "join": ("retry_join", "The same as -retry-join, by its old name."),
    "encrypt": ("encrypt", ""),
    "allow-write-http-from": ("http_config.allow_write_http_from", ""),
    "serf-lan-allowed-cidrs": ("serf_lan_allowed_cidrs", ""),
    "serf-wan-allowed-cidrs": ("serf_wan_allowed_cidrs", ""),
}
"""The flags of `quorate agent` by name: the key that each sets, and its help; "": not shown."""

UNUSED_SWITCHES = "disable-keyring-file hcl non-voting-server read-replica rejoin syslog ui"
UNUSED_VALUES = (
    "advertise-wan auto-reload-config grpc-port "
    "grpc-tls-port https-port log-file log-rotate-bytes log-rotate-duration log-rotate-max-files "
    "primary-gateway protocol raft-protocol retry-interval retry-interval-wan "
    "retry-join-wan retry-max retry-max-wan segment serf-lan-bind serf-wan-bind serf-wan-port "
    "ui-content-path ui-dir"
)
"""Consul's flags for parts that are not implemented."""
