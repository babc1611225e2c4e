"""Metrics: durations in buckets, and names for figures."""

from quorate.base.metrics import SECONDS, Histogram, counter, figures, gauge, histogram


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
            counter("turns_total", "Turns.").of(3),
            gauge("role", "Role.", "role").by_label({"leader": 1, "learner": 0}),
            histogram("apply_seconds", "Apply.").of(Histogram()),
        ]
    )
    assert shown == {"turns_total": 3, "role.leader": 1, "role.learner": 0}


def test_durations_that_are_noted_count_as_if_they_were_observed_one_by_one() -> None:
    values = [0.0, *SECONDS, *(bound * 1.01 for bound in SECONDS), 3.0, 3.0, 100.0]
    observed, noted = Histogram(), Histogram()
    for value in values:
        observed.observe(value)
        noted.note(value)
    noted.collect(len(values) + 1)
    assert noted.count == 0  # too few yet
    noted.collect()
    noted.collect()
    assert noted.counts == observed.counts
    assert round(noted.total_s, 9) == round(observed.total_s, 9)
