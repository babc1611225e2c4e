"""`quorate kv export` and `import`: keys as a file, in Consul's JSON."""

import json
import posixpath
from typing import Annotated

import msgspec

from quorate.base.errors import QuorateError
from quorate.cli.connect import ConnectionFlags, connected, read_value
from quorate.cli.output import fail, note, progress, say, show


class Exported(msgspec.Struct):
    """One key in the file."""

    key: str
    flags: int = 0
    value: bytes = b""  # base 64 in the file


_FILE = msgspec.json.Decoder(list[Exported])


def key_below(name: str, what: str, *, may_be_empty: bool) -> str:
    """Read an argument as a key or prefix, without a slash before it.

    A user who types one means the root. With the slash it would match nothing, and a delete or an
    export of nothing would look like a success.
    """
    name = name.removeprefix("/")
    if not (name or may_be_empty):
        fail(f"Error! Missing {what} argument")
    return name


@connected("kv export", "[PREFIX]")
def export(connection: ConnectionFlags, prefix: str = "") -> None:
    """Print the keys below a prefix as JSON, all keys if there is none.

    Examples:
        quorate kv export web/ > web.json
        quorate kv export
    """
    prefix = key_below(prefix, "PREFIX", may_be_empty=True)
    entries = connection.client.kv.tree(prefix, stale=connection.stale)
    rows = [Exported(each.key, each.flags, each.value) for each in entries]
    say(json.dumps(msgspec.to_builtins(rows), indent="\t", ensure_ascii=False))


def joined(prefix: str, key: str) -> str:
    """A key below a prefix, joined as paths are: `copy` and `copy/` give the same key."""
    if not prefix:
        return key
    path = posixpath.normpath(f"/{prefix}/{key}").lstrip("/")
    return f"{path}/" if path and key.endswith("/") else path


@connected("kv import", "DATA", "Error! Failed writing data", has_progress=True)
def import_(
    connection: ConnectionFlags,
    data: str,
    *,
    prefix: Annotated[str, "A folder to put every key into."] = "",
    json: Annotated[bool, "Print a summary as JSON."] = False,
) -> None:
    """Write the keys that `export` printed. Keys written before an error stay written.

    DATA is @FILE, - for stdin, or the JSON itself.

    Examples:
        quorate kv import @web.json
        quorate kv import -prefix=copy/ - < web.json
    """
    try:
        entries = _FILE.decode(read_value(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fail(f"Cannot unmarshal data: {error}")
    for entry in entries:
        entry.key = joined(prefix, entry.key)
    connection.client.close()  # it has reported an unreachable node
    from quorate.client.bulk import write_all

    items = [(entry.key, entry.value, entry.flags) for entry in entries]
    written = 0

    def count() -> None:
        nonlocal written
        written += 1
        advance(1)

    with progress("importing", len(items)) as advance:
        try:
            write_all(connection.node, connection.secret, items, count)
        except QuorateError:
            note(f"{written} of {len(items)} keys were written before this:")
            raise
    show({"imported": len(entries)}, (f"Imported: {entry.key}" for entry in entries), json)
