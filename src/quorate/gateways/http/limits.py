"""How long a body may be, by path, and what is answered to a longer one."""

from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.kv import too_long
from quorate.gateways.http.routes import plain_path, split

MEMORY_BYTES_MAX = 64 * 1024
"""A shorter body of a snapshot is kept in memory."""


def body_bytes_max(config: HttpConfig, method: bytes, target: bytes) -> int:
    """The longest body of a request.

    Args:
        config: The limits.
        method: In capitals.
        target: Path and query, not decoded.
    """
    path = _path(target)
    if path.startswith(b"/v1/kv/"):
        return config.value_bytes_max
    if path == b"/v1/txn":
        return config.txn_bytes_max
    if path == b"/v1/snapshot" and method == b"PUT":
        return config.snapshot_bytes_max
    return config.body_bytes_max


def is_long(length: int) -> bool:
    """Whether a body may be too long for memory; 1: its length is not known before its end."""
    return length > MEMORY_BYTES_MAX or length == 1


def is_spooled(method: bytes, target: bytes, length: int) -> bool:
    """Whether a body goes to disk while it comes.

    Args:
        method: In capitals.
        target: Path and query, not decoded.
        length: Of the body; 1 if it is not known before its end.
    """
    return method == b"PUT" and _path(target) == b"/v1/snapshot" and is_long(length)


def refusal(config: HttpConfig, target: bytes, length: int) -> HttpError:
    """The response to a body of at least this length."""
    path = _path(target)
    if path.startswith(b"/v1/kv/"):
        return too_long(length, config.value_bytes_max)
    if path == b"/v1/txn":
        limit = config.txn_bytes_max
        return HttpError(
            413,
            f"Request body({length} bytes) too large, max size: {limit} bytes. "
            "See limits.txn_max_req_len.",
        )
    limit = body_bytes_max(config, b"PUT", target)
    return HttpError(413, f"Request body({length} bytes) too large, max size: {limit} bytes.")


def _path(target: bytes) -> bytes:
    """The path by which the router chooses; as it was sent if it cannot be decoded."""
    path, _ = split(target)
    plain = plain_path(path)
    return path if plain is None else plain
