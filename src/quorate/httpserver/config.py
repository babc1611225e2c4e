"""Settings of an HTTP server: limits and timeouts, whatever the API."""

import msgspec

KIB = 1024
MIB = 1024 * 1024


class ServerConfig(msgspec.Struct, frozen=True):
    """Settings of one HTTP server. Times in seconds."""

    header_bytes_max: int = 128 * KIB  # request line and headers
    headers_max: int = 1000  # lines of one request
    pipeline_max: int = 256  # unanswered requests of one connection before reading pauses

    connections_max: int = 16_384  # of all clients together
    connections_per_client_max: int = 200
    held_bytes_max: int = 256 * MIB  # held in memory for all clients, see `budget`
    client_bytes_max: int = 128 * MIB  # the same, for one client address

    header_timeout_s: int = 10  # from the first byte of a request to the end of its headers
    body_timeout_s: int = 30  # for the body, besides what its length needs
    body_bytes_per_s_min: int = 16 * KIB
    idle_timeout_s: int = 300
    send_timeout_s: int = 60  # for a client that takes nothing of its answer
    linger_s: int = 3  # how long a refused body is read and dropped, so that the answer arrives
    stop_s: float = 2.0  # how long a stop waits for answers under way
