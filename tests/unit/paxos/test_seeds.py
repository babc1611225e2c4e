"""Replicas under a hostile network, by seed: see `harness`. And faults that it must find."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from quorate.base.batches import NOOP
from quorate.base.chain import Chain
from quorate.base.effects import Effect, Persist, SendWhenDurable
from quorate.base.errors import InvariantError
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Accept, Prepare
from quorate.base.records import Vote
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.leadership import Leadership
from quorate.paxos.learner import Learner
from quorate.paxos.learning import Learning
from quorate.paxos.proposer import Phase1, Pipeline
from tests.unit.paxos.harness import World


def progress(world: World, seed: int) -> None:
    """With everything mended somebody serves, and all members come as far."""
    world.heal()
    world.run_calm(6)
    assert len(world.serving()) == 1, seed
    before = world.oracle.released
    world.serving()[0].propose()
    world.run_calm(0.5)
    members = world.oracle.membership.newest.members
    assert min(len(world.sites[one.id].tables) for one in members) > before, seed


@pytest.mark.parametrize("chunk", range(10))
def test_nothing_is_chosen_twice_and_healing_brings_progress(chunk: int) -> None:
    for seed in range(chunk * 20, chunk * 20 + 20):
        world = World(3 if seed % 3 else 5, seed)
        world.run(1000, faults=0.03)
        progress(world, seed)


@pytest.mark.parametrize("chunk", range(10))
def test_so_it_is_while_members_change(chunk: int) -> None:
    for seed in range(chunk * 20, chunk * 20 + 20):
        world = World(3 if seed % 3 else 2, seed, spare=3)
        world.run(1000, faults=0.03, change_every=20)
        progress(world, seed)


# --- planted faults ------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def forgetful_promise(patch: Patch) -> None:
    """M1: a promise is not written."""
    real = Acceptor.on_prepare

    def on_prepare(
        self: Acceptor,
        sender: NodeId,
        message: Prepare,
        chosen: Mapping[Slot, bytes],
        led: tuple[Ballot, Slot],
    ) -> list[Effect]:
        return [e for e in real(self, sender, message, chosen, led) if not isinstance(e, Persist)]

    patch.setattr(Acceptor, "on_prepare", on_prepare)


def own_vote_at_once(patch: Patch) -> None:
    """M3: the leader counts its own vote before it is durable."""
    real = Acceptor.on_accept

    def on_accept(self: Acceptor, sender: NodeId, message: Accept) -> list[Effect]:
        effects = real(self, sender, message)
        if message.ballot.node != sender:
            return effects
        return [e for e in effects if isinstance(e, SendWhenDurable)] + [
            e for e in effects if not isinstance(e, SendWhenDurable)
        ]

    patch.setattr(Acceptor, "on_accept", on_accept)


def any_vote_is_chosen(patch: Patch) -> None:
    """M10: a watermark makes votes of other ballots chosen."""

    def on_watermark(
        self: Learner, _: Ballot, watermark: Slot, votes: Mapping[Slot, Vote], reporter: NodeId
    ) -> None:
        self.note_remote_watermark(watermark, reporter)
        for slot, vote in votes.items():
            if self.watermark < slot <= watermark:
                self.choose(slot, vote.batch)

    patch.setattr(Learner, "on_watermark", on_watermark)


def own_value(patch: Patch) -> None:
    """M19: a noop is proposed over an accepted batch."""

    def batch_for(self: Phase1, slot: Slot) -> bytes:  # noqa: ARG001
        return NOOP

    patch.setattr(Phase1, "batch_for", batch_for)


def one_vote_is_enough(patch: Patch) -> None:
    """A quorum too small."""
    real = Pipeline.open

    def opened(self: Pipeline, *args: Any) -> Slot:
        slot = real(self, *args)
        self.in_flight[slot].need = 1
        return slot

    patch.setattr(Pipeline, "open", opened)


def change_at_once(patch: Patch) -> None:
    """M17: a configuration governs from its own slot on."""

    def governs_from(self: Chain, slot: Slot) -> Slot:  # noqa: ARG001
        return Slot(slot + 1)

    patch.setattr(Chain, "governs_from", governs_from)


def no_barrier(patch: Patch) -> None:
    """M9: a leader serves before its barrier is chosen."""

    def serves(self: Leadership, _: float) -> Sequence[Effect]:
        self.is_serving = True
        return []

    patch.setattr(Leadership, "_try_serving", serves)


def tables_outlive_the_power(patch: Patch) -> None:
    """LRN-6: what the tables hold is taken for durable after a restart."""

    def is_proven(self: Learner, after: Slot, upto: Slot) -> bool:  # noqa: ARG001
        return True

    patch.setattr(Learner, "is_proven", is_proven)


def old_claim_forgotten(patch: Patch) -> None:
    """LRN-4: a leader that stepped down stores no report of what its votes chose."""

    def keep_own_report(self: Learning, _: Ballot) -> list[Effect]:  # noqa: ARG001
        return []

    def log_ahead(self: Learning, _: Ballot) -> list[Effect]:  # noqa: ARG001
        return []

    patch.setattr(Learning, "keep_own_report", keep_own_report)
    patch.setattr(Learning, "log_ahead", log_ahead)


def search(*, replies_early: bool) -> None:
    """A few seconds of seeds; each plant falls within the first hundreds."""
    for seed in range(1500):
        world = World(3 if seed % 3 else 5, seed, spare=2, replies_early=replies_early)
        world.run(1000, faults=0.05, change_every=50)


@pytest.mark.parametrize(
    "plant",
    [
        forgetful_promise,
        own_vote_at_once,
        any_vote_is_chosen,
        own_value,
        one_vote_is_enough,
        change_at_once,
        no_barrier,
        tables_outlive_the_power,
        old_claim_forgotten,
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, InvariantError)):
        search(replies_early=False)


def test_a_reply_let_out_early_is_found() -> None:
    with pytest.raises((AssertionError, InvariantError)):
        search(replies_early=True)
