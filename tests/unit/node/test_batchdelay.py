"""Batch delay: what waits for more commands, and for how long."""

from math import inf

from quorate.node.batchdelay import BASE_S, EACH_S, LONGEST_S, BatchDelay

FEW, MOST = 8, 512


def busy(clients: int, most: int = MOST) -> BatchDelay:
    """As after a bundle of so many commands was applied."""
    batch_delay = BatchDelay(FEW, most)
    batch_delay.on_left(clients, 0.0)
    batch_delay.on_arrived(clients)
    return batch_delay


def test_a_few_clients_never_wait() -> None:
    batch_delay = busy(FEW - 1)
    assert batch_delay.may_leave(1, 0.0)
    assert batch_delay.due_s == inf


def test_what_comes_first_waits_for_nearly_all_others() -> None:
    batch_delay = busy(100)
    assert not batch_delay.may_leave(1, 1.0)
    assert not batch_delay.may_leave(80, 1.0005)
    assert batch_delay.may_leave(95, 1.001)
    batch_delay.on_left(95, 1.001)
    assert batch_delay.due_s == inf


def test_nothing_waits_longer_than_others_would_take() -> None:
    batch_delay = busy(20)
    assert not batch_delay.may_leave(1, 1.0)
    due_s = batch_delay.due_s
    assert due_s == 1.0 + (BASE_S + 20 * EACH_S)
    assert not batch_delay.may_leave(2, due_s - 0.0001)
    assert batch_delay.due_s == due_s  # what came later does not put it off
    assert batch_delay.may_leave(2, due_s)
    many = busy(1000)
    assert not many.may_leave(1, 1.0)
    assert many.due_s == 1.0 + LONGEST_S


def test_more_than_a_bundle_holds_is_not_waited_for() -> None:
    batch_delay = busy(100, most=10)
    assert batch_delay.may_leave(10, 0.0)


def test_waiting_in_vain_is_tried_ever_more_rarely() -> None:
    batch_delay = busy(100)
    now_s, waits = 1.0, list[bool]()
    for _ in range(200):
        batch_delay.on_left(100, now_s)  # as many as ever are under way
        batch_delay.on_arrived(100)
        waits.append(not batch_delay.may_leave(1, now_s))
        now_s += LONGEST_S if waits[-1] else 0.0
        batch_delay.on_left(1, now_s)
        batch_delay.on_arrived(1)
    assert waits[0]
    assert sum(waits[:20]) > sum(waits[100:120])
    assert sum(waits) < 12


def test_a_bundle_that_came_is_waited_for_again() -> None:
    batch_delay = busy(100)
    for turn in range(20):
        now_s = float(turn)
        assert not batch_delay.may_leave(1, now_s)
        assert batch_delay.may_leave(100, now_s + 0.001)
        batch_delay.on_left(100, now_s + 0.001)
        batch_delay.on_arrived(100)


def test_clients_that_went_are_forgotten_soon() -> None:
    batch_delay = busy(1000)
    bundles = 0
    while not batch_delay.may_leave(1, 0.0) and bundles < 1000:
        batch_delay.on_left(1, 0.0)
        batch_delay.on_arrived(1)
        bundles += 1
    assert bundles < 60


def test_leaving_early_with_a_batch_that_leaves_anyway_counts_as_nothing() -> None:
    batch_delay = busy(100)
    assert not batch_delay.may_leave(1, 1.0)
    batch_delay.on_left(1, 1.0)
    batch_delay.on_arrived(1)
    assert not batch_delay.may_leave(1, 1.0)
