"""Which keys a configuration file may have: Consul's, and a block of our own.

A key that is built has a kind. A key of Consul's that this version does not use parses, with a
warning, so that a file written for Consul starts a node. A key that asks for protection which is
not built stops the start (`protection`). Any other key is an error.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

from quorate.base.config import ClusterConfig, Limits, Timing
from quorate.cli import protection


class Kind(Enum):
    """What the value of a key must be."""

    TEXT = "a string"
    SWITCH = "true or false"
    WHOLE = "a whole number"
    NUMBER = "a number"
    DURATION = 'a duration such as "10s"'
    TEXTS = "a list of strings"
    NAMES = "a block of strings"
    UNUSED = "anything: this version does not use it"
    GUARDED = "nothing that asks for protection"


Keys = dict[str, Any]
"""Key -> Kind, or the keys of a block."""


def _unused(names: str) -> Keys:
    return dict.fromkeys(names.split(), Kind.UNUSED)


def _numbers(kind: type[ClusterConfig | Timing | Limits]) -> Keys:
    """A key for each field of a struct of numbers."""
    return {
        name: Kind.WHOLE if field is int else Kind.NUMBER
        for name, field in kind.__annotations__.items()
    }


def _guarded(keys: Mapping[str, Any]) -> Keys:
    """Keys of `protection`, with its blocks."""
    return {
        name: Kind.GUARDED if isinstance(what, str) else _guarded(what)
        for name, what in keys.items()
    }


_BLOCKS = _guarded(protection.BLOCKS)

_ACL: Keys = _unused("down_policy token_ttl policy_ttl role_ttl enable_token_persistence")

_DNS = _unused(
    "allow_stale max_stale node_ttl service_ttl only_passing enable_truncate udp_answer_limit "
    "a_record_limit recursor_strategy recursor_timeout use_cache cache_max_age "
    "disable_compression enable_additional_node_meta_txt soa"
)

_GOSSIP = _unused(
    "gossip_nodes probe_interval probe_timeout suspicion_mult gossip_interval retransmit_mult"
)

_LISTENERS: Keys = {"http": Kind.TEXT} | _unused("dns grpc") | _BLOCKS["addresses"]

_PORTS: Keys = {"http": Kind.WHOLE, "server": Kind.WHOLE, "serf_lan": Kind.WHOLE} | _unused(
    "dns grpc grpc_tls https serf_wan proxy_min_port proxy_max_port sidecar_min_port "
    "sidecar_max_port expose_min_port expose_max_port"
)

OUR_KEYS: Keys = {
    "cluster": _numbers(ClusterConfig),
    "timing": _numbers(Timing),
    "limits": _numbers(Limits),
    "auto_promote": Kind.SWITCH,
    "wal_sync": Kind.TEXT,
    "wal_segment_bytes": Kind.WHOLE,
    "snapshot_log_bytes": Kind.WHOLE,
    "free_bytes_min": Kind.WHOLE,
}
"""The block `quorate`: what Consul has no words for."""

_BUILT: Keys = {
    "node_name": Kind.TEXT,
    "node_id": Kind.TEXT,
    "node_meta": Kind.NAMES,
    "disable_host_node_id": Kind.SWITCH,
    "datacenter": Kind.TEXT,
    "data_dir": Kind.TEXT,
    "server": Kind.SWITCH,
    "bootstrap": Kind.SWITCH,
    "bootstrap_expect": Kind.WHOLE,
    "bind_addr": Kind.TEXT,
    "client_addr": Kind.TEXT,
    "advertise_addr": Kind.TEXT,
    "retry_join": Kind.TEXTS,
    "log_level": Kind.TEXT,
    "log_json": Kind.SWITCH,
    "pid_file": Kind.TEXT,
    "leave_on_terminate": Kind.SWITCH,
    "skip_leave_on_interrupt": Kind.SWITCH,
    "unix_sockets": {"user": Kind.TEXT, "group": Kind.TEXT, "mode": Kind.TEXT},
    "default_query_time": Kind.DURATION,
    "max_query_time": Kind.DURATION,
    "session_ttl_min": Kind.DURATION,
    "disable_http_unprintable_char_filter": Kind.SWITCH,
    "http_config": {"response_headers": Kind.NAMES, "block_endpoints": Kind.TEXTS}
    | _unused("use_cache max_header_bytes")
    | _BLOCKS["http_config"],
    "addresses": _LISTENERS,
    "ports": _PORTS,
    "performance": {
        "raft_multiplier": Kind.WHOLE,
        "rpc_hold_timeout": Kind.DURATION,
    }
    | _unused("leave_drain_time grpc_keepalive_interval grpc_keepalive_timeout"),
    "limits": {
        "http_max_conns_per_client": Kind.WHOLE,
        "kv_max_value_size": Kind.WHOLE,
        "txn_max_req_len": Kind.WHOLE,
    }
    | _unused(
        "rpc_rate rpc_max_burst rpc_max_conns_per_client rpc_handshake_timeout "
        "rpc_client_timeout https_handshake_timeout request_limits"
    ),
    "quorate": OUR_KEYS,
}

_UNUSED = _unused(
    # identity and addresses
    "primary_datacenter domain alt_domain advertise_addr_wan "
    "advertise_addr_ipv4 advertise_addr_ipv6 serf_lan serf_wan translate_wan_addrs "
    # joining
    "retry_join_wan retry_interval retry_max rejoin_after_leave start_join start_join_wan "
    "retry_interval_wan retry_max_wan "
    # log
    "log_file log_rotate_bytes log_rotate_duration log_rotate_max_files enable_syslog "
    "syslog_facility "
    # checks and services
    "service services check checks enable_script_checks enable_local_script_checks "
    "check_update_interval check_output_max_size discard_check_output watches "
    # access control, old words
    "acl_down_policy acl_ttl acl_enforce_version_8 "
    # DNS
    "recursors "
    # limits
    "discovery_max_stale "
    # consensus and gossip
    "raft_protocol raft_snapshot_threshold raft_snapshot_interval raft_trailing_logs "
    "reconnect_timeout reconnect_timeout_wan "
    "disable_keyring_file "
    # UI, mesh and the rest
    "ui ui_dir ui_content_path cloud config_entries peering "
    "disable_update_check disable_remote_exec enable_debug "
    "disable_anonymous_signature "
    "enable_central_service_config experiments segment segments locality audit version "
    "version_prerelease revision license_path partition non_voting_server read_replica "
    "protocol rpc server_name server_rejoin_age_max use_streaming_backend "
    "disable_coordinates xds reporting"
)

_UNUSED_BLOCKS: Keys = {
    "acl": _ACL | _BLOCKS["acl"],
    "auto_encrypt": _BLOCKS["auto_encrypt"],
    "auto_config": _BLOCKS["auto_config"]
    | {"authorization": _BLOCKS["auto_config"]["authorization"] | _unused("static")},
    "dns_config": _DNS,
    "gossip_lan": _GOSSIP,
    "gossip_wan": _GOSSIP,
    "autopilot": _unused(
        "cleanup_dead_servers last_contact_threshold max_trailing_logs min_quorum "
        "server_stabilization_time disable_upgrade_migration redundancy_zone_tag "
        "upgrade_version_tag"
    ),
    "raft_logstore": _unused("backend disable_log_cache verification boltdb wal"),
    "tls": _BLOCKS["tls"],
    "telemetry": _unused(
        "prometheus_retention_time disable_hostname statsd_address statsite_address "
        "dogstatsd_addr dogstatsd_tags metrics_prefix prefix_filter filter_default "
        "disable_per_tenancy_usage_metrics enable_host_metrics retry_failed_connection"
    ),
    "ui_config": _unused(
        "enabled dir content_path metrics_provider metrics_provider_files "
        "metrics_provider_options_json metrics_proxy dashboard_url_templates"
    ),
    "connect": _unused(
        "enabled ca_provider ca_config enable_mesh_gateway_wan_federation "
        "enable_serverless_plugin test_ca_leaf_root_change_spread"
    ),
}

KEYS = MappingProxyType(_BUILT | _UNUSED | _UNUSED_BLOCKS | _guarded(protection.GUARDED))
"""Every key that parses."""
