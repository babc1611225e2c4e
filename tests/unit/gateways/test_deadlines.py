"""The header by which a client says how long it waits."""

import pytest

from tests.unit.gateways.desk import Desk


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/v1/kv/a"),
        ("PUT", "/v1/kv/a?cas=0"),
        ("DELETE", "/v1/kv/a"),
        ("GET", "/v1/kv/a"),
        ("GET", "/v1/kv/a?recurse"),
        ("PUT", "/v1/session/create"),
    ],
)
def test_a_deadline_of_the_client_limits_how_long_a_request_is_held(
    method: str, target: str
) -> None:
    desk = Desk()
    desk.ask(method, target, b"{}", "X-Quorate-Deadline: 250ms")
    assert desk.local.deadlines == [0.25]


def test_without_a_deadline_the_node_decides() -> None:
    desk = Desk()
    desk.ask("PUT", "/v1/kv/a", b"1")
    desk.ask("GET", "/v1/kv/a")
    assert desk.local.deadlines == [None, None]


@pytest.mark.parametrize("value", ["", "3", "-1s", "0", "soon", "\xff"])
def test_what_is_no_deadline_is_refused_by_name(value: str) -> None:
    reply = Desk().ask("GET", "/v1/kv/a", b"", f"X-Quorate-Deadline: {value}")
    assert reply.status == 400
    assert "X-Quorate-Deadline" in reply.text
