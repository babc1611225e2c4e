"""A node's reads: question, point, applied."""

from quorate.base.effects import Refused
from quorate.base.ids import NodeId, Slot
from quorate.node.reads import FULL_HOLD_S, Reads

LEADER, OTHER = NodeId("leader"), NodeId("other")


def reads(incarnation: int = 1) -> Reads:
    return Reads(incarnation, resend_s=0.1)


def asked(made: Reads, ticket: str, now_s: float = 0.0) -> int:
    made.add(ticket, 100.0)
    question = made.request(LEADER, now_s)
    assert question is not None
    return question.number


def test_the_answer_to_a_request_of_an_earlier_incarnation_answers_nothing() -> None:
    """It may have waited at the leader while writes were acknowledged."""
    before = [asked(reads(1), f"r{n}") for n in range(5)][-1]
    made = reads(2)
    asked(made, "now")
    assert made.on_point(before, Slot(0), 0, Slot(9)) is None


def test_an_answer_serves_what_was_asked_in_that_question_or_before() -> None:
    made = reads()
    first = asked(made, "a")
    second = asked(made, "b", now_s=0.1)
    third = asked(made, "c", now_s=0.2)
    ready = made.on_point(second, Slot(3), 7, applied=Slot(3))
    assert ready is not None
    assert (ready.tickets, ready.slot, ready.log_time_ms) == (["a", "b"], 3, 7)
    assert made.on_point(first, Slot(3), 7, applied=Slot(3)) is None
    ready = made.on_point(third, Slot(3), 7, applied=Slot(3))
    assert ready is not None
    assert ready.tickets == ["c"]


def test_a_read_waits_until_its_point_is_applied() -> None:
    made = reads()
    number = asked(made, "a")
    assert made.on_point(number, Slot(5), 7, applied=Slot(4)) is None
    assert made.on_applied(Slot(4)) == []
    (ready,) = made.on_applied(Slot(5))
    assert ready.tickets == ["a"]
    assert made.on_applied(Slot(6)) == []


def test_what_arrives_meanwhile_rides_in_the_next_question() -> None:
    made = reads()
    number = asked(made, "a")
    made.add("b", 100.0)
    assert made.request(LEADER, 0.05) is None
    made.on_point(number, Slot(0), 0, Slot(0))
    assert made.request(LEADER, 0.05) is not None
    assert made.request(None, 9.0) is None


def test_an_unanswered_question_is_asked_anew_under_another_number() -> None:
    made = reads()
    first = asked(made, "a")
    again = made.request(LEADER, 0.1)
    assert again is not None
    assert again.number > first
    elsewhere = made.request(OTHER, 0.1)
    assert elsewhere is not None
    assert elsewhere.number > again.number


def test_reads_are_refused_at_their_deadline_wherever_they_wait() -> None:
    made = reads()
    made.add("pointed", 1.0)
    question = made.request(LEADER, 0.0)
    assert question is not None
    made.on_point(question.number, Slot(5), 0, applied=Slot(0))
    made.add("asked", 2.0)
    made.request(LEADER, 0.0)
    made.add("waiting", 3.0)
    made.add("later", 9.0)
    assert made.expire(0.5) == []
    refused = [one.tickets for now_s in (1.0, 2.0, 3.0, 4.0) for one in made.expire(now_s)]
    assert refused == [["pointed"], ["asked"], ["waiting"]]
    assert made.on_applied(Slot(5)) == []


def test_on_a_full_disk_a_read_learns_soon_why_it_is_not_answered() -> None:
    made = reads()
    number = asked(made, "pointed")
    made.on_point(number, Slot(5), 0, applied=Slot(0))
    made.add("no leader", 7.0)
    reported: list[tuple[float, Refused]] = []
    for now_s in (step / 10 for step in range(30)):
        made.expire_soon(now_s)
        reported += [(now_s, one) for one in made.expire(now_s, is_full=True)]
    ((reported_s, refused),) = reported
    assert reported_s == FULL_HOLD_S
    assert (refused.tickets, refused.error.code) == (["pointed"], "read_only")
    assert "disk is full" in refused.error.text
    (late,) = made.expire(7.0, is_full=True)
    assert (late.tickets, late.error.code) == (["no leader"], "no_quorum")


def test_a_read_whose_point_is_reached_in_time_is_answered_on_a_full_disk_too() -> None:
    made = reads()
    number = asked(made, "a")
    made.on_point(number, Slot(5), 7, applied=Slot(4))
    made.expire_soon(0.0)
    assert made.expire(FULL_HOLD_S - 0.1, is_full=True) == []
    assert [one.tickets for one in made.on_applied(Slot(5))] == [["a"]]


class Compared(float):
    """A deadline that counts how often it is compared."""

    count = 0

    def __lt__(self, other: float) -> bool:
        Compared.count += 1
        return float(self) < other

    def __gt__(self, other: float) -> bool:
        Compared.count += 1
        return float(self) > other


def test_while_a_disk_is_full_time_that_passes_costs_nothing_for_those_who_wait_already() -> None:
    made = reads()
    for _ in range(100):
        made.add("early", Compared(100.0))
    question = made.request(LEADER, 0.0)
    assert question is not None
    made.on_point(question.number, Slot(5), 0, applied=Slot(0))
    made.expire_soon(0.0)
    Compared.count = 0
    for step in range(5):
        number = asked(made, "later", now_s=0.1 * step)
        made.on_point(number, Slot(6 + step), 0, applied=Slot(0))
        made.expire_soon(0.1 * step)
        assert made.expire(0.1 * step, is_full=True) == []
    assert Compared.count == 0
    expired = [(now_s, made.expire(now_s, is_full=True)) for now_s in (1.0, 1.05, 1.4)]
    assert [[len(one.tickets) for one in refused] for _, refused in expired] == [[101], [], [4]]
