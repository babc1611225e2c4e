"""Metrics over HTTP: both formats, what is counted, and that every name is there from the start."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

from quorate.gateways.http.routes import ROUTES
from tests.unit.gateways.harness import GatewayHarness

PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*")

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def series(harness: GatewayHarness, target: str = "/metrics") -> Series:
    """Every sample of an exposition by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(harness.ask("GET", target).text)
        for sample in family.samples
    }


def requests(harness: GatewayHarness, route: str, method: str, status: str) -> float:
    labels = (("method", method), ("route", route), ("status", status))
    return series(harness)["quorate_http_requests_total", labels]


def timed(harness: GatewayHarness, area: str) -> float:
    return series(harness)["quorate_http_request_seconds_count", (("area", area),)]


def test_prometheus_reads_counters_gauges_and_histograms() -> None:
    found = series(GatewayHarness(), "/v1/agent/metrics?format=prometheus")
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
    reply = GatewayHarness().ask("GET", "/metrics", b"", "Accept: application/json")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE quorate_loop_lag_max_seconds gauge" in reply.text


def test_the_process_and_the_build_are_reported() -> None:
    names = {name for name, _ in series(GatewayHarness())}
    assert {
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "quorate_build_info",
    } <= names


def test_json_has_a_list_for_each_kind() -> None:
    body = json.loads(GatewayHarness().ask("GET", "/v1/agent/metrics").body)
    gauges = {gauge["Name"]: gauge["Value"] for gauge in body["Gauges"] if not gauge["Labels"]}
    assert gauges["quorate.loop_lag_max_seconds"] == 0.25
    assert (gauges["quorate.http_connections"], gauges["quorate.http_held_bytes"]) == (1, 0)
    turns = next(each for each in body["Counters"] if each["Name"] == "quorate.loop_turns")
    assert (turns["Count"], turns["Sum"], turns["Labels"]) == (3, 3, {})
    applied = next(each for each in body["Samples"] if each["Name"] == "quorate.apply_seconds")
    assert (applied["Count"], applied["Sum"], applied["Mean"]) == (2, 60.0005, 30.00025)
    assert body["Points"] == []


def test_every_value_in_json_is_a_number_for_clients_that_insist() -> None:
    body = json.loads(GatewayHarness().ask("GET", "/v1/agent/metrics").body)
    values = {each["Name"]: each["Value"] for each in body["Gauges"]}
    assert values["quorate.is_leader"] == 1
    assert {name for name, value in values.items() if type(value) not in {int, float}} == set()


def test_requests_count_by_route_method_and_class_of_status() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/a", b"1")
    harness.ask("PUT", "/v1/kv/a?cas=0", b"2")
    harness.ask("GET", "/v1/kv/a")
    harness.ask("GET", "/v1/kv/none")
    harness.ask("GET", "/v1/nowhere")
    harness.ask("PATCH", "/v1/kv/a")
    assert requests(harness, "/v1/kv/:key", "PUT", "2xx") == 2
    assert requests(harness, "/v1/kv/:key", "GET", "2xx") == 1
    assert requests(harness, "/v1/kv/:key", "GET", "4xx") == 1
    assert requests(harness, "other", "other", "4xx") == 2
    assert timed(harness, "kv") == 4


def test_a_query_that_waited_is_counted_and_not_timed() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/a", b"1")
    index = harness.ask("GET", "/v1/kv/a").headers["X-Consul-Index"]
    before = timed(harness, "kv")
    harness.post("GET", f"/v1/kv/a?index={index}&wait=10m")
    assert harness.replies() == []
    harness.connect()  # the next request comes by another connection
    harness.ask("PUT", "/v1/kv/a", b"2")
    assert requests(harness, "/v1/kv/:key", "GET", "2xx") == 2
    assert timed(harness, "kv") == before + 1  # the PUT alone


def test_every_series_is_there_before_the_first_request() -> None:
    harness = GatewayHarness()
    before = set(series(harness))
    for route in ROUTES:
        if route.pattern == "/v1/snapshot":  # works in a thread
            continue
        for method in (*route.handlers, "TRACE"):
            harness.connect()
            harness.post(method, route.pattern.replace(":", "x"))
    harness.connect()
    assert set(series(harness)) == before


def test_names_and_help_texts_follow_the_conventions() -> None:
    text = GatewayHarness().ask("GET", "/metrics").text
    for family in text_string_to_metric_families(text):
        assert PLAIN_NAME.fullmatch(family.name), family.name
        assert family.documentation, family.name
        assert not family.name.endswith(("_ms", "_s", "_us", "_kb", "_mb", "_count")), family.name
