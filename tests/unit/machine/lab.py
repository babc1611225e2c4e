"""A machine of one node with hands: commands go in as a batch, outcomes come out."""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

from quorate.base.batches import Batch, Bundle, Configuration, Member, encode_batch
from quorate.base.command import Command, encode_command, join_commands
from quorate.base.config import ClusterConfig
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.outcomes import Outcome
from quorate.base.ports import Tables
from quorate.base.results import Answer
from quorate.base.txn import TxnOp, TxnResult
from quorate.catalog import queries as catalog
from quorate.catalog.commands import NodeRegister
from quorate.catalog.queries import Instance
from quorate.catalog.tables import CheckRow, InstanceRow, NodeRow
from quorate.domains import DOMAINS
from quorate.kv import queries as kv
from quorate.kv.tables import KvPair, KvRow
from quorate.machine import txn
from quorate.machine.domains import Domains
from quorate.machine.machine import ApplyResult, Machine
from quorate.machine.queries import Reader
from quorate.machine.watches import Watches
from quorate.sessions import queries as sessions
from quorate.sessions.commands import SessionCreate
from quorate.sessions.tables import SessionRow
from quorate.sim.tables import DictTables

ANN = NodeId("ann")
INITIAL = Configuration(1, 0, (Member(ANN, "ann", "ann:1"),))


def fired(watches: Watches, changed_subjects: list[bytes]) -> list[Any]:
    """All who wait for what was touched, woken turn by turn."""
    watches.mark(changed_subjects, 0.0)
    tickets: list[Any] = []
    while watches.is_waking:
        watches.give_share()
        tickets += watches.take(0.0)
    return tickets


T = TypeVar("T")


class Lists(Reader):
    """A reader with the reads of all domains, which gives whole lists."""

    __slots__ = ()

    def kv_get(self, key: bytes) -> Answer[KvPair | None]:
        return kv.kv_get(self, key)

    def kv_at_once(self, key: bytes) -> tuple[KvRow, int] | None:
        return kv.kv_at_once(self, key)

    def kv_list(self, prefix: bytes) -> Answer[list[KvPair]]:
        return kv.kv_list(self, prefix)

    def kv_keys(self, prefix: bytes, separator: bytes = b"") -> Answer[list[bytes]]:
        return kv.kv_keys(self, prefix, separator)

    def kv_list_in_turn(self, prefix: bytes) -> Answer[list[KvPair]] | kv.LongList:
        return kv.kv_list_in_turn(self, prefix)

    def batches(self, long: kv.LongList) -> Iterator[list[KvPair] | list[bytes]]:
        return kv.batches(self, long)

    def changes(self, long: kv.LongList) -> Iterator[int]:
        return kv.changes(self, long.prefix)

    def session_get(self, session: str) -> Answer[SessionRow | None]:
        return sessions.session_get(self, session)

    def txn_read(self, ops: Iterable[TxnOp]) -> Generator[None, None, TxnResult]:
        return txn.read(DOMAINS, self.rows, ops, ClusterConfig().txn_result_bytes_max)

    def node(self, name: str) -> Answer[NodeRow | None]:
        return catalog.node_get(self, name)

    def session_list(self) -> Answer[list[SessionRow]]:
        return _listed(sessions.each_session(self))

    def session_node(self, node: str) -> Answer[list[SessionRow]]:
        return _listed(sessions.each_session(self, node))

    def nodes(self) -> Answer[list[NodeRow]]:
        return _listed(catalog.each_node(self))

    def services_of_node(self, name: str) -> Answer[list[InstanceRow]]:
        return _listed(catalog.each_service_of_node(self, name))

    def checks_of_node(self, name: str) -> Answer[list[CheckRow]]:
        return _listed(catalog.each_check(self, name))

    def services_of_name(self, name: str) -> Answer[list[Instance]]:
        return _listed(catalog.each_instance(self, name))


def _listed(answer: Answer[Iterator[T]]) -> Answer[list[T]]:
    return Answer(list(answer.value), answer.changed, answer.header, answer.subjects)


class Lab:
    """Drives one machine; `log_time_ms` is the log time of the next batch.

    With `shadow` a second machine applies the same batches as another node's, and must not differ.
    """

    def __init__(
        self,
        tables: Tables | None = None,
        *,
        with_node: bool = True,
        settings: ClusterConfig | None = None,
        turn_units: int = 2_048,
        domains: Domains = DOMAINS,
    ) -> None:
        self.domains = domains
        self.tables = DictTables() if tables is None else tables
        self.settings = settings or ClusterConfig()
        self.machine = Machine(self.tables, self.settings, domains, turn_units)
        self.log_time_ms = 1_000
        self.changed_subjects: list[bytes] = []
        self.batch = b""
        self.shadow: Machine | None = None
        if self.machine.applied == 0:
            self.machine.bootstrap("cluster", INITIAL)
            if with_node:
                self.do(NodeRegister("ann", "Ann", "10.0.0.1", "dc1", {}, {}))

    @property
    def read(self) -> "Lists":
        return Lists(self.tables)

    def apply(self, *commands: Command) -> ApplyResult:
        sequence = self.machine.last_sequence(ANN)[1] + 1
        body = join_commands([encode_command(command) for command in commands])
        bundle = Bundle(ANN, 1, sequence, len(commands), body)
        data = encode_batch(Batch(Ballot(1, ANN), self.log_time_ms, self.log_time_ms, (bundle,)))
        self.batch = data
        application = self.machine.apply(Slot(self.machine.applied + 1), data, None, ANN)
        self.changed_subjects = application.changed_subjects
        if self.shadow is not None:
            seen = self.shadow.apply(self.machine.applied, data, None, None)
            assert seen.changed_subjects == self.changed_subjects
            assert self.shadow.digest == self.machine.digest
        return application

    def add_shadow(self) -> None:
        """From here on a second machine follows."""
        rows = dict(self.tables.hold().range(b""))
        self.shadow = Machine(DictTables(rows), self.settings, self.domains)

    def outcomes(self, *commands: Command) -> list[Outcome]:
        return self.apply(*commands).bundles[0].outcomes

    def do(self, *commands: Command) -> Any:
        """The value of the last of these commands, applied in one batch."""
        return self.outcomes(*commands)[-1].value

    def session(
        self,
        name: str,
        *,
        ttl_ms: int = 0,
        lock_delay_ms: int = 0,
        behavior: str = "release",
        checks: tuple[str, ...] = (),
        node: str = "Ann",
    ) -> str:
        ttl = f"{ttl_ms}ms" if ttl_ms else ""
        made: str = self.do(
            SessionCreate(name, name, node, lock_delay_ms, behavior, ttl, ttl_ms, checks)
        )
        return made
