"""The requests of each workload, as bytes all but ready: both generators pick from the same.

A put holds a mark that is replaced by a running number before it is sent. Without that a key
would soon be written with the value it has already, which is less work for some systems.
"""

import base64
import random
from typing import NamedTuple

KEYS = 10_000  # random keys; all exist before anything is measured
VALUE_BYTES = 256
_WARM_PUTS, _WARM_VALUE_BYTES = 10_240, 64 * 1024
MARK = b"@" * 8  # stands where it is no harm: at a value's begin, for etcd as 8 letters of base 64
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Workload(NamedTuple):
    """What is asked of a cluster.

    Attributes:
        verb: `put`, `get` (linearizable) or `stale` (from the node's own tables).
        connections: How many at once, each with one request on the way.
        via: `leader` or `follower`: the node that all requests go to.
    """

    verb: str
    connections: int
    via: str

    @property
    def name(self) -> str:
        """As it is called in tables, results and on the command line."""
        return f"{self.verb}-{self.connections}-{self.via}"


def fresh(request: bytes, number: int) -> bytes:
    """A request as it is sent: with a value that its key did not have before."""
    return request.replace(MARK, b"%08d" % (number % 10**8), 1)


def _head(method: str, path: str, length: int, more: str = "") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: bench\r\n{more}Content-Length: {length}\r\n\r\n"
    ).encode()


def _key(number: int) -> str:
    return f"bench/{number:05d}"


def _value(rng: random.Random) -> bytes:
    return "".join(rng.choices(_LETTERS, k=VALUE_BYTES)).encode()


def consul_requests(verb: str, seed: int = 1) -> list[bytes]:
    """One request per key for anything that speaks Consul's API."""
    rng = random.Random(seed)
    if verb == "put":
        head = [_head("PUT", f"/v1/kv/{_key(number)}", VALUE_BYTES) for number in range(KEYS)]
        return [each + MARK + _value(rng)[len(MARK) :] for each in head]
    mark = "?stale" if verb == "stale" else ""
    return [
        f"GET /v1/kv/{_key(number)}{mark} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        for number in range(KEYS)
    ]


def warming_requests() -> list[bytes]:
    """Writes of 640 MiB, over few keys: then a node's log has the files of a log in use.

    A new log begins with small ones, and makes larger ones ahead as it grows, until it was
    truncated twice: work that a build with other sizes has at other times.
    """
    head = [_head("PUT", f"/v1/kv/warm/{n % 64:02d}", _WARM_VALUE_BYTES) for n in range(_WARM_PUTS)]
    body = MARK + bytes(_WARM_VALUE_BYTES - len(MARK))
    return [each + body for each in head]


def etcd_requests(verb: str, seed: int = 1) -> list[bytes]:
    """One request per key for etcd's JSON gateway, with the same keys and values."""
    rng = random.Random(seed)
    requests: list[bytes] = []
    json_type = "Content-Type: application/json\r\n"
    for number in range(KEYS):
        key = base64.b64encode(_key(number).encode()).decode()
        if verb == "put":
            value = MARK.decode() + base64.b64encode(_value(rng)).decode()[len(MARK) :]
            path, body = "/v3/kv/put", f'{{"key":"{key}","value":"{value}"}}'
        else:
            stale = ',"serializable":true' if verb == "stale" else ""
            path, body = "/v3/kv/range", f'{{"key":"{key}"{stale}}}'
        requests.append(_head("POST", path, len(body), json_type) + body.encode())
    return requests
