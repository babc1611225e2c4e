"""`quorate watch`: what a read shows now, and a command for each change of it."""

import os
import subprocess
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec

from quorate.base.errors import QuorateError
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.output import fail, note, say
from quorate.client.requests import kv_path

RETRY_S = 5.0
"""How long a watch waits after its node has not answered for a while."""


class WatchedRead(NamedTuple):
    """What is read: a path, and a query."""

    path: str
    query: dict[str, Any]
    shown: Callable[[Any], Any] = lambda value: value  # what is printed of the reply


@connected(
    "watch", "[COMMAND...]", "Error querying Consul agent", takes_time=True, is_verbatim=True
)
def watch(
    connection: ConnectionFlags,
    *words: str,
    type_: Annotated[str, "key, keyprefix, services, nodes, service, checks or event."] = "",
    key: Annotated[str, "Of the type key."] = "",
    prefix: Annotated[str, "Of the type keyprefix."] = "",
    service: Annotated[str, "Of the type service; checks: only its checks."] = "",
    tag: Annotated[str, "service: only instances with this tag."] = "",
    passingonly: Annotated[bool, "service: only instances that pass all checks."] = False,
    state: Annotated[str, "checks: only those with this status; any: all."] = "",
    name: Annotated[str, "event: only events of this name."] = "",
    filter_: Annotated[str, "Only what this holds for."] = "",
    shell: Annotated[bool, "Run COMMAND by /bin/sh."] = True,
) -> None:
    """Print what a read shows, as JSON; with COMMAND, run it at once and after each change.

    COMMAND gets the JSON on its standard input, and the index in CONSUL_INDEX. While it runs,
    changes wait: it always gets the newest state, not each of those in between. A watch goes on
    while no node answers, and says so.

    Examples:
        quorate watch -type=key -key=config/web
        quorate watch -type=service -service=web -passingonly ./reload.sh
    """
    if not type_:
        fail("Watch type must be specified")
    targets: dict[str, Callable[[], WatchedRead]] = {
        "key": lambda: _key(key),
        "keyprefix": lambda: _prefix(prefix),
        "services": lambda: WatchedRead("/v1/catalog/services", {}),
        "nodes": lambda: WatchedRead("/v1/catalog/nodes", {}),
        "service": lambda: _service(service, tag, is_passing=passingonly),
        "checks": lambda: _checks(service, state),
        "event": lambda: WatchedRead("/v1/event/list", {"name": name} if name else {}),
    }
    if type_ not in targets:
        fail(f"Unsupported watch type: {type_}")
    target = targets[type_]()
    query: dict[str, Any] = {**target.query, **({"filter": filter_} if filter_ else {})}
    states = connection.client.watch(target.path, **query)
    if not words:
        say(_text(target, next(states)))
        return
    command = ["/bin/sh", "-c", " ".join(words)] if shell else list(words)
    while True:
        try:
            value = next(states)
        except QuorateError as error:
            if not states.index:  # never: a mistake rather than a failure
                raise
            note(f"Error querying: {error.response or error.text}; it is tried again")
            time.sleep(RETRY_S)
            continue
        _run(command, _text(target, value), states.index)


def _text(target: WatchedRead, value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(target.shown(value)), indent=4).decode()


def _run(command: list[str], text: str, index: int) -> None:
    environment = {**os.environ, "CONSUL_INDEX": str(index)}
    try:
        done = subprocess.run(  # noqa: S603 - the user's command
            command, input=text.encode(), env=environment, check=False
        )
    except OSError as error:
        fail(f"Error executing handler: {command[0]}: {error.strerror}")
    if done.returncode:
        note(f"Error executing handler: exit status {done.returncode}")


def _key(key: str) -> WatchedRead:
    if not key:
        fail("Must specify a single key to watch")
    return WatchedRead(kv_path(key).decode(), {}, _first)


def _prefix(prefix: str) -> WatchedRead:
    if not prefix:
        fail("Must specify a single prefix to watch")
    return WatchedRead(kv_path(prefix).decode(), {"recurse": True}, _rows)


def _rows(rows: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Keys with all their fields: programs that read Consul's output find a session in each."""
    return rows and [{**row, "Session": row.get("Session", "")} for row in rows]


def _first(rows: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    found = _rows(rows)
    return found[0] if found else None


def _service(service: str, tag: str, *, is_passing: bool) -> WatchedRead:
    if not service:
        fail("Must specify a single service to watch")
    query: dict[str, Any] = {"passing": is_passing}
    return WatchedRead(_path("health/service", service), {**query, **({"tag": tag} if tag else {})})


def _checks(service: str, state: str) -> WatchedRead:
    if service and state:
        fail("Cannot specify service and state")
    return WatchedRead(
        _path("health/checks", service) if service else _path("health/state", state), {}
    )


def _path(read: str, name: str) -> str:
    return f"/v1/{read}/{quote(name or 'any', safe='')}"
