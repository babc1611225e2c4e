"""`quorate kv`: read and write keys, in Consul's words."""

import base64
import binascii
from typing import Annotated

import typer

from quorate.cli import kvfiles, kvwatch
from quorate.cli.connect import Connection, connected, key_argument
from quorate.cli.flags import application, command
from quorate.cli.output import fail, say, say_bytes, say_columns, say_json
from quorate.cli.values import read_value
from quorate.client.structs import KvEntry, Written

app = application("Read and write keys.")

UINT64_MAX = 2**64 - 1

Words = Annotated[list[str] | None, typer.Argument(metavar="KEY", show_default=False)]
Prefix = Annotated[list[str] | None, typer.Argument(metavar="[PREFIX]", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Base64 = Annotated[bool, typer.Option("--base64", help="Values in base 64.")]
Cas = Annotated[bool, typer.Option("--cas", help="Only if unchanged; see --modify-index.")]
ModifyIndex = Annotated[
    int,
    typer.Option(
        "--modify-index",
        min=0,
        max=UINT64_MAX,
        help="With --cas: the index the key must have; 0: it must not be.",
    ),
]


@command(
    app,
    "get",
    examples=[
        "quorate kv get colour",
        "quorate kv get -detailed colour",
        "quorate kv get -recurse web/",
        "quorate kv get -keys -separator= web/",
    ],
)
@connected()
def get(
    connection: Connection,
    key: Words = None,
    recurse: Annotated[bool, typer.Option("--recurse", help="All keys below KEY.")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Names only, all below KEY.")] = False,
    separator: Annotated[
        str, typer.Option("--separator", help="With --keys: cut names after it.")
    ] = "/",
    detailed: Annotated[bool, typer.Option("--detailed", help="All that is stored.")] = False,
    as_base64: Base64 = False,
    as_json: Json = False,
) -> None:
    """Read a key, or everything below a prefix; exit code 1 if the key does not exist."""
    name = key_argument(key, "KEY", default="" if recurse or keys else None)
    if not (name or recurse or keys):
        fail("Error! Missing KEY argument")
    with connection.client() as client:
        if keys:
            _say_names(client.kv.keys(name, separator=separator, stale=connection.stale), as_json)
        elif recurse:
            entries = client.kv.tree(name, stale=connection.stale)
            _say_entries(entries, detailed=detailed, as_base64=as_base64, as_json=as_json)
        else:
            entry = client.kv.get(name, stale=connection.stale)
            if entry is None:
                fail(f"Error! No key exists at: {name}")
            if as_json:
                say_json(entry)
            elif detailed:
                _say_details(entry, as_base64)
            else:
                say_bytes(_shown(entry, as_base64))


def _say_names(names: list[str], as_json: bool) -> None:
    if as_json:
        say_json(names)
        return
    for name in names:
        say(name)


def _say_entries(entries: list[KvEntry], *, detailed: bool, as_base64: bool, as_json: bool) -> None:
    if as_json:
        say_json(entries)
        return
    for number, entry in enumerate(entries):
        if detailed:
            if number:
                say("")
            _say_details(entry, as_base64)
        else:
            say_bytes(entry.key.encode() + b":" + _shown(entry, as_base64))


def _shown(entry: KvEntry, as_base64: bool) -> bytes:
    return base64.b64encode(entry.value) if as_base64 else entry.value


def _say_details(entry: KvEntry, as_base64: bool) -> None:
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
    say_bytes(f"{'Value':<17}".encode() + _shown(entry, as_base64))


@command(
    app,
    "list",
    examples=["quorate kv list", "quorate kv list web/", "quorate kv list -separator=/ -long web/"],
)
@connected()
def list_(
    connection: Connection,
    prefix: Prefix = None,
    separator: Annotated[
        str, typer.Option("--separator", help="Cut names after it: / lists a folder.")
    ] = "",
    long: Annotated[
        bool, typer.Option("--long", help="Also size, flags, index and session.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Name the keys below a prefix, in order; all keys if there is none."""
    name = key_argument(prefix, "PREFIX", default="")
    if long and separator:
        fail("Error! Cannot combine -long and -separator")
    with connection.client() as client:
        if not long:
            _say_names(client.kv.keys(name, separator=separator, stale=connection.stale), as_json)
            return
        entries = client.kv.tree(name, stale=connection.stale)
    if as_json:
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


@command(
    app,
    "put",
    verbatim=True,
    examples=[
        "quorate kv put colour green",
        "quorate kv put config @config.json",
        "date | quorate kv put now -",
        "quorate kv put -cas -modify-index=42 colour blue",
    ],
)
@connected("Error! Failed writing data")
def put(
    connection: Connection,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY [VALUE]", show_default=False, help="VALUE may be @FILE, or - for stdin."
        ),
    ] = None,
    *,
    cas: Cas = False,
    modify_index: ModifyIndex = 0,
    flags: Annotated[
        int, typer.Option("--flags", min=0, max=UINT64_MAX, help="64 bits of your own.")
    ] = 0,
    as_base64: Annotated[
        bool, typer.Option("--base64", help="The value is given in base 64.")
    ] = False,
    session: Annotated[str, typer.Option("--session", help="For --acquire and --release.")] = "",
    acquire: Annotated[bool, typer.Option("--acquire", help="Take the key as a lock.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Give the lock back.")] = False,
    as_json: Json = False,
) -> None:
    """Write a key; flags come before it."""
    key, value = _key_and_value(words or [], as_base64)
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
    _say_done(key, done, text, as_json)


def _key_and_value(words: list[str], as_base64: bool) -> tuple[str, bytes]:
    if not words or not words[0]:
        fail("Error! Missing KEY argument")
    if len(words) > 2:
        fail(f"Error! Too many arguments (expected 1 or 2, got {len(words)})")
    key = words[0]
    if key.startswith("/"):
        fail(f"Error! Failed writing data: Invalid key. Key must not begin with a '/': {key}")
    value = read_value(words[1]) if len(words) == 2 else b""
    return key, _decoded(value) if as_base64 else value


_EXISTS = "CAS performed with index=0 and key already exists."


def _say_done(key: str, done: Written, text: str, as_json: bool) -> None:
    if as_json:
        say_json({"key": key, "done": done.is_done, "index": done.index})
    elif done:
        say(f"Success! {text}")
    if not done:
        fail(f"Error! {text}")


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        fail(f"Error! Cannot base 64 decode data: {error}\nNothing was written.")


@command(
    app,
    "delete",
    examples=["quorate kv delete colour", "quorate kv delete -recurse web/"],
)
@connected("Error! Did not delete key")
def delete(
    connection: Connection,
    key: Words = None,
    recurse: Annotated[bool, typer.Option("--recurse", help="All keys below KEY.")] = False,
    cas: Cas = False,
    modify_index: ModifyIndex = 0,
    as_json: Json = False,
) -> None:
    """Delete a key, or everything below a prefix."""
    name = key_argument(key, "KEY", default="" if recurse else None)
    if not (name or recurse):
        fail("Error! Missing KEY argument")
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
    _say_done(name, done, text, as_json)


command(app, "export", examples=["quorate kv export web/ > web.json", "quorate kv export"])(
    kvfiles.export
)
command(
    app,
    "import",
    examples=["quorate kv import @web.json", "quorate kv import -prefix=copy/ - < web.json"],
)(kvfiles.import_)
command(
    app,
    "watch",
    examples=["quorate kv watch colour", "quorate kv watch -recurse -json web/"],
)(kvwatch.watch)
