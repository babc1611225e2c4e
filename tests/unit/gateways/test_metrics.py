"""Metrics over HTTP: both formats, what is counted, and that every name is there from the start."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

from quorate.gateways.http.routes import ROUTES
from tests.unit.gateways.desk import Desk

PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*")

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def series(desk: Desk, target: str = "/metrics") -> Series:
    """Every sample of an exposition by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(desk.ask("GET", target).text)
        for sample in family.samples
    }


def requests(desk: Desk, route: str, method: str, status: str) -> float:
    labels = (("method", method), ("route", route), ("status", status))
    return series(desk)["quorate_http_requests_total", labels]


def timed(desk: Desk, area: str) -> float:
    return series(desk)["quorate_http_request_seconds_count", (("area", area),)]


def test_prometheus_reads_counters_gauges_and_histograms() -> None:
    found = series(Desk(), "/v1/agent/metrics?format=prometheus")
    assert found["quorate_loop_turns_total", ()] == 3
    assert found["quorate_loop_lag_max_seconds", ()] == 0.25
    assert found["quorate_role", (("role", "leader"),)] == 1
    assert found["quorate_apply_seconds_bucket", (("le", "0.0005"),)] == 1
    assert found["quorate_apply_seconds_bucket", (("le", "0.00025"),)] == 0
    assert found["quorate_apply_seconds_bucket", (("le", "10.0"),)] == 1
    assert found["quorate_apply_seconds_bucket", (("le", "+Inf"),)] == 2
    assert found["quorate_apply_seconds_count", ()] == 2
    assert found["quorate_apply_seconds_sum", ()] == 60.0005


def test_metrics_has_the_text_format_at_its_usual_path() -> None:
    reply = Desk().ask("GET", "/metrics", b"", "Accept: application/json")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE quorate_loop_lag_max_seconds gauge" in reply.text


def test_the_process_and_the_build_are_told() -> None:
    names = {name for name, _ in series(Desk())}
    assert {
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "quorate_build_info",
    } <= names


def test_json_has_a_list_for_each_kind() -> None:
    body = json.loads(Desk().ask("GET", "/v1/agent/metrics").body)
    gauges = {gauge["Name"]: gauge["Value"] for gauge in body["Gauges"] if not gauge["Labels"]}
    assert gauges["quorate.loop_lag_max_seconds"] == 0.25
    assert (gauges["quorate.http_connections"], gauges["quorate.http_held_bytes"]) == (1, 0)
    turns = next(each for each in body["Counters"] if each["Name"] == "quorate.loop_turns")
    assert (turns["Count"], turns["Sum"], turns["Labels"]) == (3, 3, {})
    applied = next(each for each in body["Samples"] if each["Name"] == "quorate.apply_seconds")
    assert (applied["Count"], applied["Sum"], applied["Mean"]) == (2, 60.0005, 30.00025)
    assert body["Points"] == []


def test_requests_count_by_route_method_and_class_of_status() -> None:
    desk = Desk()
    desk.ask("PUT", "/v1/kv/a", b"1")
    desk.ask("PUT", "/v1/kv/a?cas=0", b"2")
    desk.ask("GET", "/v1/kv/a")
    desk.ask("GET", "/v1/kv/none")
    desk.ask("GET", "/v1/nowhere")
    desk.ask("PATCH", "/v1/kv/a")
    assert requests(desk, "/v1/kv/:key", "PUT", "2xx") == 2
    assert requests(desk, "/v1/kv/:key", "GET", "2xx") == 1
    assert requests(desk, "/v1/kv/:key", "GET", "4xx") == 1
    assert requests(desk, "other", "other", "4xx") == 2
    assert timed(desk, "kv") == 4


def test_a_query_that_waited_is_counted_and_not_timed() -> None:
    desk = Desk()
    desk.ask("PUT", "/v1/kv/a", b"1")
    index = desk.ask("GET", "/v1/kv/a").headers["X-Consul-Index"]
    before = timed(desk, "kv")
    desk.post("GET", f"/v1/kv/a?index={index}&wait=10m")
    assert desk.replies() == []
    desk.connect()  # the next request comes by another connection
    desk.ask("PUT", "/v1/kv/a", b"2")
    assert requests(desk, "/v1/kv/:key", "GET", "2xx") == 2
    assert timed(desk, "kv") == before + 1  # the PUT alone


def test_every_series_is_there_before_the_first_request() -> None:
    desk = Desk()
    before = set(series(desk))
    for route in ROUTES:
        if route.pattern == "/v1/snapshot":  # works in a thread
            continue
        for method in (*route.handlers, "TRACE"):
            desk.connect()
            desk.post(method, route.pattern.replace(":", "x"))
    desk.connect()
    assert set(series(desk)) == before


def test_names_and_help_texts_follow_the_conventions() -> None:
    text = Desk().ask("GET", "/metrics").text
    for family in text_string_to_metric_families(text):
        assert PLAIN_NAME.fullmatch(family.name), family.name
        assert family.documentation, family.name
        assert not family.name.endswith(("_ms", "_s", "_us", "_kb", "_mb", "_count")), family.name
