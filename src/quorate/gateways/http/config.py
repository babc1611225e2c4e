"""What a gateway may decide by itself: limits, patience, spelling."""

import msgspec

from quorate.base.versions import CONSUL_VERSION, QUORATE_VERSION

KIB = 1024
MIB = 1024 * 1024


class HttpConfig(msgspec.Struct, frozen=True):
    """Settings of one HTTP gateway. Times in seconds."""

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
    body_bytes_max: int = 512 * KIB  # of endpoints that have no limit of their own
    snapshot_bytes_max: int = 1024 * MIB  # a snapshot file; its content may be four times it
    snapshots_max: int = 2  # saved at once; the same number may be on their way in
    spool_dir: str = ""  # for what is too long for memory; "": where the system keeps such files
    free_bytes_min: int = 128 * MIB  # that a file there must leave free on the disk
    command_bytes_max: int = MIB  # one command as the log takes it
    header_bytes_max: int = 128 * KIB  # request line and headers; keys may have 64 KiB

    connections_max: int = 16_384  # of all clients together
    connections_per_client_max: int = 200
    held_bytes_max: int = 256 * MIB  # held in memory for all clients, see `budget`
    client_bytes_max: int = 128 * MIB  # the same, for one client address
    headers_max: int = 1000  # lines of one request
    pipeline_max: int = 256  # unanswered requests of one connection before reading pauses
    header_timeout_s: int = 10  # from the first byte of a request to the end of its headers
    body_timeout_s: int = 30  # for the body, besides what its length needs
    body_bytes_per_s_min: int = 16 * KIB
    idle_timeout_s: int = 300
    send_timeout_s: int = 60  # for a client that takes nothing of its answer
    linger_s: int = 3  # how long a refused body is read and dropped, so that the answer arrives
    stop_s: float = 2.0  # how long a stop waits for answers under way
