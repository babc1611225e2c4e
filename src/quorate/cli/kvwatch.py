"""`quorate kv watch`: print a key, or what is below a prefix, whenever it changes."""

from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

import typer

from quorate.cli.connect import Connection, connected, key_argument
from quorate.cli.output import fail, note, say_bytes, say_json
from quorate.client.structs import KvEntry


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


@connected(takes_time=True)
def watch(
    connection: Connection,
    key: Annotated[list[str] | None, typer.Argument(metavar="KEY", show_default=False)] = None,
    recurse: Annotated[bool, typer.Option("--recurse", help="All keys below KEY.")] = False,
    count: Annotated[
        int, typer.Option("--count", min=0, help="Stop after so many states; 0: go on.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per change.")] = False,
) -> None:
    """Print a key now and whenever it changes, until Ctrl-C; quick changes may show as one."""
    name = key_argument(key, "KEY", default="" if recurse else None)
    if not (name or recurse):
        fail("Error! Missing KEY argument")
    with connection.client() as client:
        states: Iterable[list[KvEntry]]
        if recurse:
            states = client.kv.watch_tree(name)
        else:
            states = ([entry] if entry else [] for entry in client.kv.watch(name))
        for number, changed in enumerate(changes(states), start=1):
            if not changed and not recurse:
                _say(Change(name, None), recurse=recurse, as_json=as_json)
            for change in changed:
                _say(change, recurse=recurse, as_json=as_json)
            if number == count:
                return


def _say(change: Change, *, recurse: bool, as_json: bool) -> None:
    key, entry = change
    if as_json:
        say_json({"key": key, "entry": entry})
    elif entry is None:
        note(f"No key exists at: {key}")
    elif recurse:
        say_bytes(key.encode() + b":" + entry.value)
    else:
        say_bytes(entry.value)
