"""Keys that ask for protection which this version does not have: a node does not start with them.

A key that is ignored with a warning must not be one that somebody relies on to keep others out.
A value that asks for nothing (false, empty, a port that is switched off) is harmless. So are the
ports for TLS: without a certificate, which is refused, nothing is protected by one in Consul, and
here nothing listens; tools that write whole configurations name them always.
"""

import base64
from collections.abc import Iterator
from typing import Any, cast

ACCESS = "access control"
TLS = "TLS"
GOSSIP = "encryption between nodes"
NETWORKS = "a list of networks that are let in"

_POLICIES = frozenset({"default_policy", "acl_default_policy", "default_intention_policy"})

_TLS_KEYS = (
    "ca_file ca_path cert_file key_file verify_incoming verify_outgoing verify_server_hostname "
    "tls_min_version tls_cipher_suites use_auto_cert"
)


def _asks(what: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), what)


GUARDED: dict[str, str] = {
    **_asks(
        ACCESS,
        "acl_datacenter acl_default_policy acl_master_token acl_agent_token "
        "acl_agent_master_token acl_token acl_replication_token enable_acl_replication "
        "default_intention_policy",
    ),
    **_asks(GOSSIP, "encrypt encrypt_verify_incoming encrypt_verify_outgoing"),
    **_asks(
        TLS,
        f"{_TLS_KEYS} verify_incoming_rpc verify_incoming_https tls_prefer_server_cipher_suites "
        "enable_agent_tls_for_checks",
    ),
    **_asks(NETWORKS, "serf_lan_allowed_cidrs serf_wan_allowed_cidrs"),
}
"""Keys of the top, and what they ask for."""

_TOKENS = (
    "initial_management agent agent_recovery default replication dns "
    "config_file_service_registration master agent_master"
)

BLOCKS: dict[str, Any] = {
    "acl": {
        **_asks(ACCESS, "enabled default_policy enable_token_replication enable_key_list_policy"),
        "tokens": _asks(ACCESS, _TOKENS),
    },
    "tls": dict.fromkeys(("defaults", "https", "internal_rpc", "grpc"), _asks(TLS, _TLS_KEYS)),
    "auto_encrypt": _asks(TLS, "tls allow_tls dns_san ip_san"),
    "auto_config": {
        **_asks(TLS, "enabled intro_token intro_token_file server_addresses dns_sans ip_sans"),
        "authorization": _asks(TLS, "enabled"),
    },
    "addresses": _asks(TLS, "https grpc_tls"),
    "http_config": _asks(NETWORKS, "allow_write_http_from"),
}
"""Blocks that hold such keys."""


def unknown_policies(values: dict[str, Any]) -> list[str]:
    """What an agent does not take for a policy, in Consul's words; `validate` lets it pass."""
    acl = values.get("acl", {})
    word = str(acl.get("default_policy") or "allow").lower()
    return [] if word in {"allow", "deny"} else [f"Unsupported default ACL policy: {word}"]


def requests(values: dict[str, Any]) -> list[str]:
    """What a merged configuration asks for and cannot have, a sentence for each key."""
    faults: list[str] = []
    if (encrypt := values.get("encrypt")) and (fault := _key_fault(str(encrypt))):
        faults = [f"encrypt has invalid key: {fault}"]
        values = {name: value for name, value in values.items() if name != "encrypt"}
    return faults + [
        f"{name} asks for {what}, which this version of Quorate does not have: the node does not "
        "start without it. Take the key out to go on without protection"
        for name, what in _asking(values, GUARDED | BLOCKS, "")
    ]


def _asking(values: dict[str, Any], keys: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    if prefix == "acl." and values.get("enabled") is False:
        return  # switched off in so many words: the rest of the block means nothing
    for name, value in values.items():
        what = keys.get(name)
        if isinstance(what, dict) and isinstance(value, dict):
            inner = cast(dict[str, Any], value)
            yield from _asking(inner, cast(dict[str, Any], what), f"{prefix}{name}.")
        elif isinstance(what, str) and _is_asking(name, value):
            yield f"{prefix}{name}", what


def _key_fault(text: str) -> str:
    """Why this is no key for Consul's gossip; empty if it is one."""
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError:  # binascii.Error, or not even ASCII
        return "illegal base64 data"
    return "" if size in {16, 24, 32} else "key size must be 16, 24 or 32 bytes"


def _is_asking(name: str, value: Any) -> bool:
    if name in _POLICIES:
        return str(value).lower() == "deny"
    if isinstance(value, int) and not isinstance(value, bool):
        return value > 0
    return bool(value)
