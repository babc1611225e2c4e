"""What a node is called in the API besides its name: `node_id` and `node_meta`.

A node's own id, by which others know its votes, is made with its data directory and never given:
two directories with one id could vote twice. `node_id` only sets what the API shows.
"""

import re
import uuid
from collections.abc import Mapping

META_PAIRS_MAX = 64
META_KEY_CHARS_MAX = 128
META_VALUE_CHARS_MAX = 512

_META_KEY = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED = ("consul-", "quorate-")


def node_id_of(text: str) -> str:
    """An id in the usual spelling; empty if it is none."""
    try:
        return str(uuid.UUID(text)) if len(text) == len(str(uuid.UUID(int=0))) else ""
    except ValueError:
        return ""


def meta_faults(meta: Mapping[str, str]) -> list[str]:
    """What is wrong with a node's facts, in Consul's words."""
    if len(meta) > META_PAIRS_MAX:
        return [f"node_meta invalid: Node metadata cannot contain more than {META_PAIRS_MAX} keys"]
    return [
        f"node_meta invalid: Couldn't load metadata pair ('{key}', '{value}'): {fault}"
        for key, value in meta.items()
        if (fault := _pair_fault(key, value))
    ]


def _pair_fault(key: str, value: str) -> str:
    if not key:
        return "Key cannot be blank"
    if not _META_KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key) > META_KEY_CHARS_MAX:
        return f"Key is too long (limit: {META_KEY_CHARS_MAX} characters)"
    for prefix in _RESERVED:
        if key.startswith(prefix):
            return f"Key prefix '{prefix}' is reserved for internal use"
    if len(value) > META_VALUE_CHARS_MAX:
        return f"Value is too long (limit: {META_VALUE_CHARS_MAX} characters)"
    return ""
