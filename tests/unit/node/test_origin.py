"""Commands of a node's clients on their way into the log, exactly once."""

from itertools import pairwise
from math import inf

import msgspec
import pytest

from quorate.base.config import ClusterConfig, Limits, NodeSettings
from quorate.base.errors import InvariantError, OutcomeUnknownError, UnavailableError
from quorate.base.ids import Index, NodeId, Slot
from quorate.base.outcomes import Outcome
from quorate.node.origin import Origin

ME = NodeId("me")
SETTINGS = NodeSettings(
    cluster=ClusterConfig(batch_commands_max=3, batch_bytes_max=10, bundles_in_flight_max=2),
    limits=Limits(waiting_commands_max=4, waiting_bytes_max=100),
)
FAR = 1000.0


def origin(*commands: str, settings: NodeSettings = SETTINGS) -> Origin:
    made = Origin(ME, 7, settings)
    for command in commands:
        made.submit(command.encode(), command, FAR)
    return made


def outcomes(count: int) -> list[Outcome]:
    return [Outcome(Index(1), True)] * count


def test_sequences_run_from_one_without_a_gap() -> None:
    made = origin("aaaaa", "bbbbb", "ccccc", "ddddd")
    first, second = made.number(0.0), made.number(0.0)
    assert [(b.incarnation, b.sequence, b.count) for b in (first, second)] == [(7, 1, 2), (7, 2, 2)]
    assert not made.may_number(0.0), "two on the way are enough"


def test_urgent_commands_are_numbered_first() -> None:
    made = origin("a", "b")
    made.submit(b"u", "u", FAR, urgent=True)
    bundle = made.number(0.0)
    assert bundle.count == 3
    applied = made.on_applied(1, outcomes(3), Slot(1), 0)
    assert applied is not None
    assert applied.tickets == ["u", "a", "b"]


def test_a_command_larger_than_the_cap_stands_alone() -> None:
    made = origin("x" * 50, "a")
    assert [made.number(0.0).count, made.number(0.0).count] == [1, 1]


def test_a_numbered_bundle_is_never_withdrawn_only_its_clients_are_notified() -> None:
    made = origin()
    made.submit(b"a", "a", 1.0)
    bundle = made.number(0.0)
    (refused,) = made.expire(1.0)
    assert isinstance(refused.error, OutcomeUnknownError)
    assert refused.tickets == ["a"]
    assert made.expire(2.0) == []
    assert made.all_again(2.0) == [bundle]
    assert made.on_applied(1, outcomes(1), Slot(1), 0) is None


def test_what_has_no_number_is_refused_definitely_at_its_deadline() -> None:
    made = origin()
    made.submit(b"a", "a", 1.0)
    made.submit(b"b", "b", 2.0)
    made.submit(b"u", "u", 1.0, urgent=True)
    assert made.expire(0.5) == []
    (refused,) = made.expire(1.5)
    assert isinstance(refused.error, UnavailableError)
    assert sorted(refused.tickets) == ["a", "u"]
    assert made.number(1.5).count == 1


def test_a_client_that_shares_a_bundle_with_the_nodes_own_commands_is_notified_in_time() -> None:
    made = origin()
    made.submit(b"own", None, float("inf"), urgent=True)
    made.submit(b"a", "a", 1.0)
    made.number(0.0)
    (refused,) = made.expire(1.0)
    assert refused.tickets == ["a"]


def test_the_nodes_own_commands_are_answered_to_nobody() -> None:
    made = origin("a")
    made.submit(b"own", None, float("inf"), urgent=True)
    made.number(0.0)
    applied = made.on_applied(1, outcomes(2), Slot(1), 0)
    assert applied is not None
    assert applied.tickets == ["a"]


def test_bundles_are_applied_in_sequence_or_the_node_stops() -> None:
    made = origin("aaaaa", "bbbbb", "ccccc")
    made.number(0.0)
    made.number(0.0)
    with pytest.raises(InvariantError):
        made.on_applied(2, outcomes(1), Slot(1), 0)


def test_what_a_snapshot_counts_is_forgotten_and_its_outcome_unknown() -> None:
    made = origin("aaaaa", "bbbbb", "ccccc")
    made.number(0.0)
    last = made.number(0.0)
    assert made.on_jump(6, 9) == [], "that was an earlier incarnation"
    assert made.on_jump(7, 0) == []
    (refused,) = made.on_jump(7, 1)
    assert isinstance(refused.error, OutcomeUnknownError)
    assert refused.tickets == ["aaaaa", "bbbbb"]
    assert made.all_again(0.0) == [last]


def test_bundles_go_again_in_order_from_the_one_that_is_missing() -> None:
    made = origin("aaaaa", "bbbbb", "ccccc")
    first, second = made.number(0.0), made.number(0.0)
    assert made.all_again(0.0) == [first, second]
    assert made.from_sequence(7, 2, 0.0) == [second]
    assert made.from_sequence(8, 1, 0.0) == [first, second]
    assert made.from_sequence(6, 2, 0.0) == []


def test_bundles_go_again_after_a_time_that_grows() -> None:
    made = origin("a")
    bundle = made.number(0.0)
    resent = [now / 10 for now in range(200) if made.overdue(now / 10) == [bundle]]
    gaps = [round(b - a, 3) for a, b in pairwise(resent)]
    assert resent[0] == pytest.approx(0.3)
    assert all(later >= sooner - 0.11 for sooner, later in pairwise(gaps))
    assert gaps[-1] == pytest.approx(4.8, abs=0.11)
    assert Origin(ME, 1, SETTINGS).overdue(9.0) == []


def test_a_full_intake_refuses_but_not_what_is_urgent() -> None:
    made = origin("a", "b", "c", "d")
    with pytest.raises(UnavailableError) as refused:
        made.submit(b"e", "e", FAR)
    assert refused.value.code == "overloaded"
    made.submit(b"u", "u", FAR, urgent=True)
    assert made.waiting == 5
    narrow = msgspec.structs.replace(SETTINGS, limits=Limits(waiting_bytes_max=1))
    heavy = origin("xx", settings=narrow)
    with pytest.raises(UnavailableError):
        heavy.submit(b"e", "e", FAR)


def test_a_node_that_stops_tells_everyone_what_it_knows() -> None:
    made = origin("aaaaa", "bbbbb", "ccccc")
    made.number(0.0)
    unknown, definite = made.withdraw_all(UnavailableError("stopping", "bye"))
    assert isinstance(unknown.error, OutcomeUnknownError)
    assert unknown.tickets == ["aaaaa", "bbbbb"]
    assert definite.tickets == ["ccccc"]
    assert made.withdraw_all(UnavailableError("stopping", "bye")) == []


def busy(clients: int = 10) -> Origin:
    """An origin that had so many commands under way at once, and has none now."""
    made = Origin(ME, 7, NodeSettings(limits=Limits(gather_commands_min=2)))
    for number in range(clients):
        made.submit(b"a", number, FAR)
    made.number(0.0)
    made.on_applied(1, outcomes(clients), Slot(1), 0)
    return made


def test_a_command_waits_for_others_but_not_an_urgent_one_nor_what_comes_with_it() -> None:
    made = busy()
    made.submit(b"a", "a", FAR)
    assert not made.may_number(1.0)
    made.submit(b"u", "u", FAR, urgent=True)
    assert made.may_number(1.0)
    assert made.number(1.0).count == 2
    assert made.batch_delay.due_s == inf


def test_a_command_waits_for_no_others_if_half_a_batch_of_bytes_is_there() -> None:
    made = busy()
    made.submit(b"a" * (NodeSettings().cluster.batch_bytes_max // 2), "a", FAR)
    assert not made.may_number(1.0)
    made.submit(b"a", "b", FAR)
    assert made.may_number(1.0)


def test_commands_one_after_the_other_are_not_waited_for_together() -> None:
    made = Origin(ME, 7, NodeSettings())
    for number in range(1, 50):
        made.submit(b"a", number, FAR)
        assert made.may_number(1.0)
        made.number(1.0)
        made.on_applied(number, outcomes(1), Slot(number), 0)


def test_a_command_held_for_others_is_refused_at_its_deadline_and_nothing_is_due_then() -> None:
    made = busy()
    made.submit(b"a", "a", 1.0001)
    assert not made.may_number(1.0)
    (refused,) = made.expire(1.0001)
    assert isinstance(refused.error, UnavailableError)
    assert refused.tickets == ["a"]
    assert made.batch_delay.due_s == inf
    made.submit(b"b", "b", FAR)
    assert not made.may_number(2.0), "there may be more"
