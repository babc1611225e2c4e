"""Commands of sessions.

Source: Consul's session API, https://developer.hashicorp.com/consul/api-docs/session.
"""

from quorate.base.command import Command


class SessionCreate(Command, frozen=True, array_like=True, tag=20):
    """Create a session under an id drawn at the gateway. Value: the id.

    `behavior` is "release" or "delete"; `ttl` is the text as the caller spelt it ("" if none),
    `ttl_ms` its value (0 if none). `lock_delay_ns` is what the caller gave, `lock_delay_ms` that in
    whole milliseconds, rounded up. Failures carry Consul's texts: `Missing node registration`,
    `Missing check 'x' registration`, `Check 'x' is in critical state`.
    """

    id: str
    name: str
    node: str
    lock_delay_ms: int
    behavior: str
    ttl: str
    ttl_ms: int
    node_checks: tuple[str, ...]
    service_checks: tuple[str, ...] = ()
    lock_delay_ns: int = 0


class SessionDestroy(Command, frozen=True, array_like=True, tag=21):
    """End a session and release its locks. Value True, also if unknown."""

    id: str


class SessionRenew(Command, frozen=True, array_like=True, tag=22):
    """Log a renewal at the log time of the batch. Value True, or False if unknown."""

    id: str


class SessionExpire(Command, frozen=True, array_like=True, tag=23):
    """End a session whose row still has this `renewed_ms`; else nothing. Value True or False."""

    id: str
    renewed_ms: int
