"""One node whose peers are played by the test; what it persists is durable at once, or not."""

import random
from collections.abc import Sequence
from typing import Any, TypeVar

from quorate.base.batches import Configuration, Member
from quorate.base.command import Command, encode_command
from quorate.base.config import Bootstrap, NodeSettings, local
from quorate.base.effects import (
    Applied,
    ChangeDone,
    Configured,
    Effect,
    Halt,
    Install,
    Persist,
    ReadReady,
    Refused,
    Send,
)
from quorate.base.events import Connected, Disconnected, Event, Persisted, Received
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Accepted, Heartbeat, Message, PreVote, PreVoteAnswer, Promise
from quorate.base.records import Bootstrapped, Record
from quorate.node.node import Node
from quorate.paxos.leadership import Leadership
from quorate.sim.tables import DictTables

M = TypeVar("M")
E = TypeVar("E")
CLUSTER = "c"


def member(number: int) -> Member:
    return Member(NodeId(f"n{number}"), f"n{number}", f"10.0.0.{number}:8300")


def initial_members(size: int) -> Configuration:
    return Configuration(1, 0, tuple(member(number) for number in range(1, size + 1)))


class Lone:
    """Node n1 of a cluster of `size`; 0: with an uninitialised directory."""

    def __init__(
        self,
        size: int = 3,
        *,
        now_s: float = 0.0,
        incarnation: int = 1,
        settings: NodeSettings | None = None,
        tables: DictTables | None = None,
        records: Sequence[Record] | None = None,
        expect: int = 0,
        is_alone: bool = False,
        join: Sequence[str] = (),
        disk: bool = True,
    ) -> None:
        self.now_s = now_s
        self.disk = disk
        self.mark = self.durable = 0
        self.tables = tables or DictTables()
        self.effects: list[Effect] = []
        self.records: list[Record] = []
        if records is None:
            records = [Bootstrapped(CLUSTER, initial_members(size), complete=True)] if size else []
        self.node = Node(
            member(1),
            incarnation,
            settings or local(),
            self.tables,
            records,
            random.Random(5),
            now_s,
            wall_ms=lambda: 1_700_000_000_000,
            bootstrap=Bootstrap(expect, is_alone, tuple(join)),
        )
        self.obey(self.node.start(now_s))
        for number in range(2, size + 1):
            self.connect(number)
        self.flush()

    # --- what happens --------------------------------------------------------------------

    def connect(self, number: int, cluster_id: str = CLUSTER) -> None:
        self.event(Connected(member(number), cluster_id))

    def disconnect(self, number: int) -> None:
        self.event(Disconnected(member(number).id))

    def event(self, event: Event) -> None:
        self.obey(self.node.receive(event, self.now_s))
        self.flush()

    def receive(self, number: int, message: Message) -> None:
        self.event(Received(member(number).id, message))

    def heartbeat(self, number: int, watermark: int = 0, *, serving: bool = True) -> Ballot:
        """That peer leads."""
        ballot = Ballot(number, member(number).id)
        self.receive(number, Heartbeat(ballot, Slot(watermark), 1, serving))
        return ballot

    def wait(self, seconds: float) -> None:
        for _ in range(max(round(seconds * 100), 1)):
            self.now_s += 0.01
            self.obey(self.node.tick(self.now_s))
            self.flush()

    def flush(self) -> None:
        self.obey(self.node.end_turn(self.now_s))
        self.sync()
        while self.node.is_apply_pending:
            self.obey(self.node.apply_pending(self.now_s))
            self.obey(self.node.end_turn(self.now_s))
            self.sync()

    def sync(self) -> None:
        while self.disk and self.durable < self.mark:
            self.durable = self.mark
            self.obey(self.node.receive(Persisted(self.mark), self.now_s))
            self.obey(self.node.end_turn(self.now_s))

    def obey(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, Persist):
                self.mark += 1
                self.records.append(effect.record)

    # --- what clients do -----------------------------------------------------------------

    def submit(self, command: Command, ticket: Any, hold_s: float = 5.0) -> None:
        self.node.submit(encode_command(command), ticket, self.now_s + hold_s)

    # --- what was said -------------------------------------------------------------------

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def said(self, kind: type[M], to: int | None = None) -> list[M]:
        """Messages of a kind since the last call; everything else is forgotten with them."""
        effects, self.effects = self.effects, []
        sends = [effect for effect in effects if isinstance(effect, Send)]
        whom = None if to is None else member(to).id
        return [s.message for s in sends if isinstance(s.message, kind) and whom in (None, s.to)]

    def sends(self) -> list[Send]:
        """What was said since `said` was last called, to whom."""
        return self.all(Send)

    def refused(self) -> dict[Any, str]:
        return {ticket: one.error.code for one in self.all(Refused) for ticket in one.tickets}

    def answered(self) -> list[Any]:
        return [ticket for one in self.all(Applied) for ticket in one.tickets]

    def read(self) -> list[Any]:
        return [ticket for one in self.all(ReadReady) for ticket in one.tickets]

    def changed(self) -> dict[Any, str | None]:
        return {
            one.ticket: None if one.error is None else one.error.code
            for one in self.all(ChangeDone)
        }

    def installs(self) -> list[Install]:
        return self.all(Install)

    def halts(self) -> list[Halt]:
        return self.all(Halt)

    def configured(self) -> list[Configured]:
        return self.all(Configured)


def lead(lone: Lone) -> Leadership:
    """Be elected, promised and served by n2."""
    polls: list[PreVote] = []
    while not polls:
        lone.wait(0.01)
        polls = lone.said(PreVote, to=2)
    replica = lone.node.group.replica
    assert replica is not None
    lone.receive(2, PreVoteAnswer(polls[0].number, True, replica.acceptor.promised, Slot(0)))
    leadership = replica.leadership
    assert leadership is not None
    lone.receive(2, Promise(leadership.ballot, Slot(1), Slot(0), 0, 1, ()))
    lone.receive(2, Accepted(leadership.ballot, Slot(1)))
    assert leadership.is_serving
    return leadership
