import pytest

from quorate.monitoring.definitions import SECOND_NS, CheckDefinition

S = SECOND_NS


@pytest.mark.parametrize(
    ("check", "kind", "fault"),
    [
        (CheckDefinition("a", "a"), "", "TTL must be > 0 for TTL checks"),
        (CheckDefinition("a", "a", ttl_ns=S), "ttl", ""),
        (CheckDefinition("a", "a", ttl_ns=S, interval_ns=S), "ttl",
         "Interval and TTL cannot both be specified"),
        (CheckDefinition("a", "a", http="http://x/"), "http",
         "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"),
        (CheckDefinition("a", "a", args=("sh",), interval_ns=S), "script", ""),
        (CheckDefinition("a", "a", docker="c", args=("sh",), interval_ns=S), "docker", ""),
        (CheckDefinition("a", "a", alias_service="b", ttl_ns=S), "alias",
         "TTL must be not be set for Alias checks"),
        (CheckDefinition("a", "a", alias_service="b"), "alias", ""),
        (CheckDefinition("a", "a", is_maintenance=True), "maintenance", ""),
        (CheckDefinition("a", "a", ttl_ns=S, output_bytes_max=-1), "ttl",
         "MaxOutputMaxSize must be positive"),
        (CheckDefinition("a", "a", ttl_ns=S, failures_before_warning=2), "ttl",
         "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"),
    ],
)  # fmt: skip
def test_a_definition_says_its_type_and_what_is_wrong(
    check: CheckDefinition, kind: str, fault: str
) -> None:
    assert (check.kind, check.fault()) == (kind, fault)


def test_short_intervals_are_raised_when_they_are_used() -> None:
    probed = CheckDefinition("a", "a", http="http://x/", interval_ns=10, deregister_after_ns=S)
    assert (probed.interval_ns, probed.interval_s, probed.ttl_s) == (10, 1.0, 0.0)
    assert probed.deregister_after_s == 60.0
