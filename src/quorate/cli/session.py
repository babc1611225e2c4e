"""`quorate session`: sessions, which hold locks while their owners renew them."""

from typing import Annotated

from quorate.cli.commands import CommandGroup
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.output import Json, columns, fail, say, show
from quorate.client import durations
from quorate.client.structs import Session


@connected("session create", "", "Error creating session")
def create(
    connection: ConnectionFlags,
    *,
    name: Annotated[str, "For people."] = "",
    ttl: Annotated[str, "Ends unless renewed within this, such as 15s; 0: never."] = "0",
    lock_delay: Annotated[str, "How long its locks stay taken after it has expired."] = "15s",
    behavior: Annotated[str, "What becomes of its keys: release or delete."] = "release",
    node: Annotated[str, "The node it belongs to."] = "",
    check: Annotated[tuple[str, ...], "A check that ends it; repeatable."] = (),
    json: Json = False,
) -> None:
    """Create a session and print its id.

    Examples:
        quorate session create -name=backup -ttl=15s
        quorate session create
    """
    if behavior not in {"release", "delete"}:
        fail(f"Error! -behavior is release or delete, not {behavior!r}")
    session = connection.client.session.create(
        name,
        ttl_s=durations.parse(ttl),
        behavior="delete" if behavior == "delete" else "release",
        lock_delay_s=durations.parse(lock_delay),
        node=node,
        node_checks=check,
    )
    show({"id": session}, [session], json)


@connected("session list", "", "Error listing sessions")
def list_(
    connection: ConnectionFlags,
    *,
    node: Annotated[str, "Only those of this node."] = "",
    json: Json = False,
) -> None:
    """List sessions.

    Examples:
        quorate session list
        quorate session list -node=n1 -json
    """
    sessions = connection.client.session.all(node=node, stale=connection.stale)
    heading = ["ID", "Name", "Node", "TTL", "Behavior"]
    rows = [[facts[name] for name in heading] for facts in map(_facts, sessions)]
    show(sessions, columns([heading, *rows]), json)


def _facts(session: Session) -> dict[str, str]:
    return {
        "ID": session.id,
        "Name": session.name or "-",
        "Node": session.node,
        "TTL": durations.spell(session.ttl_s) if session.ttl_s else "-",
        "LockDelay": durations.spell(session.lock_delay_s),
        "Behavior": session.behavior,
        "Checks": ", ".join(session.node_checks) or "-",
        "CreateIndex": str(session.create_index),
    }


@connected("session info", "ID", "Error reading session")
def info(connection: ConnectionFlags, id_: str, *, json: Json = False) -> None:
    """Show one session; exit code 1 if it does not exist.

    Examples:
        quorate session info 4ca8e74b-6350-7587-addf-a18084928f3c
    """
    _show(id_, connection.client.session.info(id_, stale=connection.stale), json)


@connected("session renew", "ID", "Error renewing session")
def renew(connection: ConnectionFlags, id_: str, *, json: Json = False) -> None:
    """Renew a session's TTL; exit code 1 if it has ended.

    Examples:
        quorate session renew 4ca8e74b-6350-7587-addf-a18084928f3c
    """
    _show(id_, connection.client.session.renew(id_), json)


def _show(name: str, found: Session | None, json: bool) -> None:
    if found is None:
        fail(f"Error! No session exists with the id: {name}")
    show(found, columns(list(_facts(found).items())), json)


@connected("session destroy", "ID", "Error destroying session")
def destroy(connection: ConnectionFlags, id_: str) -> None:
    """End a session; its locks are released or their keys deleted. Harmless if it has ended.

    Examples:
        quorate session destroy 4ca8e74b-6350-7587-addf-a18084928f3c
    """
    connection.client.session.destroy(id_)
    say(f"Success! Destroyed session: {id_}")


session = CommandGroup("session", create, list_, info, renew, destroy)
