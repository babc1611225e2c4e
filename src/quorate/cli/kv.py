"""`quorate kv`: read and write keys, with Consul's flags and messages."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

from quorate.cli import kvfiles
from quorate.cli.commands import CommandGroup
from quorate.cli.connect import ConnectionFlags, connected, read_value
from quorate.cli.flags import About
from quorate.cli.kvfiles import key_below
from quorate.cli.output import Json, columns, fail, note, say, say_bytes, say_json, show
from quorate.client.structs import KvEntry, Written

UINT64_MAX = 2**64 - 1

Cas = Annotated[bool, "Only if unchanged; see --modify-index."]
ModifyIndex = Annotated[
    int, About("With --cas: the index the key must have; 0: it must not be.", "", 0, UINT64_MAX)
]
Recurse = Annotated[bool, "All keys below KEY."]


@connected("kv get", "KEY")
def get(
    connection: ConnectionFlags,
    key: str = "",
    *,
    recurse: Recurse = False,
    keys: Annotated[bool, "Names only, all below KEY."] = False,
    separator: Annotated[str, "With --keys: cut names after it."] = "/",
    detailed: Annotated[bool, "All that is stored."] = False,
    base64: Annotated[bool, "Values in base 64."] = False,
    json: Json = False,
) -> None:
    """Read a key, or everything below a prefix; exit code 1 if the key does not exist.

    Examples:
        quorate kv get colour
        quorate kv get -detailed colour
        quorate kv get -recurse web/
        quorate kv get -keys -separator= web/
    """
    key = key_below(key, "KEY", may_be_empty=recurse or keys)
    if keys:
        _say_names(connection, key, separator, json)
        return
    store, stale = connection.client.kv, connection.stale
    entry = None if recurse else store.get(key, stale=stale)
    if entry is None and not recurse:
        fail(f"Error! No key exists at: {key}")
    entries = [entry] if entry else store.tree(key, stale=stale)
    if json:
        say_json(entries if recurse else entries[0])
        return
    for number, each in enumerate(entries):
        value = b64encode(each.value) if base64 else each.value
        if detailed:
            say_bytes(b"\n" * bool(number) + _details(each) + value)
        else:
            say_bytes(each.key.encode() + b":" + value if recurse else value)


def _say_names(connection: ConnectionFlags, prefix: str, separator: str, json: bool) -> None:
    names = connection.client.kv.keys(prefix, separator=separator, stale=connection.stale)
    show(names, names, json)


def _details(entry: KvEntry) -> bytes:
    """All that is stored with a value, a line each, and the beginning of the value's line."""
    rows = {
        "CreateIndex": entry.create_index,
        "Flags": entry.flags,
        "Key": entry.key,
        "LockIndex": entry.lock_index,
        "ModifyIndex": entry.modify_index,
        "Session": entry.session or "-",
        "Value": "",
    }
    return "\n".join(f"{name:<17}{text}" for name, text in rows.items()).encode()


@connected("kv list", "[PREFIX]")
def list_(
    connection: ConnectionFlags,
    prefix: str = "",
    *,
    separator: Annotated[str, "Cut names after it: / lists a folder."] = "",
    long: Annotated[bool, "Also size, flags, index and session."] = False,
    json: Json = False,
) -> None:
    """Name the keys below a prefix, in order; all keys if there is none.

    Examples:
        quorate kv list
        quorate kv list web/
        quorate kv list -separator=/ -long web/
    """
    prefix = key_below(prefix, "PREFIX", may_be_empty=True)
    if long and separator:
        fail("Error! Cannot combine -long and -separator")
    if not long:
        _say_names(connection, prefix, separator, json)
        return
    facts: list[dict[str, int | str]] = [
        {
            "bytes": len(entry.value),
            "flags": entry.flags,
            "modify_index": entry.modify_index,
            "session": entry.session,
            "key": entry.key,
        }
        for entry in connection.client.kv.tree(prefix, stale=connection.stale)
    ]
    heading = ["Bytes", "Flags", "ModifyIndex", "Session", "Key"]
    rows = [[str(value or "-") for value in each.values()] for each in facts]
    show(facts, columns([heading, *rows]), json)


@connected("kv put", "KEY [VALUE]", "Error! Failed writing data", is_verbatim=True)
def put(
    connection: ConnectionFlags,
    *words: str,
    cas: Cas = False,
    modify_index: ModifyIndex = 0,
    flags: Annotated[int, About("64 bits of your own.", "", 0, UINT64_MAX)] = 0,
    base64: Annotated[bool, "The value is given in base 64."] = False,
    session: Annotated[str, "For --acquire and --release."] = "",
    acquire: Annotated[bool, "Take the key as a lock."] = False,
    release: Annotated[bool, "Release the lock."] = False,
    json: Json = False,
) -> None:
    """Write a key; flags come before it. VALUE may be @FILE, or - for stdin.

    Examples:
        quorate kv put colour green
        quorate kv put config @config.json
        date | quorate kv put now -
        quorate kv put -cas -modify-index=42 colour blue
    """
    key, *given = words or ("",)
    if not key:
        fail("Error! Missing KEY argument")
    if len(given) > 1:
        fail(f"Error! Too many arguments (expected 1 or 2, got {len(words)})")
    if key.startswith("/"):
        fail(f"Error! Failed writing data: Invalid key. Key must not begin with a '/': {key}")
    value = read_value(given[0]) if given else b""
    value = _decoded(value) if base64 else value
    if (acquire or release) and not session:
        fail("Error! Missing -session (required with -acquire and -release)")
    if acquire + release + cas > 1:
        fail("Error! Only one of -acquire, -release and -cas may be given")
    store, text = connection.client.kv, f"Data written to: {key}"
    if acquire:
        done = store.acquire(key, value, session, flags=flags)
        text = f"Lock acquired on: {key}" if done else "Did not acquire lock"
    elif release:
        done = store.release(key, value, session, flags=flags)
        text = f"Lock released on: {key}" if done else "Did not release lock"
    elif cas:
        done = store.cas(key, value, modify_index, flags=flags)
        why = "CAS failed" if modify_index else "CAS performed with index=0 and key already exists."
        text = text if done else f"Did not write to {key}: {why}"
    else:
        done = Written(is_done=True, index=store.put(key, value, flags=flags))
    _say_done(key, done, text, json)


def _say_done(key: str, done: Written, text: str, json: bool) -> None:
    if json:
        say_json({"key": key, "done": done.is_done, "index": done.index})
    elif done:
        say(f"Success! {text}")
    if not done:
        fail(f"Error! {text}")


def _decoded(text: bytes) -> bytes:
    try:
        return b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        fail(f"Error! Cannot base 64 decode data: {error}\nNothing was written.")


@connected("kv delete", "KEY", "Error! Did not delete key")
def delete(
    connection: ConnectionFlags,
    key: str = "",
    *,
    recurse: Recurse = False,
    cas: Cas = False,
    modify_index: ModifyIndex = 0,
    json: Json = False,
) -> None:
    """Delete a key, or everything below a prefix.

    Examples:
        quorate kv delete colour
        quorate kv delete -recurse web/
    """
    key = key_below(key, "KEY", may_be_empty=recurse)
    if cas and recurse:
        fail("Cannot specify both -cas and -recurse!")
    if cas and not modify_index:
        fail(
            "Cannot delete a key that does not exist. Provide a -modify-index greater than than 0."
        )
    if modify_index and not cas:
        fail("Cannot specify -modify-index without -cas!")
    store = connection.client.kv
    if recurse:
        done, text = store.delete_tree(key), f"Deleted keys with prefix: {key}"
    else:
        done = store.delete(key, index=modify_index if cas else None)
        text = f"Deleted key: {key}" if done else f"Did not delete key {key}: CAS failed"
    _say_done(key, done, text, json)


class Change(NamedTuple):
    """The new state of one key; `entry` is None if it was deleted."""

    key: str
    entry: KvEntry | None


def changes(states: Iterable[Iterable[KvEntry]]) -> Iterator[list[Change]]:
    """The differences between successive states, keys in order; the first one adds all."""
    before: dict[str, KvEntry] = {}
    for state in states:
        now = {entry.key: entry for entry in state}
        yield [
            Change(key, now.get(key))
            for key in sorted(now.keys() | before.keys())
            if now.get(key) != before.get(key)
        ]
        before = now


@connected("kv watch", "KEY", takes_time=True)
def watch(
    connection: ConnectionFlags,
    key: str = "",
    *,
    recurse: Recurse = False,
    count: Annotated[int, About("Stop after so many states; 0: go on.", "", 0)] = 0,
    json: Annotated[bool, "One line of JSON per change."] = False,
) -> None:
    """Print a key now and whenever it changes, until Ctrl-C; quick changes may show as one.

    Examples:
        quorate kv watch colour
        quorate kv watch -recurse -json web/
    """
    key = key_below(key, "KEY", may_be_empty=recurse)
    store = connection.client.kv
    states: Iterable[list[KvEntry]]
    if recurse:
        states = store.watch_tree(key)
    else:
        states = ([entry] if entry else [] for entry in store.watch(key))
    for number, changed in enumerate(changes(states), start=1):
        missing = [] if recurse else [Change(key, None)]
        for name, entry in changed or missing:
            if json:
                say_json({"key": name, "entry": entry})
            elif entry is None:
                note(f"No key exists at: {name}")
            else:
                say_bytes(name.encode() + b":" + entry.value if recurse else entry.value)
        if number == count:
            return


kv = CommandGroup("kv", get, list_, put, delete, kvfiles.export, kvfiles.import_, watch)
