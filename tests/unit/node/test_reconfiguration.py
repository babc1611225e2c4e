"""Changes of members, from the wish to the answer."""

import msgspec

from quorate.base.batches import Configuration
from quorate.base.config import NodeSettings, local
from quorate.base.effects import Note
from quorate.base.ids import Slot
from quorate.base.messages import (
    ChangeAnswer,
    ChangeAsk,
    Heartbeat,
    HeartbeatAnswer,
    Identity,
    Join,
    Removed,
    Welcome,
)
from tests.unit.node.lone import CLUSTER, Lone, initial_members, member


def alone(settings: NodeSettings | None = None) -> Lone:
    """A cluster of one that serves, with links to two nodes that know it."""
    lone = Lone(0, is_alone=True, settings=settings)
    lone.wait(1)
    for number in (2, 3):
        lone.connect(number, lone.node.cluster_id)
    return lone


def responses(lone: Lone, to: int) -> list[tuple[int, str]]:
    return [(answer.number, answer.code) for answer in lone.said(ChangeAnswer, to=to)]


def ask(lone: Lone, number: int, verb: str, whom: int) -> list[tuple[int, str]]:
    """A peer asks; what it is answered within a while."""
    lone.said(ChangeAnswer)
    lone.receive(2, ChangeAsk(number, verb, member(whom)))
    lone.wait(0.5)
    return responses(lone, 2)


def test_a_change_is_answered_when_its_configuration_is_chosen() -> None:
    lone = alone()
    assert ask(lone, 5, "add", 2) == [(5, "")]
    slot, made = lone.node.group.machine.configurations[-1]
    assert made.learners == (member(2),)
    assert made.number == 2
    assert slot > Slot(0)


def test_a_change_made_before_is_a_success_when_asked_again() -> None:
    lone = alone()
    ask(lone, 5, "add", 2)
    assert ask(lone, 5, "add", 2) == [(5, "")]
    assert ask(lone, 6, "remove", 2) == [(6, "")]
    assert ask(lone, 6, "remove", 2) == [(6, "")]


def test_changes_that_cannot_be_are_refused_in_the_askers_own_words() -> None:
    lone = alone()
    ask(lone, 1, "add", 2)
    ask(lone, 2, "remove", 2)
    assert ask(lone, 3, "add", 2) == [(3, "precondition")]
    assert ask(lone, 4, "remove", 3) == [(4, "not_found")]
    assert ask(lone, 5, "remove", 1) == [(5, "bad_request")]
    assert ask(lone, 6, "shuffle", 1) == [(6, "unsupported")]
    assert ask(lone, 7, "transfer", 3) == [(7, "not_found")]
    assert ask(lone, 8, "transfer", 1) == [(8, "")]


def test_a_removed_node_neither_rejoins_nor_disturbs() -> None:
    lone = alone()
    lone.receive(2, Join(member(2)))
    lone.wait(0.3)
    assert [welcome.cluster_id for welcome in lone.said(Welcome, to=2)] == [lone.node.cluster_id]
    ask(lone, 1, "remove", 2)
    lone.said(Removed)
    lone.receive(2, Join(member(2)))
    lone.wait(0.5)
    effects = lone.said(Removed, to=2)
    assert [removed.number for removed in effects] == [3]
    assert member(2) not in lone.node.group.machine.configurations[-1][1].members
    assert lone.node.group.replica is not None
    assert lone.node.group.replica.is_serving


def learner(*, auto_promote: bool) -> Lone:
    """A cluster of one that n2 has joined as a learner, which has caught up."""
    lone = alone(msgspec.structs.replace(local(), auto_promote=auto_promote))
    lone.receive(2, Join(member(2)))
    lone.wait(0.3)
    assert newest(lone).learners == (member(2),)
    return lone


def newest(lone: Lone) -> Configuration:
    return lone.node.group.machine.configurations[-1][1]


def catch_up(lone: Lone, seconds: float) -> None:
    """n2 answers every heartbeat for so long, and knows everything."""
    for _ in range(round(seconds / 0.1)):
        lone.wait(0.1)
        replica = lone.node.group.replica
        assert replica is not None
        for beat in lone.said(Heartbeat, to=2):
            if beat.round:
                known = HeartbeatAnswer(beat.ballot, replica.watermark, beat.round, Slot(0), 0)
                lone.receive(2, known)


def test_a_node_that_turned_up_has_no_vote_until_somebody_says_so() -> None:
    lone = learner(auto_promote=False)
    catch_up(lone, 3.0)
    assert newest(lone).learners == (member(2),)
    lone.said(ChangeAnswer)
    lone.receive(2, ChangeAsk(9, "promote", member(2)))
    catch_up(lone, 0.5)
    assert newest(lone).voters == (member(1), member(2))


def test_a_learner_is_promoted_unasked_if_the_settings_say_so() -> None:
    lone = learner(auto_promote=True)
    catch_up(lone, 1.0)
    assert newest(lone).voters == (member(1), member(2))


def test_a_learner_that_has_not_caught_up_is_not_promoted_and_the_asker_is_notified_at_once() -> (
    None
):
    lone = learner(auto_promote=False)
    lone.said(ChangeAnswer)
    lone.receive(2, ChangeAsk(9, "promote", member(2)))
    (answer,) = lone.said(ChangeAnswer, to=2)
    assert (answer.number, answer.code) == (9, "precondition")
    assert answer.text.startswith("n2 has not caught up yet: ")
    lone.receive(2, ChangeAsk(10, "promote", member(7)))
    assert responses(lone, 2) == [(10, "not_found")]


def test_a_promotion_made_before_is_a_success_when_asked_again() -> None:
    lone = alone()
    assert ask(lone, 5, "promote", 1) == [(5, "")]


def test_a_learner_that_never_answered_is_not_promoted() -> None:
    lone = learner(auto_promote=True)
    lone.wait(3)
    assert (newest(lone).voters, newest(lone).learners) == ((member(1),), (member(2),))


def test_who_does_not_lead_says_so_and_the_asker_asks_on() -> None:
    lone = Lone()
    lone.receive(2, ChangeAsk(1, "add", member(4)))
    assert responses(lone, 2) == [(1, "not_leader")]
    lone.node.change("add", member(4), "t", lone.now_s + 1.0)
    lone.heartbeat(2)
    (first,) = lone.said(ChangeAsk, to=2)
    lone.receive(2, ChangeAnswer(first.number, "not_leader", ""))
    lone.heartbeat(2)
    lone.wait(0.6)
    (again,) = lone.said(ChangeAsk, to=2)
    assert again == first
    lone.receive(2, ChangeAnswer(first.number, "no_quorum", "too few"))
    assert lone.changed() == {"t": "no_quorum"}


def test_an_unanswered_change_ends_with_what_is_known_of_it() -> None:
    lone = Lone()
    lone.node.change("add", member(4), "unsent", lone.now_s + 0.1)
    lone.wait(0.2)
    assert lone.changed() == {"unsent": "no_quorum"}
    lone.effects.clear()
    lone.node.change("add", member(4), "sent", lone.now_s + 0.3)
    lone.heartbeat(2)
    lone.wait(0.4)
    assert lone.changed() == {"sent": "outcome_unknown"}


def test_a_node_is_added_only_when_its_directory_belongs_to_the_cluster() -> None:
    """Else one that is welcomed and then joins another cluster would stay a member on paper."""
    lone = alone()
    lone.connect(4, "")
    lone.receive(4, Join(member(4)))
    lone.wait(0.5)
    assert lone.said(Welcome, to=4) != []
    assert newest(lone).members == (member(1),)
    lone.receive(4, Identity(lone.node.cluster_id))
    lone.receive(4, Join(member(4)))
    lone.wait(0.5)
    assert newest(lone).learners == (member(4),)


# --- names (MEM-5) --------------------------------------------------------------------------------


def test_nobody_joins_under_the_name_of_a_member_that_is_alive() -> None:
    lone = alone()
    mine = member(1)
    namesake = msgspec.structs.replace(member(2), name=mine.name.upper())
    lone.receive(2, Join(namesake))
    lone.wait(0.3)
    (answer,) = lone.said(ChangeAnswer, to=2)
    assert (answer.number, answer.code) == (0, "already_exists")
    assert mine.id in answer.text
    assert newest(lone).member(namesake.id) is None

    lone.receive(2, Join(member(2)))
    lone.wait(0.3)
    assert newest(lone).learners == (member(2),)
    assert ask(lone, 7, "add", 2) == [(7, "")]


def test_the_name_of_a_member_that_is_silent_may_be_taken() -> None:
    """So a node whose directory was set aside, or lost, comes back under its name."""
    lone = alone()
    lone.receive(2, Join(member(2)))
    lone.wait(5.0)
    heir = msgspec.structs.replace(member(3), name=member(2).name)
    lone.receive(3, Join(heir))
    lone.wait(0.3)
    assert heir in newest(lone).learners


def test_who_is_not_let_in_says_why_once_and_in_its_status() -> None:
    lone = Lone(0)
    lone.connect(2)
    lone.wait(0.5)
    others = msgspec.structs.replace(initial_members(3), voters=(member(2), member(3)))
    lone.receive(2, Welcome(CLUSTER, others))
    for _ in range(3):
        lone.receive(2, ChangeAnswer(0, "already_exists", "the name n1 is taken"))
        lone.wait(0.2)
    (note,) = [note for note in lone.all(Note) if note.what == "join refused"]
    assert note.is_warning
    assert note.fields["why"] == "the name n1 is taken"
    reason = lone.node.status(lone.now_s).reason
    assert reason == f"not let into cluster {CLUSTER}: the name n1 is taken"
