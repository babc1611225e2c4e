"""What clients do, against the model of the simulator, step by step.

There is one model: each domain has its part of it (`base.domain.Simulation`), `sim.model` the rest.
The simulator compares with it what clients see of whole clusters. Here the machine alone is
compared with it after each command, in cases that are rare in a cluster: keys of the greatest
length, repeated values, clocks that go back, tombstones that are reaped, trees that are swept,
restarts.
"""

from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quorate.base.command import Command
from quorate.base.config import ClusterConfig
from quorate.base.ports import Tables
from quorate.base.subjects import BEGINNING, EVERYTHING
from quorate.base.txn import TxnOp, TxnResult
from quorate.catalog.commands import CatalogRegister, CheckUpdate
from quorate.catalog.fields import NodeFields
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
from quorate.kv.model import Row, keys_of
from quorate.kv.subjects import of_key
from quorate.kv.tables import KV, KV_LOCKS
from quorate.machine.commands import RestoreRows, Sweep, TombstonesReap, Txn
from quorate.machine.snapshot import content, dump, restore_commands, verify
from quorate.machine.state import STATE_KEY, decode_state
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew
from quorate.sessions.model import ModelSession, sessions_of
from quorate.sim.model import ReferenceModel
from tests.unit.machine.lab import INITIAL, Lab

KEYS = st.sampled_from([b"a", b"a/", b"a/b", b"a/\xff", b"b", b"\xff" * 600])
PREFIXES = st.sampled_from([b"", b"a", b"a/", b"b", b"x", b"\xff"])
VALUES = st.sampled_from([b"", b"1", b"2"])
FLAGS = st.sampled_from([0, 2**64 - 1])
SESSIONS = st.sampled_from(["s1", "s2", "s3"])
Host = tuple[str, tuple[str, ...]]
HOSTS = st.sampled_from([("Ann", ()), ("ann", ("serfHealth",)), ("x0", ()), ("x0", ("c0",))])
STATUSES = st.sampled_from(["passing", "critical"])
LOCK_DELAYS = st.sampled_from([0, 3_000, 90_000])
TTL_MS = 10_000

ACTS = {name: act for each in DOMAINS.all for name, act in each.simulation.acts.items()}


class Clients(RuleBasedStateMachine):
    """What clients do, in any order, one command a batch or several in a transaction."""

    cluster = ClusterConfig()
    turn_units = 2_048

    def __init__(self) -> None:
        super().__init__()
        self.lab = self.new_lab()
        self.lab.add_shadow()
        self.model = ReferenceModel(INITIAL, self.cluster, DOMAINS)
        self.saved: tuple[int, bytes] | None = None
        self.restores = 0
        self.do(
            CatalogRegister("Ann", NodeFields("ann", "10.0.0.1", "dc1", {}, {}), is_member=True)
        )
        self.create("s1", ("Ann", ()), 3_000, "release", TTL_MS)
        self.create("s2", ("ann", ("serfHealth",)), 0, "delete", 0)

    def new_lab(self, tables: Tables | None = None) -> Lab:
        return Lab(tables, with_node=False, settings=self.cluster, turn_units=self.turn_units)

    def do(self, command: Command) -> Any:
        """The machine applies a command, the model does the same; they must agree."""
        before = self.lab.machine.index
        (outcome,) = self.lab.outcomes(command)
        slot = self.lab.machine.applied
        keys_of(self.model).effects_of.clear()  # these clients may write a value twice
        self.model.step(slot, self.lab.batch)
        assert self.model.outcomes[slot] == [outcome]
        assert self.lab.machine.log_time_ms == self.model.log_time_ms
        assert outcome.index - before in (0, 1)
        if EVERYTHING not in self.lab.changed_subjects:
            changed = (key for key, all_ in self.versions().items() if all_[-1][0] == slot)
            self.check_touched({of_key(key) for key in changed})
        return outcome.value

    def versions(self) -> dict[bytes, list[tuple[int, Row | None]]]:
        """Every key that ever was: after which slot it was what."""
        return keys_of(self.model).versions

    def check_touched(self, expected: set[bytes]) -> None:
        """Those who wait for a changed key are woken, and nobody else."""
        assert {subject for subject in self.lab.changed_subjects if subject[:1] == b"k"} == expected

    # --- rules --------------------------------------------------------------------------------

    @rule(key=KEYS, value=VALUES, flags=FLAGS)
    def set_key(self, key: bytes, value: bytes, flags: int) -> None:
        self.do(KvSet(key, value, flags))

    @rule(key=KEYS, value=VALUES, off=st.sampled_from([0, 0, 1]), is_new=st.booleans())
    def cas(self, key: bytes, value: bytes, off: int, is_new: bool) -> None:
        old = keys_of(self.model).kv.get(key)
        self.do(KvCas(key, value, 0, 0 if is_new or old is None else old.modify + off))

    @rule(key=KEYS, off=st.sampled_from([0, 1]))
    def delete_cas(self, key: bytes, off: int) -> None:
        old = keys_of(self.model).kv.get(key)
        self.do(KvDeleteCas(key, (old.modify if old else 0) + off))

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.do(KvDelete(key))

    @rule(prefix=PREFIXES)
    def delete_tree(self, prefix: bytes) -> None:
        self.do(KvDeleteTree(prefix))

    @rule(key=KEYS, value=VALUES, flags=FLAGS, session=SESSIONS)
    def acquire(self, key: bytes, value: bytes, flags: int, session: str) -> None:
        self.do(KvAcquire(key, value, flags, session))

    @rule(key=KEYS, value=VALUES, session=SESSIONS)
    def release(self, key: bytes, value: bytes, session: str) -> None:
        self.do(KvRelease(key, value, 0, session))

    @precondition(lambda self: bool(self.held_keys()))
    @rule(place=st.integers(0, 5), value=VALUES, flags=FLAGS, is_again=st.booleans())
    def the_holder_acts(self, place: int, value: bytes, flags: int, is_again: bool) -> None:
        """It acquires once more, or releases."""
        held = self.held_keys()
        key = held[place % len(held)]
        session = keys_of(self.model).kv[key].session
        self.do((KvAcquire if is_again else KvRelease)(key, value, flags, session))

    def held_keys(self) -> list[bytes]:
        return sorted(key for key, row in keys_of(self.model).kv.items() if row.session)

    @rule(
        session=SESSIONS,
        host=HOSTS,
        delay=LOCK_DELAYS,
        behavior=st.sampled_from(["release", "delete"]),
        ttl_ms=st.sampled_from([0, TTL_MS]),
    )
    def create(
        self,
        session: str,
        host: tuple[str, tuple[str, ...]],
        delay: int,
        behavior: str,
        ttl_ms: int,
    ) -> None:
        node, checks = host
        self.do(SessionCreate(session, "", node, delay, behavior, "", ttl_ms, checks))

    @rule(session=SESSIONS)
    def destroy(self, session: str) -> None:
        self.do(SessionDestroy(session))

    @rule(session=SESSIONS)
    def renew(self, session: str) -> None:
        self.do(SessionRenew(session))

    @rule(status=STATUSES)
    def check(self, status: str) -> None:
        self.do(CheckUpdate("ann", "serfHealth", status, ""))

    @rule(name=st.sampled_from(sorted(ACTS)), seed=st.integers(0, 2**16))
    def do_what_a_client_of_the_simulator_does(self, name: str, seed: int) -> None:
        self.do(ACTS[name](Random(seed), f"text {seed % 3}"))

    @rule(passed_ms=st.sampled_from([100, 2_500, 11_000, 25_000, -5_000]))
    def time_passes(self, passed_ms: int) -> None:
        self.lab.log_time_ms = max(0, self.lab.log_time_ms + passed_ms)

    @rule()
    def the_leader_proposes_what_is_due(self) -> None:
        now_ms = self.lab.log_time_ms = max(self.lab.log_time_ms, self.lab.machine.log_time_ms)
        for command in self.lab.machine.expirations(now_ms):
            if isinstance(command, SessionExpire):
                assert self.is_due(sessions_of(self.model).sessions[command.id])
                assert self.do(command) is True
            else:
                self.do(command)
        assert not any(map(self.is_due, sessions_of(self.model).sessions.values()))

    def is_due(self, session: ModelSession) -> bool:
        return session.ttl_ms > 0 and session.renewed_ms + 2 * TTL_MS <= self.lab.log_time_ms

    @rule(key=KEYS, other=KEYS, value=VALUES, is_good=st.booleans())
    def transact(self, key: bytes, other: bytes, value: bytes, is_good: bool) -> None:
        ops = (
            TxnOp("set", key, value),
            TxnOp("delete-tree", b"a"),
            TxnOp("set", other, value + b"!"),
            TxnOp("get", other if is_good else b"never there"),
        )
        try:
            for op in ops:
                op.key.decode("ascii")
        except UnicodeDecodeError:
            return  # the model's texts have no other keys
        done = self.do(Txn(ops))
        assert isinstance(done, TxnResult)
        assert [fault.op_index for fault in done.faults] == ([] if is_good else [3])

    @rule(keep=st.integers(0, 5))
    def old_removals_are_forgotten(self, keep: int) -> None:
        self.do(TombstonesReap(max(self.lab.machine.index - keep, 0), 1_000))
        self.do(Sweep(1_000))

    @rule()
    def the_node_starts_again(self) -> None:
        log_time_ms, shadow = self.lab.log_time_ms, self.lab.shadow
        self.lab = self.new_lab(self.lab.tables)
        self.lab.log_time_ms, self.lab.shadow = log_time_ms, shadow

    @rule()
    def a_snapshot_is_taken(self) -> None:
        self.saved = (self.lab.machine.applied, b"".join(content(DOMAINS, self.lab.tables)))

    @precondition(lambda self: self.saved is not None)
    @rule()
    def it_is_restored(self) -> None:
        assert self.saved is not None
        slot, data = self.saved
        self.restores += 1
        self.model.archives[f"r{self.restores}"] = slot
        for command in restore_commands(DOMAINS, data, f"r{self.restores}"):
            assert self.do(command) is True

    @precondition(lambda self: bool(keys_of(self.model).kv))
    @rule(prefix=PREFIXES)
    def read(self, prefix: bytes) -> None:
        found = {entry.key: entry.row for entry in self.lab.read.kv_list(prefix).value}
        assert found == {key: row for key, row in self.rows().items() if key.startswith(prefix)}

    @rule(name=st.sampled_from(["nodes", "hosted", "instances"]), seed=st.integers(0, 2**16))
    def read_the_catalog(self, name: str, seed: int) -> None:
        query = self.model.queries[name]
        key = query.key(Random(seed))
        assert query.see(self.lab.read, key) == query.expect(self.model, self.model.slot, key)

    # --- invariants ---------------------------------------------------------------------------

    def rows(self) -> dict[bytes, Any]:
        return {entry.key: entry.row for entry in self.lab.read.kv_list(b"").value}

    @invariant()
    def keys_are_as_in_the_model(self) -> None:
        assert self.lab.machine.index == self.model.index
        found = {
            key: Row(r.create_index, r.modify_index, r.lock_index, r.flags, r.session, r.value)
            for key, r in self.rows().items()
        }
        assert found == keys_of(self.model).kv

    @invariant()
    def sessions_are_as_in_the_model(self) -> None:
        query = self.model.queries["sessions"]
        assert query.see(self.lab.read, b"") == query.expect(self.model, self.model.slot, b"")

    @invariant()
    def what_is_held_is_listed_with_its_session(self) -> None:
        assert self.listed_locks() == {
            row.session.encode() + b"\0" + key
            for key, row in keys_of(self.model).kv.items()
            if row.session
        }

    @invariant()
    def lock_delays_are_as_in_the_model(self) -> None:
        stored = dump(DOMAINS, self.lab.tables).get("KV_DELAY", {})
        found = {key: int.from_bytes(until, "big") for key, until in stored.items()}
        assert self.still(found) == self.still(keys_of(self.model).delays)

    def still(self, delays: dict[bytes, int]) -> dict[bytes, int]:
        """Those that are not over."""
        return {key: until for key, until in delays.items() if until > self.model.log_time_ms}

    def listed_locks(self) -> set[bytes]:
        return set(dump(DOMAINS, self.lab.tables).get("KV_LOCKS", {}))

    @invariant()
    def a_reader_that_does_not_wait_gets_the_same(self) -> None:
        for key in self.versions():
            answer, found = self.lab.read.kv_get(key), self.lab.read.kv_at_once(key)
            entry = answer.value
            assert found == (None if entry is None else (entry.row, answer.header))

    @invariant()
    def absent_keys_keep_their_removal_or_the_lower_bound(self) -> None:
        for key, versions in self.versions().items():
            slot, row = versions[-1]
            answer = self.lab.read.kv_get(key)
            assert (answer.value is None) == (row is None)
            if row is None:
                assert answer.changed >= self.model.indexes[slot]
                assert answer.header >= answer.changed


class NotingClients(Clients):
    """The same, where a tree of more than one key is noted as removed, in turns of few units."""

    cluster = ClusterConfig(removals_max=1)
    turn_units = 20

    def check_touched(self, expected: set[bytes]) -> None:
        trees = [one[1:] for one in self.lab.changed_subjects if one[:1] == BEGINNING]
        changed_subjects = {subject for subject in self.lab.changed_subjects if subject[:1] == b"k"}
        assert changed_subjects <= expected
        assert all(
            any(key.startswith(tree) for tree in trees) for key in expected - changed_subjects
        )

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
        kv = keys_of(self.model).kv
        data = b"".join(content(DOMAINS, self.lab.tables))
        held = sum(bool(row.session) for row in kv.values())
        assert verify(DOMAINS, data).rows >= len(kv) + held + len(sessions_of(self.model).sessions)
        rows = [
            row
            for command in restore_commands(DOMAINS, data, "r")
            if isinstance(command, RestoreRows)
            for row in command.rows
        ]
        assert {key[1:] for key, _ in rows if key[0] == KV} == set(kv)
        assert sum(key[0] == KV_LOCKS for key, _ in rows) == held

    @rule()
    def all_is_swept(self) -> None:
        for _ in range(40):
            self.do(Sweep(3))
        state = decode_state(self.lab.tables.get(STATE_KEY) or b"")
        assert state.removals == ()
        assert set(dump(DOMAINS, self.lab.tables).get("KV", {})) == set(keys_of(self.model).kv)


TestNotingClients = NotingClients.TestCase
TestNotingClients.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
TestClients = Clients.TestCase
TestClients.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
