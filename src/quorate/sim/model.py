"""Model: what the log means, written a second time and as simply as possible.

Plain dicts, no rows, no undo log, no code shared with what applies them: only the commands
and their outcomes. It remembers every version of every key, so that a read at any
slot can be judged. Written from Consul's documentation and `docs/api/consul.md`.

Source: https://developer.hashicorp.com/consul/api-docs/kv, /session, /txn.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

from quorate.base.batches import Bundle, Configuration, Member, decode_batch
from quorate.base.command import Command
from quorate.base.ids import NodeId, Slot
from quorate.base.outcomes import Failure, Outcome
from quorate.catalog.commands import NodeDeregister, NodeHealth, NodeRegister
from quorate.kv.commands import (
    KvAcquire,
    KvCas,
    KvDelete,
    KvDeleteCas,
    KvDeleteTree,
    KvRelease,
    KvSet,
)
from quorate.machine.commands import Sweep, TombstonesReap, Txn
from quorate.machine.domains import Domains
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew
from quorate.sim.modeltxn import transact
from quorate.sim.world import ViolationError

LOCK_DELAY_MS_MAX = 60_000


class Row(NamedTuple):
    """A key as a client sees it."""

    create: int
    modify: int
    lock_index: int
    flags: int
    session: str
    value: bytes


class Session(NamedTuple):
    """A session as far as the model cares."""

    id: str
    node: str
    ttl_ms: int
    lock_delay_ms: int
    is_delete: bool
    checks: tuple[str, ...]
    renewed_ms: int


class Model:
    """The state after each slot, in order.

    Args:
        configuration: The founding one.
        alpha: Slots between a configuration's choice and its government.
        domains: Whose commands it applies.

    Attributes:
        own: State of domains that bring their own model, by name.
    """

    def __init__(self, configuration: Configuration, alpha: int, domains: Domains) -> None:
        self._decode = domains.decode
        self._apply: dict[type[Command], Callable[[Model, Any], Any]] = dict(_APPLY)
        for domain in domains.all:
            self._apply.update(domain.simulation.model)
        self.own: dict[str, Any] = {}
        self.slot = Slot(0)
        self.index = 0
        self.stamp_ms = 0
        self.kv: dict[bytes, Row] = {}
        self.sessions: dict[str, Session] = {}
        self.nodes: dict[str, NodeRegister] = {}
        self.health: dict[str, str] = {}
        self.delays: dict[bytes, int] = {}
        self.versions: dict[bytes, list[tuple[int, Row | None]]] = {}
        self.session_slots: dict[str, tuple[int, int]] = {}  # id -> created, ended (0: lives)
        self.commands: dict[int, list[Command]] = {}
        self.outcomes: dict[int, list[Outcome | None]] = {}
        self.effects_of: dict[bytes, int] = {}  # written value -> how often it took effect
        self.indexes: dict[int, int] = {0: 0}
        self.chain: list[tuple[int, Configuration]] = [(1, configuration)]
        self._history = list(self.chain)
        self._alpha = alpha
        self._counted: dict[NodeId, tuple[int, int]] = {}
        self._is_taken = False
        self.dirty: dict[bytes, None] = {}

    # --- the log ------------------------------------------------------------------------------

    def step(self, slot: Slot, data: bytes) -> None:
        """Apply the batch of the next slot."""
        if slot != self.slot + 1:
            raise ViolationError(f"the log has a hole before slot {slot}")
        self.slot = slot
        batch = decode_batch(data)
        self.stamp_ms = max(self.stamp_ms, batch.stamp_ms)
        self.commands[slot], self.outcomes[slot] = [], []
        before = self.index
        for bundle in batch.bundles:
            self._bundle(slot, bundle)
        if batch.configuration is not None:
            self._configuration(slot, batch.configuration)
        self._prune(slot)
        for key in self.dirty:
            self.versions.setdefault(key, []).append((slot, self.kv.get(key)))
        self.dirty = {}
        self.indexes[slot] = self.index
        if self.index < before:
            raise ViolationError(f"the index fell in slot {slot}")

    def _bundle(self, slot: Slot, bundle: Bundle) -> None:
        commands = self._decode(bundle.body)
        self.commands[slot] += commands
        if not self._counts(bundle):
            self.outcomes[slot] += [None] * bundle.count
            return
        for command in commands:
            self._is_taken = False
            value = self.apply(command)
            self.outcomes[slot].append(Outcome(self.index, value))

    def _counts(self, bundle: Bundle) -> bool:
        origin = bundle.origin
        if origin not in self.members:
            return False
        incarnation, sequence = self._counted.get(origin, (0, 0))
        is_next = (bundle.incarnation, bundle.sequence) == (incarnation, sequence + 1)
        is_first = bundle.incarnation > incarnation and bundle.sequence == 1
        if is_next or is_first:
            self._counted[origin] = (bundle.incarnation, bundle.sequence)
        return is_next or is_first

    @property
    def members(self) -> dict[NodeId, Member]:
        """Members of every configuration in force or to come."""
        return {m.id: m for _, configuration in self.chain for m in configuration.members}

    @property
    def newest(self) -> tuple[int, Configuration]:
        """The last configuration chosen, and the slot from which it governs."""
        return self._history[-1]

    def governing(self, slot: int) -> Configuration | None:
        """The configuration that governs a slot; None if that is not known yet."""
        if slot > self.slot + self._alpha:
            return None
        return next(c for begin, c in reversed(self._history) if begin <= slot)

    def _configuration(self, slot: Slot, configuration: Configuration) -> None:
        newest = self.chain[-1][1]
        if (configuration.predecessor, configuration.number) == (newest.number, newest.number + 1):
            self.chain.append((slot + self._alpha, configuration))
            self._history.append(self.chain[-1])

    def _prune(self, slot: Slot) -> None:
        while len(self.chain) > 1 and self.chain[1][0] <= slot + 1:
            del self.chain[0]
        members = self.members
        self._counted = {o: c for o, c in self._counted.items() if o in members}

    # --- reads --------------------------------------------------------------------------------

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

    def has_session(self, session: str, slot: int) -> bool:
        """Did the session live after `slot`?"""
        created, ended = self.session_slots.get(session, (0, 0))
        return 0 < created <= slot and not 0 < ended <= slot

    # --- commands -----------------------------------------------------------------------------

    def apply(self, command: Command) -> Any:
        """Apply one command; what it gives back."""
        return self._apply[type(command)](self, command)

    def take(self) -> int:
        """The index of the running command."""
        if not self._is_taken:
            self._is_taken = True
            self.index += 1
        return self.index

    def untake(self, index: int) -> None:
        """The running command is undone: its index was never taken."""
        self.index = index
        self._is_taken = False

    def put(self, key: bytes, row: Row) -> Row:
        """Write a key."""
        self.kv[key] = row
        self.dirty[key] = None
        return row

    def remove(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        if key in self.kv:
            self.take()
            del self.kv[key]
            self.dirty[key] = None

    def set(self, key: bytes, value: bytes, flags: int) -> Row:
        """A plain write: keeps the session, resets LockIndex."""
        old = self.kv.get(key)
        if old is None:
            index = self.take()
            return self.put(key, Row(index, index, 0, flags, "", value))
        if (old.value, old.flags, old.lock_index) == (value, flags, 0):
            return old
        return self.put(key, Row(old.create, self.take(), 0, flags, old.session, value))

    def lock(self, key: bytes, value: bytes, flags: int, session: str) -> Row | None:
        """Acquire for a session that lives; None if another one holds it."""
        old = self.kv.get(key)
        if old is None:
            index = self.take()
            return self.put(key, Row(index, index, 1, flags, session, value))
        if old.session == session:
            if (old.value, old.flags) == (value, flags):
                return old
            return self.put(
                key, Row(old.create, self.take(), old.lock_index, flags, session, value)
            )
        if old.session:
            return None
        return self.put(
            key, Row(old.create, self.take(), old.lock_index + 1, flags, session, value)
        )

    def unlock(self, key: bytes, value: bytes, flags: int, session: str) -> Row | None:
        """Release; None if the session does not hold it."""
        old = self.kv.get(key)
        if old is None or not session or old.session != session:
            return None
        return self.put(key, Row(old.create, self.take(), old.lock_index, flags, "", value))

    def is_delayed(self, key: bytes) -> bool:
        """Is the key closed by a lock-delay?"""
        return self.delays.get(key, 0) > self.stamp_ms

    def end(self, session: Session) -> None:
        """End a session and free what it holds."""
        index = self.take()
        del self.sessions[session.id]
        self.session_slots[session.id] = (self.session_slots[session.id][0], self.slot)
        for key in sorted(k for k, row in self.kv.items() if row.session == session.id):
            if session.lock_delay_ms > 0:
                delay_ms = min(session.lock_delay_ms, LOCK_DELAY_MS_MAX)
                self.delays[key] = self.stamp_ms + delay_ms
            if session.is_delete:
                self.remove(key)
            else:
                self.put(key, self.kv[key]._replace(modify=index, session=""))

    def note_effect(self, value: bytes) -> None:
        """A write with this value took effect; values are unique, so it may not do so again."""
        if not value:
            return
        self.effects_of[value] = self.effects_of.get(value, 0) + 1
        if self.effects_of[value] > 1:
            raise ViolationError(
                f"the write of {value!r} took effect twice, again in slot {self.slot}"
            )


# --- key-value --------------------------------------------------------------------------------


def _set(model: Model, command: KvSet) -> bool:
    model.note_effect(command.value)
    model.set(command.key, command.value, command.flags)
    return True


def _cas(model: Model, command: KvCas) -> bool:
    old = model.kv.get(command.key)
    if command.index != (old.modify if old else 0):
        return False
    model.note_effect(command.value)
    model.set(command.key, command.value, command.flags)
    return True


def _acquire(model: Model, command: KvAcquire) -> bool | Failure:
    if not command.session:
        return Failure("bad_request", "missing session")
    if command.session not in model.sessions:
        return Failure("not_found", f'invalid session "{command.session}"')
    if model.is_delayed(command.key):
        return False
    return model.lock(command.key, command.value, command.flags, command.session) is not None


def _release(model: Model, command: KvRelease) -> bool | Failure:
    if not command.session:
        return Failure("bad_request", "missing session")
    return model.unlock(command.key, command.value, command.flags, command.session) is not None


def _delete(model: Model, command: KvDelete) -> bool:
    model.remove(command.key)
    return True


def _delete_cas(model: Model, command: KvDeleteCas) -> bool:
    old = model.kv.get(command.key)
    if old is None:
        return True
    if old.modify != command.index:
        return False
    model.remove(command.key)
    return True


def _delete_tree(model: Model, command: KvDeleteTree) -> bool:
    for key in sorted(k for k in model.kv if k.startswith(command.prefix)):
        model.remove(key)
    return True


# --- sessions and nodes -----------------------------------------------------------------------


def _create(model: Model, command: SessionCreate) -> str | Failure:
    node = command.node.lower()
    if node not in model.nodes:
        return Failure("precondition", "Missing node registration")
    checks = (*command.node_checks, *command.service_checks)
    for check in checks:
        if check != "serfHealth" or node not in model.health:
            return Failure("precondition", f"Missing check '{check}' registration")
        if model.health[node] == "critical":
            return Failure("precondition", f"Check '{check}' is in critical state")
    if command.id in model.sessions:
        return Failure("already_exists", f"Session '{command.id}' exists already")
    model.take()
    model.sessions[command.id] = Session(
        command.id,
        node,
        command.ttl_ms,
        command.lock_delay_ms,
        command.behavior == "delete",
        checks,
        model.stamp_ms,
    )
    model.session_slots[command.id] = (model.slot, 0)
    return command.id


def _destroy(model: Model, command: SessionDestroy) -> bool:
    session = model.sessions.get(command.id)
    if session is not None:
        model.end(session)
    return True


def _renew(model: Model, command: SessionRenew) -> bool:
    session = model.sessions.get(command.id)
    if session is None:
        return False
    if session.ttl_ms > 0:
        model.sessions[command.id] = session._replace(renewed_ms=model.stamp_ms)
    return True


def _expire(model: Model, command: SessionExpire) -> bool:
    session = model.sessions.get(command.id)
    if session is None or session.ttl_ms <= 0 or session.renewed_ms != command.renewed_ms:
        return False
    if model.stamp_ms < session.renewed_ms + 2 * session.ttl_ms:
        return False
    model.end(session)
    return True


def _end_sessions(model: Model, node: str, check: str | None) -> None:
    for session in sorted(model.sessions.values()):
        if session.node == node and (check is None or check in session.checks):
            model.end(session)


def _drop_node(model: Model, name: str) -> None:
    _end_sessions(model, name, None)
    if model.nodes.pop(name, None) is not None:
        model.take()
        model.health.pop(name, None)


def _register(model: Model, command: NodeRegister) -> bool | Failure:
    name = command.name.lower()
    holder = model.nodes.get(name)
    if holder is not None and holder.id != command.id and holder.id:
        if model.health.get(name, "critical") != "critical":
            return Failure(
                "already_exists",
                f"Node name {command.name} is reserved by node {holder.id} "
                f"with name {holder.name} ({holder.address})",
            )
        _drop_node(model, name)
    if command.id:
        twins = [n for n, row in model.nodes.items() if row.id == command.id and n != name]
        for other in sorted(twins):
            _drop_node(model, other)
    if model.nodes.get(name) != command:
        model.take()
        model.nodes[name] = command
    if name not in model.health:
        model.take()
        model.health[name] = "passing"
    return True


def _health(model: Model, command: NodeHealth) -> bool:
    name = command.name.lower()
    if name not in model.nodes:
        return False
    if model.health.get(name) != command.status:
        model.take()
        model.health[name] = command.status
    if command.status == "critical":
        _end_sessions(model, name, "serfHealth")
    return True


def _deregister(model: Model, command: NodeDeregister) -> bool:
    _drop_node(model, command.name.lower())
    return True


def _txn(model: Model, command: Txn) -> Any:
    return transact(model, command.ops)


def _reap(model: Model, command: TombstonesReap) -> None:
    return None


class Swept:
    """Equal to any number: how many rows a sweep removed is no affair of the model."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    __hash__ = None  # type: ignore[assignment]


def _sweep(model: Model, command: Sweep) -> Swept:
    return Swept()


_APPLY: dict[type, Callable[[Model, Any], Any]] = {
    KvSet: _set,
    KvCas: _cas,
    KvAcquire: _acquire,
    KvRelease: _release,
    KvDelete: _delete,
    KvDeleteCas: _delete_cas,
    KvDeleteTree: _delete_tree,
    SessionCreate: _create,
    SessionDestroy: _destroy,
    SessionRenew: _renew,
    SessionExpire: _expire,
    NodeRegister: _register,
    NodeHealth: _health,
    NodeDeregister: _deregister,
    Txn: _txn,
    TombstonesReap: _reap,
    Sweep: _sweep,
}
