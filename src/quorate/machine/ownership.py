"""Where keys and sessions meet: acquire asks if the session lives, an ended one frees its keys.

`kv` does not know what a session is, `registry` does not know what a key is. All that joins them
stands here, so that every way in which a session can end frees its keys alike, under the one
index of the command that ended it.
"""

from collections.abc import Generator

from quorate.base import subjects
from quorate.base.commands.kv import KvAcquire, KvRelease
from quorate.base.commands.registry import (
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    SessionDestroy,
    SessionExpire,
)
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows, TableRows
from quorate.kv import locks
from quorate.kv.store import KvRow
from quorate.registry import catalog, sessions
from quorate.registry.sessions import SessionRow

_UNITS = 32  # of a session that ends

MISSING_SESSION = Failure("bad_request", "missing session")


def refusal(rows: TableRows, session: str) -> Failure | None:
    """Why this session may lock nothing; None if it lives."""
    if not session:
        return MISSING_SESSION
    if sessions.session_of(rows, session) is None:
        return Failure("not_found", f'invalid session "{session}"')
    return None


def on_acquire(rows: Rows, command: KvAcquire) -> bool | Failure:
    """Apply `KvAcquire`."""
    failure = refusal(rows, command.session)
    if failure is not None:
        return failure
    if locks.is_delayed(rows, command.key, rows.stamp_ms):
        return False
    row = locks.acquire(rows, command.key, command.value, command.flags, command.session)
    return row is not None


def on_release(rows: Rows, command: KvRelease) -> bool | Failure:
    """Apply `KvRelease`; an unknown session holds nothing, so it is False."""
    if not command.session:
        return MISSING_SESSION
    row: KvRow | None = locks.release(
        rows, command.key, command.value, command.flags, command.session
    )
    return row is not None


def end_session(rows: Rows, row: SessionRow) -> Generator[None, None, None]:
    """End a session, and free or remove what it holds."""
    sessions.remove(rows, row)
    if rows.spend(_UNITS):
        yield
    yield from locks.free(rows, row.id, row.behavior == sessions.DELETE, row.lock_delay_ms)


def on_session_destroy(rows: Rows, command: SessionDestroy) -> Generator[None, None, bool]:
    """Apply `SessionDestroy`."""
    row = sessions.session_of(rows, command.id)
    if row is not None:
        yield from end_session(rows, row)
    return True


def on_session_expire(rows: Rows, command: SessionExpire) -> Generator[None, None, bool]:
    """Apply `SessionExpire`: void if the session was renewed after what the proposer saw.

    Void too before its time: the proposer's logged time may have run ahead of any that was
    chosen, and a later leader begins where the log stands, so it may still promise more.
    """
    row = sessions.session_of(rows, command.id)
    due_ms = sessions.deadline_ms(row) if row is not None else None
    if row is None or due_ms is None or row.renewed_ms != command.renewed_ms:
        return False
    if rows.stamp_ms < due_ms:
        return False
    yield from end_session(rows, row)
    return True


def check_failed(rows: Rows, node: str, check: str) -> Generator[None, None, None]:
    """A check turned critical or went: the sessions bound to it end."""
    for row in (yield from sessions.at_node(rows, node)):
        if sessions.is_bound(row, check):
            yield from end_session(rows, row)


def on_node_health(rows: Rows, command: NodeHealth) -> Generator[None, None, bool]:
    """Apply `NodeHealth`."""
    is_known = yield from catalog.on_node_health(rows, command)
    if is_known and command.status == catalog.CRITICAL:
        yield from check_failed(rows, command.name, catalog.SERF_HEALTH)
    return is_known


def on_node_register(rows: Rows, command: NodeRegister) -> Generator[None, None, bool | Failure]:
    """Apply `NodeRegister`: an id under a new name leaves the old one, with all that hung on it.

    Another node's name is free only when that node's `serfHealth` is critical or absent.
    """
    holder = catalog.node_of(rows, command.name)
    if holder is not None and holder.id != command.id and holder.id:
        health = catalog.check_of(rows, command.name, catalog.SERF_HEALTH)
        if health is not None and health.status != catalog.CRITICAL:
            return Failure(
                "already_exists",
                f"Node name {command.name} is reserved by node {holder.id} "
                f"with name {holder.name} ({holder.address})",
            )
        yield from _drop_node(rows, holder.name)
    if command.id:
        name = subjects.name_part(command.name)
        others = [row for row in catalog.nodes(rows) if row.id == command.id]
        for row in others:
            if subjects.name_part(row.name) != name:
                yield from _drop_node(rows, row.name)
    return (yield from catalog.on_node_register(rows, command))


def on_node_deregister(rows: Rows, command: NodeDeregister) -> Generator[None, None, bool]:
    """Apply `NodeDeregister`."""
    yield from _drop_node(rows, command.name)
    return True


def _drop_node(rows: Rows, name: str) -> Generator[None, None, None]:
    for row in (yield from sessions.at_node(rows, name)):
        yield from end_session(rows, row)
    if (yield from catalog.remove_node(rows, name)):
        rows.bury(subjects.of_node_sessions(name))
