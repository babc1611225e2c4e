"""What every command is: a change of replicated state, as data.

A command is self-contained: ids, random values and durations are drawn at the gateway and are part
of it; time enters only by the log time of its batch. The first element of the encoded array is the
tag. Tags are part of the log's format: `base.numbers` says which domain may use which.
"""

import msgspec

COMMANDS_MAX = 0xFFFF
"""Upper bound of a bundle's count, from its array header; the real cap is in ClusterConfig."""


class Command(msgspec.Struct, frozen=True, array_like=True):
    """A change of replicated state. Each command is a subclass with a tag, in its domain."""


encode_command = msgspec.msgpack.Encoder().encode
"""Encode one command to bytes."""


def join_commands(encoded: list[bytes]) -> bytes:
    """Make the payload of a bundle from encoded commands: an array header and their bytes.

    Raises:
        ValueError: More than 65,535 commands.
    """
    count = len(encoded)
    if count > COMMANDS_MAX:
        raise ValueError(f"{count} commands in one bundle")
    return b"".join((b"\xdc", count.to_bytes(2, "big"), *encoded))
