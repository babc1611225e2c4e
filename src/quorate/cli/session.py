"""`quorate session`: the promises to be alive on which locks rest."""

from typing import Annotated

from quorate.cli.commands import Group
from quorate.cli.connect import Connection, connected, one_argument
from quorate.cli.output import Json, fail, say, say_columns, say_json
from quorate.client import durations
from quorate.client.structs import Session


@connected("session create", "", "Error creating session")
def create(
    connection: Connection,
    *,
    name: Annotated[str, "For people."] = "",
    ttl: Annotated[str, "Ends unless renewed within this, such as 15s; 0: never."] = "0",
    lock_delay: Annotated[str, "Nobody gets its locks so long after it has expired."] = "15s",
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
    with connection.client() as client:
        session = client.session.create(
            name,
            ttl_s=durations.parse(ttl),
            behavior="delete" if behavior == "delete" else "release",
            lock_delay_s=durations.parse(lock_delay),
            node=node,
            node_checks=check,
        )
    if json:
        say_json({"id": session})
    else:
        say(session)


@connected("session list", "", "Error listing sessions")
def list_(
    connection: Connection,
    *,
    node: Annotated[str, "Only those of this node."] = "",
    json: Json = False,
) -> None:
    """List sessions.

    Examples:
        quorate session list
        quorate session list -node=n1 -json
    """
    with connection.client() as client:
        sessions = client.session.all(node=node, stale=connection.stale)
    if json:
        say_json(sessions)
        return
    heading = ["ID", "Name", "Node", "TTL", "Behavior"]
    say_columns([heading, *([each.id, *_facts(each)] for each in sessions)])


def _facts(session: Session) -> list[str]:
    ttl = durations.spell(session.ttl_s) if session.ttl_s else "-"
    return [session.name or "-", session.node, ttl, session.behavior]


@connected("session info", "ID", "Error reading session")
def info(connection: Connection, *session: str, json: Json = False) -> None:
    """Show one session; exit code 1 if it does not exist.

    Examples:
        quorate session info 4ca8e74b-6350-7587-addf-a18084928f3c
    """
    name = one_argument(session, "ID")
    with connection.client() as client:
        _show(name, client.session.info(name, stale=connection.stale), json)


@connected("session renew", "ID", "Error renewing session")
def renew(connection: Connection, *session: str, json: Json = False) -> None:
    """Start a session's TTL anew; exit code 1 if it has ended.

    Examples:
        quorate session renew 4ca8e74b-6350-7587-addf-a18084928f3c
    """
    name = one_argument(session, "ID")
    with connection.client() as client:
        _show(name, client.session.renew(name), json)


def _show(name: str, found: Session | None, json: bool) -> None:
    if found is None:
        fail(f"Error! No session exists with the id: {name}")
    if json:
        say_json(found)
        return
    say_columns(
        [
            ["ID", found.id],
            ["Name", found.name or "-"],
            ["Node", found.node],
            ["TTL", durations.spell(found.ttl_s) if found.ttl_s else "-"],
            ["LockDelay", durations.spell(found.lock_delay_s)],
            ["Behavior", found.behavior],
            ["Checks", ", ".join(found.node_checks) or "-"],
            ["CreateIndex", str(found.create_index)],
        ]
    )


@connected("session destroy", "ID", "Error destroying session")
def destroy(connection: Connection, *session: str) -> None:
    """End a session; its locks are released or their keys deleted. Harmless if it has ended.

    Examples:
        quorate session destroy 4ca8e74b-6350-7587-addf-a18084928f3c
    """
    name = one_argument(session, "ID")
    with connection.client() as client:
        client.session.destroy(name)
    say(f"Success! Destroyed session: {name}")


session = Group("session", create, list_, info, renew, destroy)
