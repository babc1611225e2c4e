"""Phi, by its definition and by the figures of the literature."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.monitoring.renewals import AccrualSettings, Renewals


def regular(settings: AccrualSettings, interval_s: float = 1.0, count: int = 200) -> Renewals:
    renewals = Renewals(settings, 0.0)
    for number in range(1, count + 1):
        renewals.renew(number * interval_s)
    return renewals


def fires_after_s(renewals: Renewals, phi: float) -> float:
    """Seconds after the last renewal at which phi is reached."""
    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if renewals.phi(renewals.last_s + middle) >= phi else (middle, high)
        )
    return high


@pytest.mark.parametrize(("phi", "after_s"), [(3.0, 2.31), (8.0, 2.52), (12.0, 2.63)])
def test_the_threshold_hardly_matters_beside_the_pause(phi: float, after_s: float) -> None:
    assert fires_after_s(regular(AccrualSettings()), phi) == pytest.approx(after_s, abs=0.01)


def test_akkas_defaults_suspect_after_4_5_seconds() -> None:
    renewals = regular(AccrualSettings(pause_s=3.0))
    assert fires_after_s(renewals, 8.0) == pytest.approx(4.52, abs=0.01)


@pytest.mark.parametrize("y", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_phi_is_the_logarithm_of_the_normal_tail(y: float) -> None:
    renewals = regular(AccrualSettings(pause_s=0.0))
    tail = 0.5 * math.erfc(y / math.sqrt(2))
    phi = renewals.phi(renewals.last_s + renewals.mean_s + y * renewals.deviation_s)
    assert phi == pytest.approx(-math.log10(tail), rel=0.02)


@given(
    intervals=st.lists(st.floats(0.01, 20), max_size=300),
    times=st.lists(st.floats(0, 1e6), min_size=2, max_size=2),
)
def test_phi_grows_with_time_and_is_always_a_number(
    intervals: list[float], times: list[float]
) -> None:
    renewals = Renewals(AccrualSettings(), 0.0)
    now_s = 0.0
    for interval_s in intervals:
        now_s += interval_s
        renewals.renew(now_s)
    earlier, later = (renewals.phi(now_s + each) for each in sorted(times))
    assert 0 <= earlier <= later < math.inf


@given(st.lists(st.floats(0.01, 20), min_size=150, max_size=300))
def test_mean_and_deviation_are_those_of_the_last_100(intervals: list[float]) -> None:
    renewals = Renewals(AccrualSettings(deviation_s_min=0.0), 0.0)
    now_s, kept = 0.0, list[float]()
    for interval_s in intervals:
        now_s += interval_s
        renewals.renew(now_s)
        kept.append(interval_s)
    kept = kept[-100:]
    mean_s = sum(kept) / 100
    deviation_s = math.sqrt(sum((each - mean_s) ** 2 for each in kept) / 100)
    assert renewals.mean_s == pytest.approx(mean_s, rel=1e-6)
    assert renewals.deviation_s == pytest.approx(deviation_s, rel=1e-3, abs=1e-3)


def test_jitter_makes_it_wait_longer() -> None:
    rng = random.Random(1)
    jittery = Renewals(AccrualSettings(), 0.0)
    for number in range(1, 200):
        jittery.renew(number + rng.uniform(-0.4, 0.4))
    assert fires_after_s(jittery, 3.0) > fires_after_s(regular(AccrualSettings()), 3.0) + 0.5


def test_renewals_that_come_together_or_back_in_time_count_once() -> None:
    renewals = regular(AccrualSettings())
    mean_s = renewals.mean_s
    for late_s in (0.0, 1.0, 5.0):
        renewals.renew(renewals.last_s - late_s)
    assert (renewals.mean_s, renewals.last_s) == (mean_s, 200.0)


def test_a_restart_forgets_what_was_before() -> None:
    renewals = regular(AccrualSettings(), 5.0)
    renewals.restart(2000.0)
    assert (renewals.mean_s, renewals.last_s) == (1.0, 2000.0)
    assert renewals.phi(2000.5) < 0.1
