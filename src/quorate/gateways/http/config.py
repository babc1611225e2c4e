"""Settings of a gateway: limits, times, formats."""

from quorate.base.versions import CONSUL_VERSION, QUORATE_VERSION
from quorate.httpserver.config import KIB, MIB, ServerConfig


class HttpConfig(ServerConfig, frozen=True):
    """Settings of one HTTP gateway, besides those of its server. Times in seconds."""

    datacenter: str = "dc1"
    version: str = QUORATE_VERSION
    consul_version: str = CONSUL_VERSION  # shown to clients, which branch on the version
    is_pretty: bool = False  # indent all JSON, as Consul's dev mode does
    is_dev: bool = False
    default_acl: str = "allow"
    response_headers: tuple[tuple[str, str], ...] = ()
    blocked_paths: tuple[str, ...] = ()  # paths with one of these prefixes are refused
    takes_unprintable: bool = False  # control characters in paths

    default_wait_s: float = 300.0
    max_wait_s: float = 600.0
    session_ttl_min_s: float = 10.0

    key_bytes_max: int = 63 * KIB  # less than the 64 of the tables, which add a prefix
    value_bytes_max: int = 512 * KIB
    txn_bytes_max: int = 512 * KIB
    txn_ops_max: int = 128
    txn_result_bytes_max: int = 16 * MIB  # of a transaction of reads; others: when applied
    body_bytes_max: int = 512 * KIB  # of endpoints that have no limit of their own
    snapshot_bytes_max: int = 1024 * MIB  # a snapshot file; its content may be four times as large
    snapshots_max: int = 2  # saved at the same time; the same number may be uploaded
    spool_dir: str = ""  # for bodies too long for memory; "": the directory of the system
    free_bytes_min: int = 128 * MIB  # that stays free on the disk
    command_bytes_max: int = MIB  # the largest command that the log takes
