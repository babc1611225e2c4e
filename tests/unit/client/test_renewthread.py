"""The session renewal of the sync client, on a clock that moves only when a node is asked."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from quorate.base.errors import UnavailableError
from quorate.client import renewthread
from quorate.client.holding import SAFE, Held
from quorate.client.renewthread import Renewer
from tests.limits import HANG_S

TTL_S = 0.03


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class Script:
    """A lock whose renewals succeed and take `renewal_s`; looks do what the test says."""

    def __init__(self, clock: Clock, renewal_s: float, look: Callable[[float], str]) -> None:
        self.renewals = 0
        self._look = look
        self._clock = clock
        self._renewal_s = renewal_s

    def renew(self, deadline_s: float) -> bool:
        assert deadline_s > 0
        self.renewals += 1
        self._clock.now_s += self._renewal_s
        return True

    def read_key(self, deadline_s: float) -> str:
        return self._look(deadline_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(renewthread, "time", made)
    return made


def test_a_look_at_the_key_ends_before_the_renewed_session_may(clock: Clock) -> None:
    ends_s: SimpleQueue[float] = SimpleQueue()
    began_s = clock.now_s

    def look(deadline_s: float) -> str:
        ends_s.put(clock.now_s + deadline_s)
        return "enough"

    renewer = Renewer(Script(clock, TTL_S / 2, look), TTL_S, began_s)
    assert renewer.guard(Held("l", "s", 1), None)
    assert ends_s.get(timeout=HANG_S) <= began_s + TTL_S * SAFE
    renewer.stop()


def test_a_lock_whose_renewals_succeed_is_not_lost_because_a_look_fails(clock: Clock) -> None:
    looks = 0
    went_on = threading.Event()

    def look(_: float) -> str:
        nonlocal looks
        looks += 1
        if looks == 1:
            clock.now_s += TTL_S / 3  # the session would have ended by now if it was not renewed
            raise UnavailableError("unreachable", "no answer")
        went_on.set()
        return ""

    begun_s = clock.now_s - TTL_S * SAFE + TTL_S / 4
    reasons: list[str] = []
    renewer = Renewer(Script(clock, 0.0, look), TTL_S, begun_s)
    held = Held("l", "s", 1)
    assert renewer.guard(held, reasons.append)
    assert went_on.wait(HANG_S)
    renewer.stop()
    assert (held.is_lost, reasons) == (False, [])


def test_what_was_lost_before_it_was_held_is_not_held(clock: Clock) -> None:
    renewer = Renewer(Script(clock, 0.0, lambda _: ""), TTL_S, clock.now_s - TTL_S)
    while not renewer.why:
        threading.Event().wait(0.001)
    reasons: list[str] = []
    assert not renewer.guard(Held("l", "s", 1), reasons.append)
    assert reasons == []
    renewer.stop()
