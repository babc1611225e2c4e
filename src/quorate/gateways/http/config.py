"""What a gateway may decide by itself: limits, patience, spelling."""

from quorate.base.versions import CONSUL_VERSION, QUORATE_VERSION
from quorate.httpserver.config import KIB, MIB, ServerConfig


class HttpConfig(ServerConfig, frozen=True):
    """Settings of one HTTP gateway, besides those of its server. Times in seconds."""

    datacenter: str = "dc1"
    version: str = QUORATE_VERSION
    consul_version: str = CONSUL_VERSION  # what clients that branch on a version are told
    is_pretty: bool = False  # indent all JSON, as Consul's dev mode does
    is_dev: bool = False
    default_acl: str = "allow"
    response_headers: tuple[tuple[str, str], ...] = ()
    blocked_paths: tuple[str, ...] = ()  # what begins like one of these is refused
    takes_unprintable: bool = False  # control characters in paths

    default_wait_s: float = 300.0
    max_wait_s: float = 600.0
    session_ttl_min_s: float = 10.0

    key_bytes_max: int = 63 * KIB  # with what the tables put before it, less than their 64
    value_bytes_max: int = 512 * KIB
    txn_bytes_max: int = 512 * KIB
    txn_ops_max: int = 128
    txn_result_bytes_max: int = 16 * MIB  # of a transaction of reads; others: when applied
    body_bytes_max: int = 512 * KIB  # of endpoints that have no limit of their own
    snapshot_bytes_max: int = 1024 * MIB  # a snapshot file; its content may be four times it
    snapshots_max: int = 2  # saved at once; the same number may be on their way in
    spool_dir: str = ""  # for what is too long for memory; "": where the system keeps such files
    free_bytes_min: int = 128 * MIB  # that a file there must leave free on the disk
    command_bytes_max: int = MIB  # one command as the log takes it
