"""What `benchmarks turns` reads from the histograms of a member."""

import pytest

from benchmarks.turns import longest_ms
from quorate.base.metrics import SECONDS, Histogram, histogram
from quorate.gateways.http.metrics import PREFIX, exposition

NAME = f"{PREFIX}_turn_seconds"


def page(*durations_s: float) -> str:
    durations = Histogram()
    for duration_s in durations_s:
        durations.observe(duration_s)
    return exposition([histogram("turn_seconds", "Turns.").of(durations)]).decode()


@pytest.mark.parametrize(
    ("before", "after", "longest"),
    [
        ((), (), 0.0),
        ((5.0,), (5.0,), 0.0),
        ((5.0,), (5.0, 0.003, 0.0001), 5.0),
        ((0.003,), (0.003, 0.3), 500.0),
        ((), (2 * SECONDS[-1],), float("inf")),
    ],
)
def test_the_longest_duration_meanwhile_is_that_of_the_highest_bucket_that_grew(
    before: tuple[float, ...], after: tuple[float, ...], longest: float
) -> None:
    assert longest_ms(NAME, page(*before), page(*after)) == longest
