"""`quorate kv`: read and write keys, in Consul's words."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple

from quorate.cli import kvfiles
from quorate.cli.commands import Group
from quorate.cli.connect import Connection, connected, key_argument, read_value
from quorate.cli.flags import About
from quorate.cli.output import Json, fail, note, say, say_bytes, say_columns, say_json
from quorate.client.structs import KvEntry, Written

UINT64_MAX = 2**64 - 1

Cas = Annotated[bool, "Only if unchanged; see --modify-index."]
ModifyIndex = Annotated[
    int, About("With --cas: the index the key must have; 0: it must not be.", "", 0, UINT64_MAX)
]
Recurse = Annotated[bool, "All keys below KEY."]


@connected("kv get", "KEY")
def get(
    connection: Connection,
    *key: str,
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
    name = key_argument(key, "KEY", may_be_empty=recurse or keys)
    with connection.client() as client:
        if keys:
            _say_names(client.kv.keys(name, separator=separator, stale=connection.stale), json)
            return
        if recurse:
            entries = client.kv.tree(name, stale=connection.stale)
        else:
            entry = client.kv.get(name, stale=connection.stale)
            if entry is None:
                fail(f"Error! No key exists at: {name}")
            entries = [entry]
    if json:
        say_json(entries if recurse else entries[0])
        return
    for number, entry in enumerate(entries):
        value = b64encode(entry.value) if base64 else entry.value
        if detailed:
            if number:
                say("")
            _say_details(entry, value)
        else:
            say_bytes(entry.key.encode() + b":" + value if recurse else value)


def _say_names(names: list[str], json: bool) -> None:
    if json:
        say_json(names)
        return
    for name in names:
        say(name)


def _say_details(entry: KvEntry, value: bytes) -> None:
    facts = {
        "CreateIndex": entry.create_index,
        "Flags": entry.flags,
        "Key": entry.key,
        "LockIndex": entry.lock_index,
        "ModifyIndex": entry.modify_index,
        "Session": entry.session or "-",
    }
    for name, fact in facts.items():
        say(f"{name:<17}{fact}")
    say_bytes(f"{'Value':<17}".encode() + value)


@connected("kv list", "[PREFIX]")
def list_(
    connection: Connection,
    *prefix: str,
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
    name = key_argument(prefix, "PREFIX", may_be_empty=True)
    if long and separator:
        fail("Error! Cannot combine -long and -separator")
    with connection.client() as client:
        if not long:
            _say_names(client.kv.keys(name, separator=separator, stale=connection.stale), json)
            return
        entries = client.kv.tree(name, stale=connection.stale)
    if json:
        say_json([_facts(entry) for entry in entries])
        return
    heading = ["Bytes", "Flags", "ModifyIndex", "Session", "Key"]
    rows = [[str(value or "-") for value in _facts(entry).values()] for entry in entries]
    say_columns([heading, *rows])


def _facts(entry: KvEntry) -> dict[str, int | str]:
    return {
        "bytes": len(entry.value),
        "flags": entry.flags,
        "modify_index": entry.modify_index,
        "session": entry.session,
        "key": entry.key,
    }


@connected("kv put", "KEY [VALUE]", "Error! Failed writing data", is_verbatim=True)
def put(
    connection: Connection,
    *words: str,
    cas: Cas = False,
    modify_index: ModifyIndex = 0,
    flags: Annotated[int, About("64 bits of your own.", "", 0, UINT64_MAX)] = 0,
    base64: Annotated[bool, "The value is given in base 64."] = False,
    session: Annotated[str, "For --acquire and --release."] = "",
    acquire: Annotated[bool, "Take the key as a lock."] = False,
    release: Annotated[bool, "Give the lock back."] = False,
    json: Json = False,
) -> None:
    """Write a key; flags come before it. VALUE may be @FILE, or - for stdin.

    Examples:
        quorate kv put colour green
        quorate kv put config @config.json
        date | quorate kv put now -
        quorate kv put -cas -modify-index=42 colour blue
    """
    key, value = _key_and_value(words, base64)
    if (acquire or release) and not session:
        fail("Error! Missing -session (required with -acquire and -release)")
    if acquire + release + cas > 1:
        fail("Error! Only one of -acquire, -release and -cas may be given")
    with connection.client() as client:
        if acquire:
            done = client.kv.acquire(key, value, session, flags=flags)
            text = f"Lock acquired on: {key}" if done else "Did not acquire lock"
        elif release:
            done = client.kv.release(key, value, session, flags=flags)
            text = f"Lock released on: {key}" if done else "Did not release lock"
        elif cas:
            done = client.kv.cas(key, value, modify_index, flags=flags)
            reason = "CAS failed" if modify_index else _EXISTS
            text = f"Data written to: {key}" if done else f"Did not write to {key}: {reason}"
        else:
            done = Written(is_done=True, index=client.kv.put(key, value, flags=flags))
            text = f"Data written to: {key}"
    _say_done(key, done, text, json)


def _key_and_value(words: Sequence[str], base64: bool) -> tuple[str, bytes]:
    if not words or not words[0]:
        fail("Error! Missing KEY argument")
    if len(words) > 2:
        fail(f"Error! Too many arguments (expected 1 or 2, got {len(words)})")
    key = words[0]
    if key.startswith("/"):
        fail(f"Error! Failed writing data: Invalid key. Key must not begin with a '/': {key}")
    value = read_value(words[1]) if len(words) == 2 else b""
    return key, _decoded(value) if base64 else value


_EXISTS = "CAS performed with index=0 and key already exists."


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
    connection: Connection,
    *key: str,
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
    name = key_argument(key, "KEY", may_be_empty=recurse)
    if cas and recurse:
        fail("Cannot specify both -cas and -recurse!")
    if cas and not modify_index:
        fail(
            "Cannot delete a key that does not exist. Provide a -modify-index greater than than 0."
        )
    if modify_index and not cas:
        fail("Cannot specify -modify-index without -cas!")
    with connection.client() as client:
        if recurse:
            done, text = client.kv.delete_tree(name), f"Deleted keys with prefix: {name}"
        else:
            done = client.kv.delete(name, index=modify_index if cas else None)
            text = f"Deleted key: {name}" if done else f"Did not delete key {name}: CAS failed"
    _say_done(name, done, text, json)


class Change(NamedTuple):
    """What became of one key; `entry` is None if it is gone."""

    key: str
    entry: KvEntry | None


def changes(states: Iterable[Iterable[KvEntry]]) -> Iterator[list[Change]]:
    """What each state changed of the one before, keys in order; the first one adds all."""
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
    connection: Connection,
    *key: str,
    recurse: Recurse = False,
    count: Annotated[int, About("Stop after so many states; 0: go on.", "", 0)] = 0,
    json: Annotated[bool, "One line of JSON per change."] = False,
) -> None:
    """Print a key now and whenever it changes, until Ctrl-C; quick changes may show as one.

    Examples:
        quorate kv watch colour
        quorate kv watch -recurse -json web/
    """
    name = key_argument(key, "KEY", may_be_empty=recurse)
    with connection.client() as client:
        states: Iterable[list[KvEntry]]
        if recurse:
            states = client.kv.watch_tree(name)
        else:
            states = ([entry] if entry else [] for entry in client.kv.watch(name))
        for number, changed in enumerate(changes(states), start=1):
            if not changed and not recurse:
                _say_change(Change(name, None), recurse=recurse, json=json)
            for change in changed:
                _say_change(change, recurse=recurse, json=json)
            if number == count:
                return


def _say_change(change: Change, *, recurse: bool, json: bool) -> None:
    key, entry = change
    if json:
        say_json({"key": key, "entry": entry})
    elif entry is None:
        note(f"No key exists at: {key}")
    elif recurse:
        say_bytes(key.encode() + b":" + entry.value)
    else:
        say_bytes(entry.value)


kv = Group("kv", get, list_, put, delete, kvfiles.export, kvfiles.import_, watch)
