"""Keys, locks and sessions against a model of a few dicts, step by step."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quorate.base.command import Command
from quorate.base.config import ClusterConfig
from quorate.base.outcomes import Failure
from quorate.base.ports import Tables
from quorate.base.subjects import BEGINNING
from quorate.base.txn import TxnDone, TxnOp
from quorate.domains import DOMAINS
from quorate.kv.commands import (
    KvAcquire,
    KvCas,
    KvDelete,
    KvDeleteCas,
    KvDeleteTree,
    KvRelease,
    KvSet,
)
from quorate.kv.subjects import of_key
from quorate.kv.tables import KV, KV_LOCKS
from quorate.machine.commands import RestoreRows, Sweep, TombstonesReap, Txn
from quorate.machine.snapshot import content, dump, restore_commands, verify
from quorate.machine.state import STATE_KEY, decode_state
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew
from tests.unit.machine.lab import Lab

KEYS = st.sampled_from([b"a", b"a/", b"a/b", b"a/\xff", b"b", b"\xff" * 600])
PREFIXES = st.sampled_from([b"", b"a", b"a/", b"b", b"x", b"\xff"])
VALUES = st.sampled_from([b"", b"1", b"2"])
FLAGS = st.sampled_from([0, 2**64 - 1])
SESSIONS = st.sampled_from(["s1", "s2", "s3"])
LOCK_DELAYS = st.sampled_from([0, 3_000, 90_000])
TTL_MS = 10_000


class Key(NamedTuple):
    """A key in the model."""

    value: bytes
    flags: int
    lock: int
    session: str
    create: int
    modify: int


class Session(NamedTuple):
    """A session in the model."""

    is_delete: bool
    lock_delay_ms: int
    ttl_ms: int
    renewed_ms: int


class Model:
    """What the machine should hold. An index is drawn once per command, when first needed."""

    def __init__(self, index: int, stamp_ms: int) -> None:
        self.index = index
        self.keys: dict[bytes, Key] = {}
        self.sessions: dict[str, Session] = {}
        self.closed: dict[bytes, int] = {}
        self.graves: dict[bytes, int] = {}
        self.changed: set[bytes] = set()
        self.stamp_ms = stamp_ms

    def begin(self, stamp_ms: int) -> None:
        """A command comes, in a batch of this stamp."""
        self.stamp_ms = max(self.stamp_ms, stamp_ms)
        self.changed = set()
        self._next = self.index + 1

    def take(self) -> int:
        self.index = self._next
        return self.index

    def cas(self, key: bytes, value: bytes, flags: int, index: int) -> bool:
        old = self.keys.get(key)
        return index == (old.modify if old else 0) and self.write(key, value, flags)

    def remove_if(self, key: bytes, index: int) -> bool:
        old = self.keys.get(key)
        return old is None or (old.modify == index and self.remove(key))

    def remove_tree(self, prefix: bytes) -> bool:
        for key in sorted(self.keys):
            if key.startswith(prefix):
                self.remove(key)
        return True

    def create(self, name: str, session: Session) -> Any:
        if name in self.sessions:
            return Failure("already_exists", "")
        self.take()
        self.sessions[name] = session._replace(renewed_ms=self.stamp_ms)
        return name

    def renew(self, name: str) -> bool:
        session = self.sessions.get(name)
        if session is not None and session.ttl_ms:
            self.sessions[name] = session._replace(renewed_ms=self.stamp_ms)
        return session is not None

    def _put(self, key: bytes, row: Key) -> bool:
        self.keys[key] = row
        self.changed.add(key)
        return True

    def write(self, key: bytes, value: bytes, flags: int) -> bool:
        old = self.keys.get(key)
        if old is None:
            return self._put(key, Key(value, flags, 0, "", self.take(), self.index))
        if (old.value, old.flags, old.lock) == (value, flags, 0):
            return True
        new = old._replace(value=value, flags=flags, lock=0, modify=self.take())
        return self._put(key, new)

    def acquire(self, key: bytes, value: bytes, flags: int, session: str) -> Any:
        if session not in self.sessions:
            return Failure("not_found", f'invalid session "{session}"')
        if self.closed.get(key, 0) > self.stamp_ms:
            return False
        old = self.keys.get(key)
        if old is None:
            return self._put(key, Key(value, flags, 1, session, self.take(), self.index))
        if old.session not in ("", session):
            return False
        lock = old.lock if old.session else old.lock + 1
        new = old._replace(value=value, flags=flags, lock=lock, session=session)
        return new == old or self._put(key, new._replace(modify=self.take()))

    def release(self, key: bytes, value: bytes, flags: int, session: str) -> bool:
        old = self.keys.get(key)
        if old is None or old.session != session:
            return False
        new = old._replace(value=value, flags=flags, session="", modify=self.take())
        return self._put(key, new)

    def remove(self, key: bytes) -> bool:
        if self.keys.pop(key, None) is not None:
            self.graves[key] = self.take()
            self.changed.add(key)
        return True

    def end(self, session: str) -> bool:
        ended = self.sessions.pop(session, None)
        if ended is None:
            return True
        self.take()
        for key, row in sorted(self.keys.items()):
            if row.session != session:
                continue
            if ended.lock_delay_ms:
                self.closed[key] = self.stamp_ms + min(ended.lock_delay_ms, 60_000)
            if ended.is_delete:
                self.remove(key)
            else:
                self._put(key, row._replace(session="", modify=self.index))
        return True


class Clients(RuleBasedStateMachine):
    """What clients do, in any order, one command a batch or several in a transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.lab = self.new_lab()
        self.lab.add_shadow()
        self.model = Model(self.lab.machine.index, self.lab.machine.stamp_ms)
        self.floor = 0

    def new_lab(self, tables: Tables | None = None) -> Lab:
        return Lab(tables)

    def both(self, command: Command, method: Callable[..., Any], *args: Any) -> None:
        """The machine applies a command, the model does the same; they must agree."""
        self.model.begin(self.lab.stamp_ms)
        expected = method(*args)
        before = self.lab.machine.index
        (outcome,) = self.lab.outcomes(command)
        if isinstance(expected, Failure):
            assert isinstance(outcome.value, Failure)
            assert outcome.value.code == expected.code
        else:
            assert outcome.value == expected
        assert outcome.index == self.model.index
        assert outcome.index - before in (0, 1)
        self.check_touched({of_key(key) for key in self.model.changed})

    def check_touched(self, expected: set[bytes]) -> None:
        """Those who wait for a changed key are woken, and nobody else."""
        assert {subject for subject in self.lab.touched if subject[:1] == b"k"} == expected

    # --- rules --------------------------------------------------------------------------------

    @rule(key=KEYS, value=VALUES, flags=FLAGS)
    def set_key(self, key: bytes, value: bytes, flags: int) -> None:
        self.both(KvSet(key, value, flags), self.model.write, key, value, flags)

    @rule(key=KEYS, value=VALUES, off=st.sampled_from([0, 0, 1]), is_new=st.booleans())
    def cas(self, key: bytes, value: bytes, off: int, is_new: bool) -> None:
        old = self.model.keys.get(key)
        index = 0 if is_new or old is None else old.modify + off
        self.both(KvCas(key, value, 0, index), self.model.cas, key, value, 0, index)

    @rule(key=KEYS, off=st.sampled_from([0, 1]))
    def delete_cas(self, key: bytes, off: int) -> None:
        old = self.model.keys.get(key)
        index = (old.modify if old else 0) + off
        self.both(KvDeleteCas(key, index), self.model.remove_if, key, index)

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.both(KvDelete(key), self.model.remove, key)

    @rule(prefix=PREFIXES)
    def delete_tree(self, prefix: bytes) -> None:
        self.both(KvDeleteTree(prefix), self.model.remove_tree, prefix)

    @rule(key=KEYS, value=VALUES, session=SESSIONS)
    def acquire(self, key: bytes, value: bytes, session: str) -> None:
        command = KvAcquire(key, value, 0, session)
        self.both(command, self.model.acquire, key, value, 0, session)

    @rule(key=KEYS, value=VALUES, session=SESSIONS)
    def release(self, key: bytes, value: bytes, session: str) -> None:
        command = KvRelease(key, value, 0, session)
        self.both(command, self.model.release, key, value, 0, session)

    @rule(session=SESSIONS, delay=LOCK_DELAYS, is_delete=st.booleans(), has_ttl=st.booleans())
    def create(self, session: str, delay: int, is_delete: bool, has_ttl: bool) -> None:
        behavior = "delete" if is_delete else "release"
        ttl_ms = TTL_MS if has_ttl else 0
        command = SessionCreate(session, "", "ann", delay, behavior, "", ttl_ms, ())
        self.both(command, self.model.create, session, Session(is_delete, delay, ttl_ms, 0))

    @rule(session=SESSIONS)
    def destroy(self, session: str) -> None:
        self.both(SessionDestroy(session), self.model.end, session)

    @rule(session=SESSIONS)
    def renew(self, session: str) -> None:
        self.both(SessionRenew(session), self.model.renew, session)

    @rule(passed_ms=st.sampled_from([100, 2_500, 11_000, -5_000]))
    def time_passes(self, passed_ms: int) -> None:
        self.lab.stamp_ms = max(0, self.lab.stamp_ms + passed_ms)

    @rule()
    def the_leader_looks_at_its_clock(self) -> None:
        self.lab.stamp_ms = max(self.lab.stamp_ms, self.lab.machine.stamp_ms)
        proposed = self.lab.machine.expirations(self.lab.stamp_ms)
        for command in proposed:
            if isinstance(command, SessionExpire):
                session = self.model.sessions[command.id]
                assert session.renewed_ms == command.renewed_ms
                assert session.renewed_ms + 2 * TTL_MS <= self.lab.stamp_ms
                self.both(command, self.model.end, command.id)
            else:
                self.lab.do(command)

    @rule(key=KEYS, other=KEYS, value=VALUES)
    def a_transaction_that_fails(self, key: bytes, other: bytes, value: bytes) -> None:
        ops = (
            TxnOp("set", key, value),
            TxnOp("delete-tree", b"a"),
            TxnOp("set", other, value),
            TxnOp("get", b"never there"),
        )
        done = self.lab.do(Txn(ops))
        assert isinstance(done, TxnDone)
        assert [fault.op_index for fault in done.faults] == [3]
        self.model.stamp_ms = max(self.model.stamp_ms, self.lab.stamp_ms)

    @rule(keep=st.integers(0, 5))
    def old_removals_are_forgotten(self, keep: int) -> None:
        upto = max(self.lab.machine.index - keep, 0)
        self.lab.do(TombstonesReap(upto, 1_000))
        self.lab.do(Sweep(1_000))
        self.model.stamp_ms = max(self.model.stamp_ms, self.lab.stamp_ms)
        gone = [index for index in self.model.graves.values() if index <= upto]
        self.floor = max([self.floor, *gone])

    @rule()
    def the_node_starts_again(self) -> None:
        stamp_ms, shadow = self.lab.stamp_ms, self.lab.shadow
        self.lab = self.new_lab(self.lab.tables)
        self.lab.stamp_ms, self.lab.shadow = stamp_ms, shadow

    @precondition(lambda self: self.model.keys)
    @rule(prefix=PREFIXES)
    def read(self, prefix: bytes) -> None:
        found = {entry.key: entry.row for entry in self.lab.read.kv_list(prefix).value}
        assert found == {key: row for key, row in self.rows().items() if key.startswith(prefix)}

    # --- invariants ---------------------------------------------------------------------------

    def rows(self) -> dict[bytes, Any]:
        return {entry.key: entry.row for entry in self.lab.read.kv_list(b"").value}

    @invariant()
    def keys_are_as_in_the_model(self) -> None:
        assert self.lab.machine.index == self.model.index
        found = {
            key: Key(r.value, r.flags, r.lock_index, r.session, r.create_index, r.modify_index)
            for key, r in self.rows().items()
        }
        assert found == self.model.keys

    @invariant()
    def sessions_are_as_in_the_model(self) -> None:
        found = {
            row.id: Session(row.behavior == "delete", row.lock_delay_ms, row.ttl_ms, row.renewed_ms)
            for row in self.lab.read.session_list().value
        }
        assert found == self.model.sessions

    @invariant()
    def what_is_held_is_listed_with_its_session(self) -> None:
        held = {
            row.session.encode() + b"\0" + key
            for key, row in self.model.keys.items()
            if row.session
        }
        assert self.listed_locks() == held

    def listed_locks(self) -> set[bytes]:
        return set(dump(DOMAINS, self.lab.tables).get("KV_LOCKS", {}))

    @invariant()
    def who_does_not_wait_is_told_the_same(self) -> None:
        for key in self.model.keys.keys() | self.model.graves.keys():
            answer, found = self.lab.read.kv_get(key), self.lab.read.kv_at_once(key)
            entry = answer.value
            assert found == (None if entry is None else (entry.row, answer.header))

    @invariant()
    def absent_keys_remember_their_removal_or_show_the_floor(self) -> None:
        for key, index in self.model.graves.items():
            answer = self.lab.read.kv_get(key)
            if answer.value is None:
                assert answer.changed >= index
                assert answer.header >= answer.changed


class NotingClients(Clients):
    """The same, where a tree of more than one key is noted as removed, in turns of few units."""

    def new_lab(self, tables: Tables | None = None) -> Lab:
        return Lab(tables, settings=ClusterConfig(removals_max=1), turn_units=20)

    def check_touched(self, expected: set[bytes]) -> None:
        trees = [one[1:] for one in self.lab.touched if one[:1] == BEGINNING]
        touched = {subject for subject in self.lab.touched if subject[:1] == b"k"}
        assert touched <= expected
        assert all(any(key.startswith(tree) for tree in trees) for key in expected - touched)

    def listed_locks(self) -> set[bytes]:
        """Without those of rows that are gone."""
        reader = self.lab.read
        found: set[bytes] = set()
        for pair in super().listed_locks():
            session, _, key = pair.partition(b"\0")
            entry = reader.kv_get(key).value
            if entry is not None and entry.row.session.encode() == session:
                found.add(pair)
        return found

    @rule()
    def a_snapshot_holds_what_is_shown(self) -> None:
        info = verify(DOMAINS, b"".join(content(DOMAINS, self.lab.tables)))
        held = sum(bool(row.session) for row in self.model.keys.values())
        least = len(self.model.keys) + held + len(self.model.sessions)
        assert info.rows >= least
        rows = [
            row
            for command in restore_commands(
                DOMAINS, b"".join(content(DOMAINS, self.lab.tables)), "r"
            )
            if isinstance(command, RestoreRows)
            for row in command.rows
        ]
        assert {key[1:] for key, _ in rows if key[0] == KV} == set(self.model.keys)
        assert sum(key[0] == KV_LOCKS for key, _ in rows) == held

    @rule()
    def all_is_swept(self) -> None:
        for _ in range(20):
            self.lab.do(Sweep(3))
        state = decode_state(self.lab.tables.get(STATE_KEY) or b"")
        assert state.removals == ()
        assert set(dump(DOMAINS, self.lab.tables).get("KV", {})) == set(self.model.keys)
        self.model.stamp_ms = max(self.model.stamp_ms, self.lab.stamp_ms)


TestNotingClients = NotingClients.TestCase
TestNotingClients.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestClients = Clients.TestCase
TestClients.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
