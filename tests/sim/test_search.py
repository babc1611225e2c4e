"""The second tier against brute force on tiny histories, and against known ones."""

import random
from itertools import permutations
from math import inf

import pytest

from quorate.sim.operations import Operation, OperationKind, OperationStatus
from quorate.sim.search import ABSENT, Call, calls_of, is_linearizable, until_quiescent


def brute(calls: list[Call]) -> bool:
    """Try every order of every subset that leaves out unknown calls only."""
    known = [call for call in calls if call.result is not None]
    unknown = [call for call in calls if call.result is None]
    for mask in range(1 << len(unknown)):
        some = known + [call for n, call in enumerate(unknown) if mask >> n & 1]
        if any(fits(order) for order in permutations(some)):
            return True
    return False


def fits(order: tuple[Call, ...]) -> bool:
    for place, call in enumerate(order):
        if any(later.ended < call.began for later in order[place + 1 :]):
            return False
    value, index = ABSENT
    for call in order:
        if call.verb == "get" and call.result is not None and call.result != (value, index):
            return False
        if call.verb == "cas":
            is_match = call.index_seen == index
            if call.result is not None and call.result[0] != is_match:
                return False
            if is_match:
                value, index = call.value, number(call)
        else:
            value, index = after(call, (value, index))
    return True


def after(call: Call, content: tuple[bytes | None, int]) -> tuple[bytes | None, int]:
    """What the key holds after a call that compares nothing."""
    if call.verb == "restore" and (call.result is None or call.result[0]):
        return call.value, call.index_seen
    if call.verb == "set":
        return call.value, number(call)
    return ABSENT if call.verb == "delete" else content


def number(call: Call) -> int:
    return int(call.result[1]) if call.result is not None else 0


def random_history(rng: random.Random, *, has_unknown: bool) -> list[Call]:
    """Calls with plausible results, not all of them right."""
    calls: list[Call] = []
    for place in range(rng.randrange(1, 6)):
        began = rng.randrange(12) + place / 100
        ended = began + rng.randrange(1, 8)
        verb = rng.choice(("set", "get", "get", "cas", "delete", "restore"))
        value = f"v{place}".encode()
        is_unknown = has_unknown and verb == "delete" and rng.random() < 0.5
        if verb == "get":
            seen = rng.choice((ABSENT, *((f"v{n}".encode(), n + 1) for n in range(4))))
            calls.append(Call(began, ended, "get", None, 0, seen))
        elif verb == "restore":
            old = rng.choice((ABSENT, (b"v0", 1), (b"v1", 2)))
            result = None if rng.random() < 0.3 and has_unknown else (rng.random() < 0.7, 0)
            calls.append(Call(began, ended if result else inf, "restore", *old, result))
        elif verb == "cas":
            done = (rng.random() < 0.6, place + 1)
            calls.append(Call(began, ended, "cas", value, rng.randrange(5), done))
        else:
            result = None if is_unknown else (True, place + 1)
            content = value if verb == "set" else None
            calls.append(Call(began, inf if is_unknown else ended, verb, content, 0, result))
    return calls


@pytest.mark.parametrize("seed", range(20))
def test_the_search_agrees_with_brute_force_on_tiny_histories(seed: int) -> None:
    rng = random.Random(seed)
    verdicts: set[bool] = set()
    for _ in range(60):
        calls = random_history(rng, has_unknown=seed % 2 == 0)
        verdict = is_linearizable(calls)
        assert verdict == brute(calls), calls
        verdicts.add(verdict)
    assert verdicts == {True, False}


def test_a_stale_read_is_found() -> None:
    one = Call(1, 2, "set", b"one", 0, (True, 1))
    two = Call(3, 4, "set", b"two", 0, (True, 2))

    assert not is_linearizable([one, two, Call(5, 6, "get", None, 0, (b"one", 1))])
    assert is_linearizable([one, two, Call(3, 6, "get", None, 0, (b"one", 1))])


def test_a_lost_update_is_found() -> None:
    base = Call(1, 2, "set", b"base", 0, (True, 1))
    one = Call(3, 6, "cas", b"one", 1, (True, 2))
    two = Call(3, 6, "cas", b"two", 1, (True, 3))

    assert not is_linearizable([base, one, two])


def test_a_write_of_unknown_outcome_may_have_happened_or_not() -> None:
    lost = Call(1, inf, "set", b"lost", 0, None)

    assert is_linearizable([lost, Call(5, 6, "get", None, 0, ABSENT)])
    assert is_linearizable([lost, Call(5, 6, "get", None, 0, (b"lost", 9))])
    seen_then_gone = [
        lost,
        Call(5, 6, "get", None, 0, (b"lost", 9)),
        Call(7, 8, "get", None, 0, ABSENT),
    ]
    assert not is_linearizable(seen_then_gone)


def test_reads_that_go_back_in_time_are_found() -> None:
    write = Call(1, 10, "set", b"one", 0, (True, 1))
    new, old = Call(2, 3, "get", None, 0, (b"one", 1)), Call(4, 5, "get", None, 0, ABSENT)

    assert not is_linearizable([write, new, old])


def test_a_blocking_read_of_what_a_host_has_promises_no_order() -> None:
    read = Operation(
        1, "c", "a", OperationKind.WATCH, 0.0, None, b"q1", end=OperationStatus.DONE, value=()
    )
    assert len(calls_of([read], b"q1")) == 1
    read.is_stale = True
    assert calls_of([read], b"q1") == []


def test_a_long_history_is_cut_where_nothing_is_under_way() -> None:
    calls = [Call(n, n + 0.5, "set", b"%d" % n, 0, (True, n)) for n in range(1, 20)]
    overlapping = [*calls, Call(9.2, 10.2, "get", None, 0, (b"10", 10))]

    assert len(until_quiescent(calls, 10)) == 9
    assert all(call.ended < 11 for call in until_quiescent(overlapping, 11))
    assert until_quiescent(calls, 50) == calls


def test_a_restore_puts_the_key_back_or_takes_it_away() -> None:
    one = Call(1, 2, "set", b"one", 0, (True, 7))
    back = Call(3, 4, "restore", b"old", 3, (True, 9))
    gone = Call(3, 4, "restore", None, 0, (True, 9))
    void = Call(3, 4, "restore", b"old", 3, (False, 9))
    lost = Call(3, inf, "restore", b"old", 3, None)
    old, new = Call(5, 6, "get", None, 0, (b"old", 3)), Call(5, 6, "get", None, 0, (b"one", 7))
    assert is_linearizable([one, back, old])
    assert not is_linearizable([one, back, new])
    assert is_linearizable([one, gone, Call(5, 6, "get", None, 0, ABSENT)])
    assert is_linearizable([one, void, new])
    assert not is_linearizable([one, void, old])
    assert is_linearizable([one, lost, old])
    assert is_linearizable([one, lost, new])
