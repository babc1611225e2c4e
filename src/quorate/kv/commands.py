"""Commands of the key-value store. Keys are bytes; their order is the order of bytes.

Source: Consul's KV store, https://developer.hashicorp.com/consul/api-docs/kv.
"""

from quorate.base.command import Command


class KvSet(Command, frozen=True, array_like=True, tag=1, gc=False):
    """Write unconditionally. Value True. Keeps a session, resets LockIndex to 0."""

    key: bytes
    value: bytes
    flags: int = 0


class KvCas(Command, frozen=True, array_like=True, tag=2, gc=False):
    """Write if ModifyIndex == index (0: only if absent). Value True or False."""

    key: bytes
    value: bytes
    flags: int
    index: int


class KvAcquire(Command, frozen=True, array_like=True, tag=3, gc=False):
    """Lock and write. Value True, or False if held by another or in lock-delay.

    An unknown session is a `Failure("not_found", 'invalid session "x"')`; an empty one a
    `Failure("bad_request", "missing session")`.
    """

    key: bytes
    value: bytes
    flags: int
    session: str


class KvRelease(Command, frozen=True, array_like=True, tag=4, gc=False):
    """Unlock and write. Value True, or False if not held by `session`."""

    key: bytes
    value: bytes
    flags: int
    session: str


class KvDelete(Command, frozen=True, array_like=True, tag=5, gc=False):
    """Remove a key. Value True, also if it was absent (then no index is taken)."""

    key: bytes


class KvDeleteCas(Command, frozen=True, array_like=True, tag=6, gc=False):
    """Remove if ModifyIndex == index. Value True (absent too) or False."""

    key: bytes
    index: int


class KvDeleteTree(Command, frozen=True, array_like=True, tag=9, gc=False):
    """Remove every key with this byte prefix. Value True."""

    prefix: bytes


class KvDeleteTreeByRow(Command, frozen=True, array_like=True, tag=7, gc=False):
    """As `KvDeleteTree`, row by row however large the tree is. Only in logs of format 1."""

    prefix: bytes
