"""Every change of replicated state, as data: one file per pillar.

A command is self-contained: ids, chance and durations are drawn at the gateway and travel in
it; time enters only by the stamp of its batch. The first element of the encoded array is the
tag. Tags are part of the log's format: never reuse or renumber one.
"""

import msgspec

from quorate.base.commands.kv import (
    KvAcquire,
    KvCas,
    KvDelete,
    KvDeleteCas,
    KvDeleteTree,
    KvDeleteTreeByRow,
    KvRelease,
    KvSet,
    TombstonesReap,
)
from quorate.base.commands.machine import (
    RestoreBegin,
    RestoreCommit,
    RestoreRows,
    Sweep,
    SweepAll,
)
from quorate.base.commands.registry import (
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
    SessionCreate,
    SessionDestroy,
    SessionExpire,
    SessionRenew,
)
from quorate.base.commands.txn import Txn, TxnOp, TxnUnlimited

__all__ = [
    "Command",
    "KvAcquire",
    "KvCas",
    "KvDelete",
    "KvDeleteCas",
    "KvDeleteTree",
    "KvDeleteTreeByRow",
    "KvRelease",
    "KvSet",
    "NodeDeregister",
    "NodeHealth",
    "NodeRegister",
    "RestoreBegin",
    "RestoreCommit",
    "RestoreRows",
    "ServiceDeregister",
    "ServiceRegister",
    "SessionCreate",
    "SessionDestroy",
    "SessionExpire",
    "SessionRenew",
    "Sweep",
    "SweepAll",
    "TombstonesReap",
    "Txn",
    "TxnOp",
    "TxnUnlimited",
    "decode_commands",
    "encode_command",
    "join_commands",
]

Command = (
    KvSet
    | KvCas
    | KvAcquire
    | KvRelease
    | KvDelete
    | KvDeleteCas
    | KvDeleteTree
    | KvDeleteTreeByRow
    | TombstonesReap
    | SessionCreate
    | SessionDestroy
    | SessionRenew
    | SessionExpire
    | NodeRegister
    | NodeHealth
    | NodeDeregister
    | ServiceRegister
    | ServiceDeregister
    | Txn
    | TxnUnlimited
    | RestoreBegin
    | RestoreRows
    | RestoreCommit
    | Sweep
    | SweepAll
)

COMMANDS_MAX = 0xFFFF
"""Upper bound of a bundle's count, from its array header; the real cap is in ClusterConfig."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Command])

encode_command = _encoder.encode
"""Encode one command to bytes."""


def join_commands(encoded: list[bytes]) -> bytes:
    """Make a bundle's body of encoded commands: an array header and their bytes.

    Raises:
        ValueError: More than 65,535 commands.
    """
    count = len(encoded)
    if count > COMMANDS_MAX:
        raise ValueError(f"{count} commands in one bundle")
    return b"".join((b"\xdc", count.to_bytes(2, "big"), *encoded))


def decode_commands(body: bytes) -> list[Command]:
    """Decode a bundle's body.

    Raises:
        ValueError: Not a list of known commands (msgspec's DecodeError is a ValueError).
    """
    return _decoder.decode(body)
