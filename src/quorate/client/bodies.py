"""Bodies of successful replies, decoded into the structs of the API."""

from typing import Any, TypeVar

import msgspec

from quorate.base.errors import PeerError, RequestError
from quorate.client.replies import Reply
from quorate.client.structs import (
    KV_ROWS,
    MEMBER_ROWS,
    NAME,
    NAMES,
    SESSION_ID,
    SESSION_ROWS,
    TXN_ROW,
    KvEntry,
    Leader,
    MemberInfo,
    Session,
    TxnDone,
    Written,
)

Value = TypeVar("Value")

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def decoded(decoder: msgspec.json.Decoder[Value], reply: Reply) -> Value:
    """The decoded body.

    Raises:
        PeerError: `remote`: it is not what the API specifies.
    """
    try:
        return decoder.decode(reply.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PeerError("remote", f"the node's reply has an unknown form: {error}") from None


def value(reply: Reply) -> Any:
    """Whatever JSON the body is; None with status 404.

    Raises:
        PeerError: `remote`: it is no JSON.
    """
    return decoded(_ANY, reply) if reply.status == 200 else None


def is_found(reply: Reply) -> bool:
    """Whether a read found anything.

    Raises:
        PeerError: `remote`: the reply has no index, so it is not from a key-value store.
    """
    if not reply.index:
        raise PeerError(
            "remote",
            f"the reply (status {reply.status}) has no X-Consul-Index: "
            "is this the HTTP API of Quorate or Consul?",
        )
    return reply.status == 200


def entry(reply: Reply) -> KvEntry | None:
    """The first key of a list; None if there is none."""
    return found[0] if (found := entries(reply)) else None


def leader(reply: Reply) -> Leader | None:
    """The leader, from the key of an election; None if no session holds it."""
    return leader_of(entry(reply))


def leader_of(found: KvEntry | None) -> Leader | None:
    """The leader, from the entry of that key."""
    return Leader(found.value, found.session) if found is not None and found.session else None


def entries(reply: Reply) -> list[KvEntry]:
    """A list of keys; empty if not found."""
    if not is_found(reply):
        return []
    return [row.entry() for row in decoded(KV_ROWS, reply)]


def names(reply: Reply) -> list[str]:
    """A list of texts."""
    return decoded(NAMES, reply)


def key_names(reply: Reply) -> list[str]:
    """A list of names of keys; empty if not found."""
    return names(reply) if is_found(reply) else []


def name(reply: Reply) -> str:
    """One text."""
    return decoded(NAME, reply)


def written(reply: Reply) -> Written:
    """Whether a write took place.

    Raises:
        PeerError: `remote`: the body is neither `true` nor `false`.
    """
    body = reply.body.strip()
    if body not in (b"true", b"false"):
        raise _foreign(reply)
    return Written(body == b"true", reply.write_index)


def done(reply: Reply) -> None:
    """Check the reply to a request that returns nothing.

    Raises:
        PeerError: `remote`: the body is not empty.
    """
    if reply.body.strip():
        raise _foreign(reply)


def _foreign(reply: Reply) -> PeerError:
    body = reply.body.strip()[:40].decode("utf-8", "replace")
    return PeerError(
        "remote",
        f"the reply to a write (status {reply.status}) is {body!r}: "
        "is this the HTTP API of Quorate or Consul?",
    )


def session_id(reply: Reply) -> str:
    """The id of a new session."""
    return decoded(SESSION_ID, reply).id


def sessions(reply: Reply) -> list[Session]:
    """A list of sessions; empty if not found."""
    if reply.status == 404:
        if not reply.body.startswith(b"Session id"):
            raise _foreign(reply)
        return []
    rows = decoded(SESSION_ROWS, reply)
    try:
        return [row.info() for row in rows]
    except RequestError as error:  # the node wrote the TTL, not the caller
        raise PeerError("remote", f"the node's reply has an invalid TTL: {error}") from None


def members(reply: Reply) -> list[MemberInfo]:
    """A list of members."""
    return [row.info() for row in decoded(MEMBER_ROWS, reply)]


def txn(reply: Reply) -> TxnDone:
    """The outcome of a transaction."""
    row = decoded(TXN_ROW, reply)
    entries = tuple(item.kv.entry() for item in row.results or () if item.kv is not None)
    return TxnDone(reply.status == 200, entries, tuple(row.errors or ()), reply.write_index)
