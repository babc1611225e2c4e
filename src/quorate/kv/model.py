"""Model of the keys for the simulator: a second, simple implementation of the commands.

Plain dicts, no rows, no undo log, no code shared with the handlers. It keeps every version of every
key, so that a read at any slot can be checked. Written from Consul's documentation and
`docs/api/consul.md`.

Source: https://developer.hashicorp.com/consul/api-docs/kv.
"""

from bisect import bisect_right
from typing import NamedTuple, cast

from quorate.base.domain import Model, Simulation
from quorate.base.facts import IsSessionAlive, SessionEnded
from quorate.base.outcomes import Failure
from quorate.kv.commands import (
    KvAcquire,
    KvCas,
    KvDelete,
    KvDeleteCas,
    KvDeleteTree,
    KvRelease,
    KvSet,
)
from quorate.kv.modeltxn import transact

LOCK_DELAY_MS_MAX = 60_000


class Row(NamedTuple):
    """A key as a client sees it."""

    create: int
    modify: int
    lock_index: int
    flags: int
    session: str
    value: bytes


class Keys:
    """All keys, and what they were after each slot.

    Attributes:
        kv: The keys as they are.
        delays: Until when a lock-delay forbids to acquire a key.
        versions: Each key's versions: after which slot it was what; None: absent.
        effects_of: How often the write of a value took effect.
        dirty: Keys that changed in this slot.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.kv: dict[bytes, Row] = {}
        self.delays: dict[bytes, int] = {}
        self.versions: dict[bytes, list[tuple[int, Row | None]]] = {}
        self.effects_of: dict[bytes, int] = {}
        self.dirty: dict[bytes, None] = {}

    def end_slot(self) -> None:
        """A slot was applied."""
        for key in self.dirty:
            self.versions.setdefault(key, []).append((self._model.slot, self.kv.get(key)))
        self.dirty = {}

    def put_back(self, kv: dict[bytes, Row], dirty: dict[bytes, None]) -> None:
        """A transaction failed: restore the state before it."""
        self.kv, self.dirty = kv, dirty

    def put_back_all(self, kv: dict[bytes, Row], delays_ms: dict[bytes, int]) -> None:
        """A snapshot became the state: any key may have changed; delays keep their rest."""
        self.dirty |= dict.fromkeys([*self.kv, *kv])
        self.kv = dict(kv)
        log_time_ms = self._model.log_time_ms
        self.delays = {key: log_time_ms + left_ms for key, left_ms in delays_ms.items()}

    def at(self, key: bytes, slot: int) -> Row | None:
        """A key as it was after `slot`."""
        versions = self.versions.get(key, [])
        place = bisect_right(versions, slot, key=lambda version: version[0])
        return versions[place - 1][1] if place else None

    def changed_between(self, key: bytes, after: int, upto: int) -> bool:
        """Did the key change in a slot above `after`, up to `upto`?"""
        versions = self.versions.get(key, [])
        place = bisect_right(versions, after, key=lambda version: version[0])
        return place < len(versions) and versions[place][0] <= upto

    def listed(self, prefix: bytes, slot: int) -> list[tuple[bytes, Row]]:
        """The keys below a prefix as they were after `slot`, in the order of bytes."""
        found: list[tuple[bytes, Row]] = []
        for key in sorted(k for k in self.versions if k.startswith(prefix)):
            row = self.at(key, slot)
            if row is not None:
                found.append((key, row))
        return found

    def put(self, key: bytes, row: Row) -> Row:
        """Write a key."""
        self.kv[key] = row
        self.dirty[key] = None
        return row

    def remove(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        if key in self.kv:
            self._model.take()
            del self.kv[key]
            self.dirty[key] = None

    def set(self, key: bytes, value: bytes, flags: int) -> Row:
        """A plain write: keeps the session, resets LockIndex."""
        old = self.kv.get(key)
        if old is None:
            index = self._model.take()
            return self.put(key, Row(index, index, 0, flags, "", value))
        if (old.value, old.flags, old.lock_index) == (value, flags, 0):
            return old
        return self.put(key, Row(old.create, self._model.take(), 0, flags, old.session, value))

    def lock(self, key: bytes, value: bytes, flags: int, session: str) -> Row | None:
        """Acquire for an existing session; None if another one holds it."""
        old = self.kv.get(key)
        if old is None:
            index = self._model.take()
            return self.put(key, Row(index, index, 1, flags, session, value))
        if old.session == session:
            if (old.value, old.flags) == (value, flags):
                return old
            return self.put(
                key, Row(old.create, self._model.take(), old.lock_index, flags, session, value)
            )
        if old.session:
            return None
        return self.put(
            key, Row(old.create, self._model.take(), old.lock_index + 1, flags, session, value)
        )

    def unlock(self, key: bytes, value: bytes, flags: int, session: str) -> Row | None:
        """Release; None if the session does not hold it."""
        old = self.kv.get(key)
        if old is None or not session or old.session != session:
            return None
        return self.put(key, Row(old.create, self._model.take(), old.lock_index, flags, "", value))

    def is_alive(self, session: str) -> bool:
        """Does the session exist?"""
        return self._model.ask(IsSessionAlive(session))

    def is_delayed(self, key: bytes) -> bool:
        """Does a lock-delay forbid to acquire the key?"""
        return self.delays.get(key, 0) > self._model.log_time_ms

    def note_effect(self, value: bytes) -> None:
        """A write with this value took effect; values are unique, so it may not do so again."""
        if not value:
            return
        self.effects_of[value] = self.effects_of.get(value, 0) + 1
        if self.effects_of[value] > 1:
            self._model.fail(
                f"the write of {value!r} took effect twice, again in slot {self._model.slot}"
            )


def keys_of(model: Model) -> Keys:
    """The state of this domain."""
    return cast(Keys, model.own["kv"])


# --- commands ---------------------------------------------------------------------------------


def _set(model: Model, command: KvSet) -> bool:
    keys_of(model).note_effect(command.value)
    keys_of(model).set(command.key, command.value, command.flags)
    return True


def _cas(model: Model, command: KvCas) -> bool:
    old = keys_of(model).kv.get(command.key)
    if command.index != (old.modify if old else 0):
        return False
    keys_of(model).note_effect(command.value)
    keys_of(model).set(command.key, command.value, command.flags)
    return True


def _acquire(model: Model, command: KvAcquire) -> bool | Failure:
    if not command.session:
        return Failure("bad_request", "missing session")
    if not model.ask(IsSessionAlive(command.session)):
        return Failure("not_found", f'invalid session "{command.session}"')
    if keys_of(model).is_delayed(command.key):
        return False
    return (
        keys_of(model).lock(command.key, command.value, command.flags, command.session) is not None
    )


def _release(model: Model, command: KvRelease) -> bool | Failure:
    if not command.session:
        return Failure("bad_request", "missing session")
    return (
        keys_of(model).unlock(command.key, command.value, command.flags, command.session)
        is not None
    )


def _delete(model: Model, command: KvDelete) -> bool:
    keys_of(model).remove(command.key)
    return True


def _delete_cas(model: Model, command: KvDeleteCas) -> bool:
    old = keys_of(model).kv.get(command.key)
    if old is None:
        return True
    if old.modify != command.index:
        return False
    keys_of(model).remove(command.key)
    return True


def _delete_tree(model: Model, command: KvDeleteTree) -> bool:
    for key in sorted(k for k in keys_of(model).kv if k.startswith(command.prefix)):
        keys_of(model).remove(key)
    return True


def _session_ended(model: Model, fact: SessionEnded) -> None:
    keys = keys_of(model)
    index = model.take()
    for key in sorted(k for k, row in keys.kv.items() if row.session == fact.id):
        if fact.lock_delay_ms > 0:
            keys.delays[key] = model.log_time_ms + min(fact.lock_delay_ms, LOCK_DELAY_MS_MAX)
        if fact.is_delete:
            keys.remove(key)
        else:
            keys.put(key, keys.kv[key]._replace(modify=index, session=""))


def _end_slot(model: Model) -> None:
    keys_of(model).end_slot()


# --- snapshots of users -----------------------------------------------------------------------


def _save(model: Model) -> tuple[dict[bytes, Row], dict[bytes, int]]:
    """The keys, and the remaining time of each lock-delay."""
    keys = keys_of(model)
    left = {key: until_ms - model.log_time_ms for key, until_ms in keys.delays.items()}
    return dict(keys.kv), {key: left_ms for key, left_ms in left.items() if left_ms > 0}


def _restore(model: Model, saved: tuple[dict[bytes, Row], dict[bytes, int]]) -> None:
    keys_of(model).put_back_all(*saved)


SIMULATION = Simulation(
    state=Keys,
    end_slot=_end_slot,
    save=_save,
    restore=_restore,
    model={
        KvSet: _set,
        KvCas: _cas,
        KvAcquire: _acquire,
        KvRelease: _release,
        KvDelete: _delete,
        KvDeleteCas: _delete_cas,
        KvDeleteTree: _delete_tree,
        SessionEnded: _session_ended,
    },
    transact=lambda model, ops: transact(model, keys_of(model), ops),
)
