"""Archives: snapshots for users, and their restore as a gateway does it."""

from collections.abc import Iterator

from quorate.base.command import Command
from quorate.kv.tables import KV, decode_row
from quorate.machine.commands import RestoreRows
from quorate.machine.domains import Domains
from quorate.machine.snapshot import restore_commands


def commands_of(domains: Domains, restore_id: str, data: bytes, rows_max: int) -> Iterator[Command]:
    """What a gateway proposes, one after the other; so many rows in each."""
    for command in restore_commands(domains, data, restore_id):
        if isinstance(command, RestoreRows):
            for first in range(0, len(command.rows), rows_max):
                yield RestoreRows(restore_id, command.rows[first : first + rows_max])
        else:
            yield command


def keys_in(domains: Domains, data: bytes) -> dict[bytes, tuple[bytes, int]]:
    """The keys that an archive holds, each with its value and ModifyIndex."""
    found: dict[bytes, tuple[bytes, int]] = {}
    for command in restore_commands(domains, data, ""):
        for key, value in command.rows if isinstance(command, RestoreRows) else ():
            if key[0] == KV:
                row = decode_row(value)
                found[key[1:]] = (row.value, row.modify_index)
    return found
