r"""The handshake: the first bytes that both ends of a connection send, and how each checks them.

Both send their Hello at once and check the other's. What follows is of `wire.frame`.

```text
 | QUORATE\n (8 bytes) | length (u32) | crc32c of the Hello (u32) | Hello (msgpack) |
```

New fields are appended to Hello, with a default; old nodes skip them. Any other change needs a new
protocol version; nodes speak the highest that both know.
"""

from hashlib import sha256
from struct import Struct

import msgspec

from quorate.base.batches import Member
from quorate.base.config import ClusterConfig
from quorate.base.errors import PeerError
from quorate.base.formats import PROTOCOL
from quorate.wire.checksum import crc32c

MAGIC = b"QUORATE\n"
VERSION_MIN = PROTOCOL.oldest
VERSION_MAX = PROTOCOL.newest
"""See `base.formats`. Nodes of different versions do not talk to each other so far (ADR 0023)."""

HELLO_BYTES_MAX = 4096

_LENGTH_AND_CRC = Struct("<II")
_PREFACE_BYTES = len(MAGIC) + _LENGTH_AND_CRC.size


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """Which node sends it, and what must be equal on both nodes.

    Attributes:
        version_min, version_max: Protocol versions that the sender speaks.
        cluster_id: What its data directory belongs to; "" if it is uninitialised.
        member: Its id, name and addresses.
        incarnation: Rises at each of its starts.
        nonce: Drawn at start. Two processes on copies of one directory share id and
            incarnation, but not this.
        config_hash: `config_hash` of its ClusterConfig.
        cluster: The fields of that, so that the other end can report which differ; empty from older
            versions.
    """

    version_min: int
    version_max: int
    cluster_id: str
    member: Member
    incarnation: int
    nonce: int
    config_hash: str
    cluster: dict[str, int] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Hello)


def config_hash(config: ClusterConfig) -> str:
    """A name for these settings, the same on every machine; 16 hexadecimal digits."""
    return sha256(msgspec.json.encode(config, order="sorted")).hexdigest()[:16]


def settings_shown(config: ClusterConfig) -> tuple[str, dict[str, int]]:
    """What a Hello says of these settings: `config_hash` and `cluster`."""
    return config_hash(config), msgspec.structs.asdict(config)


def encode_hello(hello: Hello) -> bytes:
    """The bytes that open a connection.

    Raises:
        PeerError: `local`: names or addresses are too long.
    """
    data = _encoder.encode(hello)
    if len(data) > HELLO_BYTES_MAX:
        raise PeerError("local", "this node's name and addresses are too long for a handshake")
    return MAGIC + _LENGTH_AND_CRC.pack(len(data), crc32c(data)) + data


class HelloReader:
    """Collects the other end's Hello; what follows it belongs to the FrameReader."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> tuple[Hello, bytes] | None:
        """Take the next bytes.

        Returns:
            None while the Hello is incomplete; then it, and the bytes behind it. Not to be
            called again after that.

        Raises:
            PeerError: `remote`: this is no Hello. Known from the first wrong byte on.
        """
        self._held += data
        start = self._held[: len(MAGIC)]
        if not MAGIC.startswith(start):
            raise PeerError(
                "remote",
                "the other end does not speak Quorate's node protocol: "
                "is the address that of another service, or of a node's HTTP port?",
            )
        if len(self._held) < _PREFACE_BYTES:
            return None
        length, crc = _LENGTH_AND_CRC.unpack_from(self._held, len(MAGIC))
        if length > HELLO_BYTES_MAX:
            raise PeerError("remote", f"the other end announced a handshake of {length} bytes")
        end = _PREFACE_BYTES + length
        if len(self._held) < end:
            return None
        return _decoded(self._held[_PREFACE_BYTES:end], crc), self._held[end:]


def _decoded(data: bytes, crc: int) -> Hello:
    if crc32c(data) != crc:
        raise PeerError("remote", "the handshake was damaged on its way")
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise PeerError("remote", f"the other end sent no valid handshake: {error}") from error


def judge_hello(mine: Hello, theirs: Hello, present: Hello | None = None) -> int:
    """Decide whether to talk to the node that sent `theirs`.

    Args:
        mine: What this node sends.
        theirs: What the other end sent.
        present: What was received on a link to this peer that is established already. Without one
            an earlier incarnation is accepted, so that it can be notified of what it has lost
            (`paxos.recall`).

    Returns:
        The protocol version to speak: the highest that both know.

    Raises:
        PeerError: `remote`: no; the text says why and what to do.
    """
    version = _common_version(mine, theirs)
    peer = f"node {theirs.member.name!r} ({theirs.member.id}) at {theirs.member.address}"
    if theirs.member.id == mine.member.id:
        raise PeerError("remote", _same_id(mine, theirs))
    if mine.cluster_id and theirs.cluster_id and mine.cluster_id != theirs.cluster_id:
        raise PeerError(
            "remote",
            f"{peer} belongs to cluster {theirs.cluster_id}, this node to {mine.cluster_id}: "
            "remove its address from the ones to join, or give one of both an empty directory",
        )
    if theirs.config_hash != mine.config_hash:
        raise PeerError(
            "remote",
            f"{peer} has other cluster settings ({_differences(mine, theirs)}): all nodes of a "
            "cluster have the same. Give a node that is to join those of its cluster (block "
            "quorate.cluster, limits.kv_max_value_size), then start it again",
        )
    if present is None:
        return version
    incarnation = present.incarnation
    if theirs.incarnation < incarnation:
        raise PeerError(
            "remote",
            f"{peer} reports incarnation {theirs.incarnation}, but its incarnation {incarnation} "
            "was seen: its data directory is an old copy and has lost promises. Remove the node "
            "from the cluster and let it join again with an empty directory",
        )
    if theirs.incarnation == incarnation and theirs.nonce != present.nonce:
        raise PeerError(
            "remote",
            f"{peer} runs twice: another process has the same id and incarnation {incarnation}. "
            "One of them uses a copy of the other's data directory: stop that one, delete the copy",
        )
    return version


def _common_version(mine: Hello, theirs: Hello) -> int:
    version = min(mine.version_max, theirs.version_max)
    if version < max(mine.version_min, theirs.version_min):
        older = "the other node" if theirs.version_max < mine.version_min else "this node"
        raise PeerError(
            "remote",
            f"no common protocol version: the other node speaks {theirs.version_min} to "
            f"{theirs.version_max}, this one {mine.version_min} to {mine.version_max}; "
            f"upgrade {older}",
        )
    return version


def _differences(mine: Hello, theirs: Hello) -> str:
    """Which settings differ; by their hashes if the other end did not say them."""
    found = [
        f"{name} is {theirs.cluster[name]} there, {value} here"
        for name, value in mine.cluster.items()
        if theirs.cluster.get(name, value) != value
    ]
    return ", ".join(found) or f"hash {theirs.config_hash}, here {mine.config_hash}"


def _same_id(mine: Hello, theirs: Hello) -> str:
    if theirs.nonce == mine.nonce:
        return f"the address {theirs.member.address} leads back to this node itself"
    return (
        f"another process at {theirs.member.address} has this node's id {mine.member.id}: one of "
        "both uses a copy of the other's data directory; stop that one and delete the copy"
    )
