"""Keys that ask for protection that is not implemented: a node does not start with them.

A key that is ignored with a warning must not be one that an operator relies on to keep others out.
A value that asks for nothing (false, empty, a disabled port) is harmless. So are the ports for TLS:
without a certificate, which is refused, none of them protects anything in Consul, and Quorate
listens on none; tools that write whole configurations always set them.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

_TLS_KEYS = (
    "ca_file ca_path cert_file key_file verify_incoming verify_outgoing verify_server_hostname "
    "tls_min_version tls_cipher_suites use_auto_cert"
)
_BY_PURPOSE: dict[str, dict[str, str]] = {
    "access control": {
        "": (
            "acl_datacenter acl_default_policy acl_master_token acl_agent_token "
            "acl_agent_master_token acl_token acl_replication_token enable_acl_replication "
            "default_intention_policy"
        ),
        "acl": "enabled default_policy enable_token_replication enable_key_list_policy",
        "acl.tokens": (
            "initial_management agent agent_recovery default replication dns "
            "config_file_service_registration master agent_master"
        ),
    },
    "encryption between nodes": {"": "encrypt encrypt_verify_incoming encrypt_verify_outgoing"},
    "TLS": {
        "": (
            f"{_TLS_KEYS} verify_incoming_rpc verify_incoming_https "
            "tls_prefer_server_cipher_suites enable_agent_tls_for_checks"
        ),
        **dict.fromkeys(("tls.defaults", "tls.https", "tls.internal_rpc", "tls.grpc"), _TLS_KEYS),
        "auto_encrypt": "tls allow_tls dns_san ip_san",
        "auto_config": "enabled intro_token intro_token_file server_addresses dns_sans ip_sans",
        "auto_config.authorization": "enabled",
        "addresses": "https grpc_tls",
    },
    "a list of networks that are let in": {
        "": "serf_lan_allowed_cidrs serf_wan_allowed_cidrs",
        "http_config": "allow_write_http_from",
    },
}


def names(blocks: Mapping[str, str]) -> Iterator[str]:
    """The full names of keys that are listed by block; the top level is the block ""."""
    for block, keys in blocks.items():
        yield from (f"{block}.{key}".lstrip(".") for key in keys.split())


GUARDED = {name: what for what, blocks in _BY_PURPOSE.items() for name in names(blocks)}
"""Such keys, and what each asks for."""

_POLICIES = frozenset({"acl.default_policy", "acl_default_policy", "default_intention_policy"})


def unknown_policies(values: dict[str, Any]) -> list[str]:
    """The error for an unknown ACL policy, in Consul's words; `validate` accepts any."""
    word = str(values.get("acl.default_policy") or "allow").lower()
    return [] if word in {"allow", "deny"} else [f"Unsupported default ACL policy: {word}"]


def requests(values: dict[str, Any]) -> list[str]:
    """What a configuration asks for and cannot have, a sentence for each key."""
    fault = _key_fault(str(values.get("encrypt") or ""))
    is_acl_off = values.get("acl.enabled") is False  # explicitly: the rest of the block is unused
    return ([f"encrypt has invalid key: {fault}"] if fault else []) + [
        f"{name} asks for {GUARDED[name]}, which this version of Quorate does not have: the node "
        "does not start without it. Take the key out to go on without protection"
        for name, value in values.items()
        if name in GUARDED
        and _is_asking(name, value)
        and not (is_acl_off and name.startswith("acl."))
        and not (fault and name == "encrypt")
    ]


def _key_fault(text: str) -> str:
    """Why this is no key for Consul's gossip; empty if it is one, or there is none."""
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError:  # binascii.Error, or not even ASCII
        return "illegal base64 data"
    return "" if not text or size in {16, 24, 32} else "key size must be 16, 24 or 32 bytes"


def _is_asking(name: str, value: Any) -> bool:
    if name in _POLICIES:
        return str(value).lower() == "deny"
    if isinstance(value, int) and not isinstance(value, bool):
        return value > 0
    return bool(value)
