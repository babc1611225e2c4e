"""Workload: clients that contend for a few keys, with every operation of the API.

What is not about keys and sessions comes from the domains (`base.domain.Simulation`). Each client
does one operation at a time on some node, waits for the result, pauses, and does the next. Values
are unique, so that a write that takes effect twice, or after it was refused, is found. Keys under
`q` get only plain writes and reads: their histories are checked for linearizability (`search`).
"""

from collections.abc import Callable, Sequence
from math import inf
from random import Random
from typing import Any

import msgspec

from quorate.base.command import Command
from quorate.base.outcomes import Failure, Outcome
from quorate.base.txn import TxnOp
from quorate.kv.commands import (
    KvAcquire,
    KvCas,
    KvDelete,
    KvDeleteCas,
    KvDeleteTree,
    KvRelease,
    KvSet,
)
from quorate.machine.commands import RestoreCommit, Txn
from quorate.machine.txn import mixed
from quorate.preparedqueries.commands import PreparedQueryCreate, PreparedQueryUpdate
from quorate.preparedqueries.model import fields_drawn, id_drawn
from quorate.sessions.commands import SessionCreate, SessionDestroy
from quorate.sim.archives import keys_in
from quorate.sim.backend import Server
from quorate.sim.gateway import SimGateway
from quorate.sim.operations import ARCHIVE, Operation, OperationKind, OperationStatus, Subject
from quorate.sim.world import World

TXN_VERBS = (
    "set",
    "set",
    "cas",
    "lock",
    "unlock",
    "delete",
    "delete-cas",
    "delete-tree",
    "get",
    "get-or-empty",
    "get-tree",
    "check-index",
    "check-session",
    "check-not-exists",
)


class WorkloadProfile(msgspec.Struct, frozen=True):
    """What clients do, and how often; drawn from the seed. `weights` by name of the act."""

    clients: int = 3
    think_s: float = 0.3
    keys: int = 4
    timeout_s: float = 4.0
    is_sticky: bool = False  # each client stays at one host
    weights: dict[str, float] = {}


class Client:
    """One client.

    Args:
        world: Time.
        gateway: Takes its requests.
        hosts: Gives the hosts it may call now.
        name: Its name.
        profile: What it does.
        numbers: Gives operations their numbers.
    """

    def __init__(
        self,
        world: World,
        gateway: SimGateway,
        hosts: Callable[[], Sequence[Server]],
        name: str,
        profile: WorkloadProfile,
        numbers: Callable[[], int],
    ) -> None:
        self._world, self._gateway, self._hosts = world, gateway, hosts
        self.name, self._profile, self._numbers = name, profile, numbers
        self._rng: Random = world.rng(f"client {name}")
        self._sessions: list[str] = []
        self._indexes: dict[bytes, int] = {}
        self._reported: dict[Subject, int] = {}
        self._preferred = self._rng.randrange(1 << 16)
        self._written = 0
        self._archive: tuple[int, bytes] | None = None  # its slot and content
        self._plan: list[Command] = []  # what is left of a restore under way
        self.is_stopped = False
        self.is_busy = False

    def begin(self) -> None:
        """Pause, then act, for as long as the run goes on."""
        self._world.after(self._rng.expovariate(1 / self._profile.think_s), self._act)

    def _act(self) -> None:
        if self.is_stopped:
            return
        weights = self._profile.weights
        act = self._rng.choices(list(weights), list(weights.values()))[0]
        own, query = self._gateway.acts.get(act), self._gateway.queries.get(act)
        if own is not None:
            self._written += 1
            self.write(own(self._rng, f"{self.name}-{self._written}"))
        elif query is not None:
            kind = self._rng.choice(
                (OperationKind.READ, OperationKind.READ, OperationKind.STALE, OperationKind.WATCH)
            )
            key = query.key(self._rng)
            if kind is not OperationKind.WATCH or query.indexed is None:
                self.ask(
                    OperationKind.READ if kind is OperationKind.WATCH else kind, key=key, query=act
                )
            else:
                self.wait_for(key, query=act)
        else:
            _ACTS[act](self)

    # --- helpers of the acts ------------------------------------------------------------------

    def ask(self, kind: OperationKind, **fields: Any) -> None:
        """Send one operation to some host."""
        hosts = self._hosts()
        if not hosts:
            self._plan = []
            self.begin()
            return
        place = self._preferred if self._profile.is_sticky else self._rng.randrange(1 << 16)
        host = hosts[place % len(hosts)]
        operation = Operation(
            self._numbers(), self.name, host.name, kind, self._world.now, **fields
        )
        self.is_busy = True
        timeout_s = self._profile.timeout_s * (0.1 + self._rng.random())
        self._gateway.ask(host, operation, timeout_s, self._done)

    def write(self, command: Command) -> None:
        """Send one command."""
        self.ask(OperationKind.WRITE, command=command)

    def wait_for(self, key: bytes, **fields: Any) -> None:
        """Wait for what is newer than the index that this client received last."""
        is_list, is_long = fields.get("is_list", False), fields.get("is_long", False)
        index = self._reported.get((fields.get("query", ""), key, is_list, is_long), 0)
        is_stale = self._rng.random() < 0.2
        self.ask(OperationKind.WATCH, key=key, index=index, is_stale=is_stale, **fields)

    def act_stale(self) -> None:
        """A read of what a host has, if that is not too old."""
        age_s_max = self._rng.choice((inf, inf, 0.2, 1.0, 5.0))
        self.ask(OperationKind.STALE, key=self.key(), age_s_max=age_s_max)

    def key(self, group: str = "k") -> bytes:
        """One of the few keys."""
        return f"{group}{self._rng.randrange(self._profile.keys)}".encode()

    def value(self) -> bytes:
        """A value that no other client writes; now and then a large one."""
        self._written += 1
        padding = b"." * self._rng.choice((0, 0, 0, 0, 0, 20, 300))
        return f"{self.name}-{self._written}".encode() + padding

    def index_of(self, key: bytes) -> int:
        """The index at which this client last saw a key; now and then another."""
        return self._rng.choice((self._indexes.get(key, 0), self._indexes.get(key, 0), 0))

    def session(self) -> str:
        """One of its sessions, or one that never was."""
        return self._rng.choice(self._sessions) if self._sessions else "unknown"

    def _done(self, operation: Operation) -> None:
        self.is_busy = False
        if self._plan:
            self._go_on(operation)
            return
        if operation.end is OperationStatus.DONE:
            self._learn(operation)
        self.begin()

    def _learn(self, operation: Operation) -> None:
        command, value = operation.command, operation.value
        if operation.reported_index:
            self._reported[operation.subject] = operation.reported_index
        if operation.query == ARCHIVE:
            self._archive = (operation.slot, value)
        elif operation.kind is OperationKind.RENEW:
            is_there = value if command is None else value.value is True
            if not is_there:
                self._forget(operation.session)
        elif command is not None:
            self._learn_of(command, value)
        elif not operation.query:
            for key, row in value or ():
                self._indexes[key] = row.modify

    def _learn_of(self, command: Command, outcome: Outcome) -> None:
        if isinstance(command, SessionCreate):
            if not isinstance(outcome.value, Failure):
                self._sessions.append(command.id)
        elif isinstance(command, KvSet | KvCas | KvAcquire) and outcome.value is True:
            self._indexes[command.key] = outcome.index
        elif isinstance(command, SessionDestroy):
            self._forget(command.id)

    def _forget(self, session: str) -> None:
        if session in self._sessions:
            self._sessions.remove(session)

    # --- snapshots for users ------------------------------------------------------------------

    def act_archive(self) -> None:
        """Take a snapshot of the whole state, as of some read index."""
        self.ask(OperationKind.READ, query=ARCHIVE)

    def act_restore(self) -> None:
        """Make an older snapshot the state again, command by command, as a gateway does."""
        if self._archive is None:
            self.act_archive()
            return
        slot, data = self._archive
        self._written += 1
        restore_id = f"{self.name}-{self._written}"
        rows_max = self._rng.choice((1, 3, 1000))
        self._plan = self._gateway.restore(restore_id, slot, data, rows_max)
        self._next()

    def _next(self) -> None:
        if self.is_stopped:  # as a client that goes away in the middle of a restore
            self._plan = []
            return
        command = self._plan.pop(0)
        restored = {}
        if isinstance(command, RestoreCommit) and self._archive is not None:
            restored = keys_in(self._gateway.domains, self._archive[1])
        self.ask(OperationKind.WRITE, command=command, restored=restored)

    def _go_on(self, operation: Operation) -> None:
        """The next command of a restore, if this one was taken."""
        if operation.end is OperationStatus.DONE and operation.value.value is True:
            self._world.after(self._rng.expovariate(1 / 0.02), self._next)
        else:
            self._plan = []
            self.begin()

    # --- acts ---------------------------------------------------------------------------------

    def act_session(self) -> None:
        """Create a session."""
        rng = self._rng
        if len(self._sessions) >= 3:
            self.write(SessionDestroy(self.session()))
            return
        hosts = self._hosts()
        node = hosts[rng.randrange(len(hosts))].name if hosts else "nobody"
        if rng.random() < 0.3:
            node = rng.choice(("x0", "X1", "x2"))  # that clients register, see `catalog.model`
        ttl_ms = rng.choice((0, 1000, 3000, 10_000))
        self.write(
            SessionCreate(
                f"{rng.getrandbits(64):016x}",
                "",
                node,
                rng.choice((0, 500, 15_000)),
                rng.choice(("release", "delete")),
                f"{ttl_ms}ms" if ttl_ms else "",
                ttl_ms,
                rng.choice(((), ("serfHealth",))),
            )
        )

    def act_bound_query(self) -> None:
        """Create or update a prepared query that ends with a session."""
        rng = self._rng
        self._written += 1
        fields = fields_drawn(rng, f"{self.name}-{self._written}", self.session())
        kind = rng.choice((PreparedQueryCreate, PreparedQueryUpdate))
        self.write(kind(id_drawn(rng), fields))

    def act_renew(self) -> None:
        """Renew a session."""
        self.ask(OperationKind.RENEW, session=self.session())

    def act_watch(self) -> None:
        """A blocking read of a key, or of all keys, from where this client saw it last."""
        if self._rng.random() < 0.3:
            is_long = self._rng.random() < 0.5
            self.wait_for(self._rng.choice((b"k", b"k1", b"")), is_list=True, is_long=is_long)
        else:
            self.wait_for(self.key(self._rng.choice("kkq")))

    def act_txn(self) -> None:
        """Some operations, all or nothing."""
        count = 1 + self._rng.randrange(4)
        self.write(Txn(tuple(self.key_operation() for _ in range(count))))

    def key_operation(self) -> TxnOp:
        """An operation on a key."""
        rng = self._rng
        verb, key = rng.choice(TXN_VERBS), self.key()
        return TxnOp(
            verb,
            key,
            self.value(),
            rng.randrange(3),
            self.index_of(key),
            self.session() if rng.random() < 0.9 else "",
        )

    def act_mixed(self) -> None:
        """Operations of several types, all or nothing."""
        rng, domains = self._rng, self._gateway.domains
        draws = [draw for domain in domains.all for draw in domain.simulation.operations]
        ops: list[Any] = []
        for _ in range(1 + rng.randrange(4)):
            self._written += 1
            index = max(0, max(self._indexes.values(), default=0) - rng.randrange(4))
            text, index = f"{self.name}-{self._written}", rng.choice((0, index))
            is_key = not draws or rng.random() < 0.3
            ops.append(self.key_operation() if is_key else rng.choice(draws)(rng, text, index))
        self.write(mixed(domains, ops))

    def act_tree(self) -> None:
        """Delete all keys but those under `q`."""
        self.write(KvDeleteTree(self._rng.choice((b"k", b"k1", b"l"))))

    def act_plain(self) -> None:
        """Plain writes and reads of keys under `q`, for the linearizability checker."""
        rng, key = self._rng, self.key("q")
        if rng.random() < 0.4:
            self.ask(OperationKind.READ, key=key)
        elif rng.random() < 0.5:
            self.write(KvSet(key, self.value()))
        elif rng.random() < 0.7:
            self.write(KvCas(key, self.value(), 0, self.index_of(key)))
        else:
            self.write(KvDelete(key))


def _acquire(client: Client) -> None:
    client.write(KvAcquire(client.key("l"), client.value(), 0, client.session()))


def _release(client: Client) -> None:
    client.write(KvRelease(client.key("l"), client.value(), 0, client.session()))


def _cas(client: Client) -> None:
    key = client.key()
    client.write(KvCas(key, client.value(), 1, client.index_of(key)))


def _delete_cas(client: Client) -> None:
    key = client.key()
    client.write(KvDeleteCas(key, client.index_of(key)))


_ACTS: dict[str, Callable[[Client], None]] = {
    "set": lambda client: client.write(KvSet(client.key(), client.value())),
    "cas": _cas,
    "delete": lambda client: client.write(KvDelete(client.key("l"))),
    "delete-cas": _delete_cas,
    "tree": Client.act_tree,
    "acquire": _acquire,
    "release": _release,
    "session": Client.act_session,
    "renew": Client.act_renew,
    "bound query": Client.act_bound_query,
    "txn": Client.act_txn,
    "mixed": Client.act_mixed,
    "watch": Client.act_watch,
    "read": lambda client: client.ask(OperationKind.READ, key=client.key()),
    "list": lambda client: client.ask(OperationKind.READ, key=b"k", is_list=True),
    "stale": Client.act_stale,
    "plain": Client.act_plain,
    "archive": Client.act_archive,
    "restore": Client.act_restore,
}

ACTS = tuple(_ACTS)
"""Names of all acts, for weights."""
