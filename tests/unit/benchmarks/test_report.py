"""Results can be found again, and say what they were taken on."""

import datetime as dt
import json
from pathlib import Path

import pytest

from benchmarks import load, processes, profiles, report
from benchmarks.__main__ import parsed, planned
from benchmarks.goals import Figures, judged
from benchmarks.measure import attributed, summary


def test_a_result_is_called_after_day_and_commit() -> None:
    day = dt.date(2026, 11, 24)
    assert report.name_of(day, "abc1234", "") == "2026-11-24-abc1234"
    assert report.name_of(day, "abc1234", "quick") == "2026-11-24-abc1234-quick"


def test_a_result_holds_every_run_its_medians_and_the_goals() -> None:
    runs = [attributed(load.Load(100, 1.0, 1.0, 2.0, 3.0, 0), 0, [0.0] * 3, [0.01] * 3)]
    figures = {"quorate": Figures({"put-64-leader": summary(runs)})}
    content = report.document(
        {"commit": "abc"},
        {"quorate": {"put-64-leader": runs}},
        figures,
        judged(figures["quorate"], Figures({})),
    )
    read = json.loads(json.dumps(content))
    quorate = read["results"]["quorate"]
    assert quorate["workloads"]["put-64-leader"]["per_s"] == 100.0
    assert quorate["runs"]["put-64-leader"][0]["load"]["p99_ms"] == 2.0
    assert {each["verdict"] for each in read["goals"]} == {"not measured"}


def test_the_machine_is_described(tmp_path: Path) -> None:
    about = report.machine(tmp_path)
    assert about["cores"] >= 1
    assert about["libraries"]["msgspec"]


def test_cpu_time_and_memory_of_a_process_are_read() -> None:
    pid = 1  # there is always one of that number
    assert processes.usage(pid).cpu_s >= 0
    assert processes.rss_mib(pid) > 0


def test_a_pool_is_written_with_lengths(tmp_path: Path) -> None:
    file = tmp_path / "pool"
    load.write_pool(file, [b"GET /\r\n\r\n", b"x"])
    assert file.read_bytes() == b"9\nGET /\r\n\r\n1\nx"


def test_quantiles_are_values_that_were_seen() -> None:
    assert load.quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert load.quantile([1.0, 2.0, 3.0, 4.0], 0.99) == 4.0
    assert load.quantile([], 0.5) == 0.0


def test_a_profile_is_summed_up_by_python_function_without_lines_and_waiting_threads() -> None:
    found = profiles.shares(
        [
            "thread: main;turn (a.py:1);apply (b.py:7);memcpy (libc.so.6) 6",
            "thread: main;turn (a.py:2);write (libc.so.6) 3",
            "thread: main;turn (a.py:3) 1",
            "thread: wal;run (wal.py:9);_queue_SimpleQueue_get (x.h:1);futex (libc.so.6) 90",
            "thread: main;run (loop.py:1);epoll_pwait (libc.so.6) 90",
            "not a stack",
        ]
    )
    assert found.samples == 10
    assert found.own == {"apply (b.py)": 0.6, "write": 0.3, "turn (a.py)": 0.1}
    assert found.whole == {"turn (a.py)": 1.0, "apply (b.py)": 0.6}


def test_quick_means_one_short_round() -> None:
    plan = planned(parsed(["--quick"]))
    assert (plan.seconds, plan.kills, plan.client_rounds) == (2.0, 1, 1)
    assert len(plan.workloads) == 12


@pytest.mark.parametrize(
    ("pattern", "workloads", "with_client", "kills"),
    [("put-64-*", 4, False, 0), ("fail-over", 0, False, 3), ("client-64", 0, True, 0)],
)
def test_only_what_is_wanted_is_measured(
    pattern: str, workloads: int, with_client: bool, kills: int
) -> None:
    plan = planned(parsed(["--only", pattern]))
    assert (len(plan.workloads), plan.with_client, plan.kills) == (workloads, with_client, kills)
