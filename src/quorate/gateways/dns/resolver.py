"""Resolver: replies to queries, from the tables of this node or from recursors.

A reply is made once per query and kept until the catalog changes what it says: most queries cost a
look-up in a dictionary and a shuffle.
"""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Protocol

import msgspec

from quorate.base.context import Consistency, RequestContext
from quorate.base.errors import QuorateError, StorageError, UnavailableError
from quorate.base.ports import Local
from quorate.catalog.tables import CHECKS, NODES, SERVICES
from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.lookups import CatalogState, Found, look_up
from quorate.gateways.dns.prepared import asker_of
from quorate.gateways.dns.questions import (
    NAMES,
    SERVFAIL,
    BadQueryError,
    DnsQuestion,
    question_of,
)
from quorate.gateways.dns.replies import DnsReply, error
from quorate.machine.queries import Reader
from quorate.preparedqueries.tables import PREPARED_QUERIES
from quorate.serving.serving import Serving

REPLIES_MAX = 4096
REPLY_BYTES_MAX = 8 * 1024 * 1024
"""Of kept replies; with more, or with more bytes, all are dropped."""

_ENTRY_BYTES = 600  # of a kept reply, beside its records
_AGE_MAX_S = 87600 * 3600.0  # Consul's default of `max_stale` means: whatever the age
_RD = 0x0100
_TABLES = (NODES, SERVICES, CHECKS, PREPARED_QUERIES)

Send = Callable[[bytes], None]
"""Sends a reply."""

Clock = Callable[[], float]


class Forwarder(Protocol):
    """Asks recursors."""

    def forward(self, data: bytes, client: str, send: Send, *, is_stream: bool) -> bool:
        """Forward a query; False: too many are under way."""
        ...


class _Kept(msgspec.Struct):
    reply: DnsReply
    epoch: int
    size: int


class Resolver:
    """Answers the queries of all listeners of a node.

    Args:
        local: The node.
        serving: Its reads.
        config: The settings.
        recursors: Asked for what this node does not know.
        unix_time: The clock of SOA records.

    Attributes:
        counts: Replies by response code, those of recursors not.
    """

    def __init__(
        self,
        local: Local,
        serving: Serving,
        config: DnsConfig,
        recursors: Forwarder,
        unix_time: Clock,
    ) -> None:
        self._local = local
        self._serving = serving
        self._recursors = recursors
        self._unix_time = unix_time
        self._config = config
        self._stale = _context(config)
        self._kept: tuple[dict[bytes, _Kept], dict[bytes, _Kept]] = ({}, {})  # UDP, TCP
        self._bytes = 0
        self._reader: Reader | None = None
        self._state: CatalogState | None = None
        self._indexes: tuple[int, ...] = ()
        self._epoch = 0
        self.counts = dict.fromkeys(NAMES, 0)

    @property
    def kept(self) -> int:
        """How many replies are kept."""
        return sum(map(len, self._kept))

    def reconfigure(self, config: DnsConfig) -> None:
        """Use other settings from now on."""
        self._config = config
        self._stale = _context(config)
        self._drop_all()

    def answer(self, data: bytes, client: str, send: Send, *, is_stream: bool) -> None:
        """Answer one query, now or later; what is no query gets no reply.

        Args:
            data: The message.
            client: The address of who sent it.
            send: Sends the reply.
            is_stream: It came over TCP.
        """
        kept = self._kept[is_stream].get(data[2:])
        if kept is not None and self._is_readable() and self._is_current(kept):
            self._count(kept.reply.found.rcode)
            send(data[:2] + kept.reply.body(self._serving.rng))
            return
        try:
            question = question_of(data)
        except BadQueryError as bad:
            if bad.rcode is not None:
                self._refuse(data, send, bad.rcode, bad.flags | bad.opcode)
            return
        step = partial(self._look_up, data, question, client, send, is_stream=is_stream)
        if self._is_readable():
            step()
        else:
            self._confirm(data, question, send, step)

    # --- how new the tables are ----------------------------------------------------------------

    def _is_readable(self) -> bool:
        """Whether the tables may be read without asking the leader."""
        try:
            return self._serving.may_read(self._stale)
        except UnavailableError:  # this node was removed: what it knows is of the past
            return False

    def _confirm(
        self, data: bytes, question: DnsQuestion, send: Send, step: Callable[[], None]
    ) -> None:
        asked_s = self._serving.backend.now_s

        def confirmed(result: int | QuorateError) -> None:
            if isinstance(result, QuorateError):
                self._refuse(data, send, SERVFAIL, question.flags, question)
                return
            self._serving.note_fresh(asked_s)
            step()

        self._serving.confirm(RequestContext(), confirmed)

    # --- looking up ----------------------------------------------------------------------------

    def _look_up(
        self, data: bytes, question: DnsQuestion, client: str, send: Send, *, is_stream: bool
    ) -> None:
        reader, state = self._current()
        if not reader.applied:  # a new node that has nothing yet: no name is unknown to it
            self._refuse(data, send, SERVFAIL, question.flags, question)
            return
        try:
            asker = asker_of(question, client, self._own_node)
            found = look_up(state, self._config, question, self._unix_time(), asker)
        except Exception as fault:  # noqa: BLE001 - no query may end the node
            self._refuse(data, send, SERVFAIL, question.flags, question)
            self._report(fault)
            return
        if found.is_outside and self._config.recursors and question.flags & _RD:
            if not self._recursors.forward(data, client, send, is_stream=is_stream):
                self._refuse(data, send, SERVFAIL, question.flags, question)
            return
        reply = DnsReply(found, question, self._config, is_stream=is_stream)
        if not found.is_of_client:
            self._keep(data[2:], reply, is_stream=is_stream)
        self._count(found.rcode)
        send(data[:2] + reply.body(self._serving.rng))

    def _own_node(self) -> str:
        return self._local.status().node.name

    def _report(self, fault: Exception) -> None:
        if isinstance(fault, StorageError) and fault.code == "corrupt":
            self._local.read(RequestContext(), partial(_raise, fault))  # it ends the node
        else:
            self._local.report(fault)

    def _refuse(
        self, data: bytes, send: Send, rcode: int, flags: int, question: DnsQuestion | None = None
    ) -> None:
        self._count(rcode)
        send(data[:2] + error(rcode, flags, question))

    def _count(self, rcode: int) -> None:
        self.counts[rcode] += 1

    # --- kept replies --------------------------------------------------------------------------

    def _current(self) -> tuple[Reader, CatalogState]:
        """The current state; a change of the catalog begins another epoch."""
        reader, state = self._serving.reader(), self._state
        if reader is not self._reader or state is None:
            self._reader = reader
            indexes = (reader.restored, *map(reader.table_index, _TABLES))
            if indexes != self._indexes or state is None:
                self._indexes = indexes
                self._epoch += 1
                state = self._state = CatalogState(reader)
            else:
                state.renew(reader)
        return reader, state

    def _is_current(self, kept: _Kept) -> bool:
        found = kept.reply.found
        if found.serial is not None and found.serial != int(self._unix_time()):
            return False
        reader, _ = self._current()
        if kept.epoch == self._epoch:
            return True
        if not _is_unchanged(found, reader):
            return False
        kept.epoch = self._epoch
        return True

    def _keep(self, asked: bytes, reply: DnsReply, *, is_stream: bool) -> None:
        entries = self._kept[is_stream]
        old = entries.pop(asked, None)
        self._bytes -= 0 if old is None else old.size
        size = _ENTRY_BYTES + len(asked) + reply.size
        if self._bytes + size > REPLY_BYTES_MAX or len(entries) >= REPLIES_MAX:
            self._drop_all()
        if size <= REPLY_BYTES_MAX:
            entries[asked] = _Kept(reply, self._epoch, size)
            self._bytes += size

    def _drop_all(self) -> None:
        for entries in self._kept:
            entries.clear()
        self._bytes = 0


def _is_unchanged(found: Found, reader: Reader) -> bool:
    """Whether nothing that was read has changed since, by its watch keys."""
    if not found.subjects or reader.restored > found.changed:
        return False
    return all(reader.noted(subject) <= found.changed for subject in found.subjects)


def _context(config: DnsConfig) -> RequestContext:
    if not config.takes_stale:
        return RequestContext()
    age_s = config.age_s_max if config.age_s_max < _AGE_MAX_S else inf
    return RequestContext(consistency=Consistency.STALE, age_s_max=age_s)


def _raise(fault: BaseException, _: int | QuorateError) -> None:
    raise fault
