"""Metrics: durations in buckets, and names for figures."""

from quorate.base.metrics import SECONDS, Histogram, Kind, by_label, counter, figures, histogram


def test_a_duration_counts_in_the_first_bucket_that_holds_it() -> None:
    durations = Histogram()
    for bound in SECONDS:
        durations.observe(bound)
    assert durations.counts == [1] * len(SECONDS) + [0]


def test_what_is_longer_than_every_bound_has_a_bucket_of_its_own() -> None:
    durations = Histogram()
    durations.observe(SECONDS[-1] * 2)
    assert durations.counts[-1] == durations.count == 1
    assert durations.total_s == SECONDS[-1] * 2


def test_a_duration_of_nothing_counts_in_the_first_bucket() -> None:
    durations = Histogram()
    durations.observe(0.0)
    assert durations.counts[0] == 1


def test_figures_have_the_names_of_metrics_and_labels_and_no_histograms() -> None:
    shown = figures(
        [
            counter("turns_total", "Turns.", 3),
            by_label(Kind.GAUGE, "role", "Role.", "role", {"leader": 1, "learner": 0}),
            histogram("apply_seconds", "Apply.", Histogram()),
        ]
    )
    assert shown == {"turns_total": 3, "role.leader": 1, "role.learner": 0}
