"""Snapshots for peers, chunk by chunk."""

import msgspec

from quorate.base.batches import Batch, Bundle, encode_batch
from quorate.base.config import ClusterConfig, Limits
from quorate.base.effects import Effect, Install, Note, Send
from quorate.base.formats import STATE
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import SnapshotAsk, SnapshotChunk
from quorate.chunks import rows_of
from quorate.domains import DOMAINS
from quorate.machine.machine import Machine
from quorate.node.catchup import (
    CHUNK_TIMEOUT_S,
    SOURCE_IDLE_S,
    TRIES_MAX,
    UNSTORED_MAX,
    SnapshotRequester,
    Source,
)
from quorate.sim.tables import DictTables
from tests.unit.node.lone import initial_members, member

ANN, BOB = NodeId("ann"), NodeId("bob")
ROWS = {b"k%d" % number: b"v" * 20 for number in range(5)}


def source() -> tuple[Source, DictTables]:
    tables = DictTables(ROWS)
    return Source(tables, Limits(chunk_bytes_max=40)), tables


def chunk(effects: list[Effect]) -> SnapshotChunk:
    sends = [effect for effect in effects if isinstance(effect, Send)]
    assert isinstance(sends[0].message, SnapshotChunk)
    return sends[0].message


def asks(effects: list[Effect]) -> list[SnapshotAsk]:
    sends = [effect.message for effect in effects if isinstance(effect, Send)]
    return [message for message in sends if isinstance(message, SnapshotAsk)]


def test_all_rows_come_over_and_are_of_one_moment() -> None:
    giver, tables = source()
    requester = SnapshotRequester(incarnation=2)
    (ask,) = asks(requester.begin(ANN, 0.0))
    rows: dict[bytes, bytes] = {}
    firsts: list[bool] = []
    while True:
        effects = requester.on_chunk(ANN, chunk(giver.on_ask(BOB, ask, Slot(7), 0.0)), Slot(3), 0.0)
        transaction = tables.begin()
        transaction.put(b"later", b"x")
        transaction.commit()
        (install,) = [effect for effect in effects if isinstance(effect, Install)]
        rows.update(rows_of(install.data))
        firsts.append(install.is_first)
        if install.is_last:
            break
        (ask,) = asks(effects)
    assert rows == ROWS
    assert firsts == [True] + [False] * (len(firsts) - 1)
    assert requester.is_installing
    assert not requester.is_done(1)
    assert requester.is_done(ask.transfer)
    assert requester.source is None


def test_no_more_is_asked_for_while_the_disk_is_behind() -> None:
    tables = DictTables({b"k%02d" % number: b"v" * 20 for number in range(50)})
    giver, requester = Source(tables, Limits(chunk_bytes_max=20)), SnapshotRequester(incarnation=2)
    (first,) = questions = asks(requester.begin(ANN, 0.0))
    taken, transfer = 0, first.transfer
    while questions:
        given = chunk(giver.on_ask(BOB, questions.pop(), Slot(7), 0.0))
        questions = asks(requester.on_chunk(ANN, given, Slot(3), 0.0))
        taken += 1
    assert taken == UNSTORED_MAX
    assert requester.tick(10 * CHUNK_TIMEOUT_S) == []
    assert requester.on_stored(transfer - 1, 50.0) == [], "of an earlier transfer"
    (ask,) = asks(requester.on_stored(transfer, 50.0))
    assert ask.number == taken
    assert requester.on_stored(transfer, 50.0) == [], "that question is open already"
    assert requester.tick(50.0 + CHUNK_TIMEOUT_S / 2) == []
    assert asks(requester.tick(50.0 + CHUNK_TIMEOUT_S)) == [ask]


def test_rows_of_a_newer_format_are_not_taken() -> None:
    giver, _ = source()
    requester = SnapshotRequester(incarnation=2)
    (ask,) = asks(requester.begin(ANN, 0.0))
    newer = msgspec.structs.replace(
        chunk(giver.on_ask(BOB, ask, Slot(7), 0.0)), format=STATE.newest + 1
    )
    assert chunk(giver.on_ask(BOB, ask, Slot(7), 0.0)).format == STATE.newest

    (note,) = requester.on_chunk(ANN, newer, Slot(3), 0.0)

    assert isinstance(note, Note)
    assert note.what == "snapshot refused"
    assert note.fields["why"] == (
        "the peer's snapshot was written by a newer version of Quorate "
        f"(format {STATE.newest + 1}, this one knows {STATE.newest}): start that "
        "version, or a newer one"
    )
    assert requester.take_failure()


def test_a_machine_made_of_a_snapshot_knows_what_counted_and_who_governs() -> None:
    """Else a bundle counts twice, or a vote is counted by a configuration that is over."""
    tables = DictTables()
    machine = Machine(tables, ClusterConfig(), DOMAINS)
    machine.bootstrap("cluster", initial_members(3))
    second = msgspec.structs.replace(initial_members(4), number=2, predecessor=1)
    bundle = Bundle(member(2).id, 5, 1, 0, b"\x90")
    batch = Batch(Ballot(1, ANN), 9, 9, (bundle,))
    machine.apply(Slot(1), encode_batch(batch), None, None)
    machine.apply(Slot(2), encode_batch(Batch(Ballot(1, ANN), 9, 9, (), second)), second, None)

    giver, requester = Source(tables, Limits(chunk_bytes_max=60)), SnapshotRequester(incarnation=2)
    rows: dict[bytes, bytes] = {}
    (ask,) = asks(requester.begin(ANN, 0.0))
    while not requester.is_installing:
        effects = requester.on_chunk(ANN, chunk(giver.on_ask(BOB, ask, Slot(2), 0.0)), Slot(0), 0.0)
        rows.update(row for one in effects if isinstance(one, Install) for row in rows_of(one.data))
        (ask,) = asks(effects) or [ask]

    copy = Machine(DictTables(rows), ClusterConfig(), DOMAINS)
    assert copy.last_sequence(member(2).id) == (5, 1)
    assert copy.configurations == ((Slot(0), initial_members(3)), (Slot(2), second))
    assert copy.digest == machine.digest


def test_a_chunk_asked_for_again_is_the_same() -> None:
    giver, _ = source()
    first = giver.on_ask(BOB, SnapshotAsk(1, 0), Slot(7), 0.0)
    assert giver.on_ask(BOB, SnapshotAsk(1, 0), Slot(9), 0.0) == first
    assert chunk(giver.on_ask(BOB, SnapshotAsk(1, 2), Slot(7), 0.0)).refused
    assert chunk(giver.on_ask(BOB, SnapshotAsk(5, 1), Slot(7), 0.0)).refused
    assert chunk(giver.on_ask(BOB, SnapshotAsk(1, 1), Slot(7), 0.0)).number == 1


def test_a_source_lets_go_of_an_asker_that_went_silent_or_began_anew() -> None:
    giver, _ = source()
    giver.on_ask(BOB, SnapshotAsk(1, 0), Slot(7), 0.0)
    assert chunk(giver.on_ask(BOB, SnapshotAsk(2, 0), Slot(8), 0.0)).slot == 8
    giver.tick(SOURCE_IDLE_S)
    assert not chunk(giver.on_ask(BOB, SnapshotAsk(2, 1), Slot(8), 0.0)).refused
    giver.tick(SOURCE_IDLE_S + 1)
    assert chunk(giver.on_ask(BOB, SnapshotAsk(2, 2), Slot(8), 0.0)).refused
    giver.on_ask(BOB, SnapshotAsk(3, 0), Slot(8), 0.0)
    giver.close()
    assert chunk(giver.on_ask(BOB, SnapshotAsk(3, 1), Slot(8), 0.0)).refused


def answered(**changes: object) -> tuple[SnapshotRequester, list[Effect]]:
    """An asker, and what it does with a first chunk that was tampered with."""
    giver, _ = source()
    requester = SnapshotRequester(incarnation=2)
    (ask,) = asks(requester.begin(ANN, 0.0))
    good = chunk(giver.on_ask(BOB, ask, Slot(7), 0.0))
    return requester, requester.on_chunk(
        ANN, msgspec.structs.replace(good, **changes), Slot(3), 0.0
    )


def test_a_damaged_chunk_is_asked_for_again() -> None:
    for changes in ({"crc": 1}, {"rows": b"\xc1", "crc": 0x0D5FF3D6}):
        _, effects = answered(**changes)
        assert [ask.number for ask in asks(effects)] == [0]
        assert not any(isinstance(effect, Install) for effect in effects)


def test_a_chunk_nobody_asked_for_is_ignored() -> None:
    for changes in ({"transfer": 1}, {"number": 4}):
        requester, effects = answered(**changes)
        assert effects == []
        assert not requester.has_failed


def test_a_snapshot_that_is_refused_or_too_old_ends_the_transfer() -> None:
    for changes in ({"refused": "no"}, {"slot": Slot(3)}):
        requester, effects = answered(**changes)
        assert [type(effect) for effect in effects] == [Note]
        assert requester.has_failed
        assert requester.source is None


def test_a_snapshot_of_another_moment_in_the_middle_ends_the_transfer() -> None:
    requester, effects = answered()
    (ask,) = asks(effects)
    late = SnapshotChunk(ask.transfer, 1, Slot(9), b"", 0, is_last=True)
    requester.on_chunk(ANN, late, Slot(3), 0.0)
    assert requester.has_failed


def test_a_silent_source_is_asked_again_and_given_up_in_the_end() -> None:
    requester = SnapshotRequester(incarnation=2)
    assert requester.tick(9.0) == []
    requester.begin(ANN, 0.0)
    assert requester.tick(CHUNK_TIMEOUT_S - 0.1) == []
    tried = [asks(requester.tick(CHUNK_TIMEOUT_S * (n + 1))) for n in range(TRIES_MAX + 1)]
    assert [len(one) for one in tried] == [1] * TRIES_MAX + [0]
    assert requester.has_failed
