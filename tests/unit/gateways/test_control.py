"""What clients may ask of the process over HTTP."""

from collections.abc import Callable

import pytest

from quorate.base import measured
from quorate.base.errors import QuorateError, RequestError, UnavailableError
from quorate.base.metrics import Metric
from quorate.gateways.http.process import Follower
from tests.unit.gateways.harness import GatewayHarness


class FakeFollower:
    def __init__(self, wake: Callable[[], None]) -> None:
        self.is_over = False
        self.wake = wake
        self.text = b""

    def take(self) -> bytes:
        text, self.text = self.text, b""
        return text

    def close(self) -> None:
        self.is_over = True

    def says(self, text: bytes) -> None:
        self.text += text
        self.wake()


class FakeProcess:
    def __init__(self) -> None:
        self.refusal: QuorateError | None = None
        self.reloads = 0
        self.followers: list[FakeFollower] = []
        self.asked: list[tuple[str, bool]] = []

    def reload(self) -> None:
        if isinstance(self.refusal, RequestError):
            raise self.refusal
        self.reloads += 1

    def metrics(self) -> list[Metric]:
        return [measured.DNS_CONNECTIONS_REFUSED_TOTAL.of(17)]

    def leave(self, done: Callable[[QuorateError | None], None]) -> None:
        done(self.refusal)

    def follow(self, level: str, wake: Callable[[], None], *, is_json: bool) -> Follower:
        if level == "loud":
            raise RequestError("bad_request", "Unknown log level: loud")
        self.asked.append((level, is_json))
        self.followers.append(FakeFollower(wake))
        return self.followers[-1]


@pytest.fixture
def process() -> FakeProcess:
    return FakeProcess()


@pytest.fixture
def harness(process: FakeProcess) -> GatewayHarness:
    harness = GatewayHarness()
    harness.context.process = process
    return harness


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/agent/reload"), ("PUT", "/v1/agent/leave"), ("GET", "/v1/agent/monitor")],
)
def test_a_gateway_without_a_process_says_so(method: str, path: str) -> None:
    assert GatewayHarness().ask(method, path).status == 500


def test_a_reload_is_done_or_refused_with_the_reason(
    harness: GatewayHarness, process: FakeProcess
) -> None:
    reply = harness.ask("PUT", "/v1/agent/reload")
    assert (reply.status, reply.body, process.reloads) == (200, b"", 1)
    process.refusal = RequestError("bad_request", "invalid config key x")
    reply = harness.ask("PUT", "/v1/agent/reload")
    assert (reply.status, reply.text) == (500, "invalid config key x")


def test_leaving_is_done_or_refused_with_the_reason(
    harness: GatewayHarness, process: FakeProcess
) -> None:
    assert harness.ask("PUT", "/v1/agent/leave").status == 200
    process.refusal = UnavailableError("too_few_nodes", "no majority")
    reply = harness.ask("PUT", "/v1/agent/leave")
    assert (reply.status, reply.text) == (500, "no majority")
    assert reply.headers["X-Quorate-Error"] == "too_few_nodes"


def test_the_log_comes_in_pieces_as_it_is_written(
    harness: GatewayHarness, process: FakeProcess
) -> None:
    harness.post("GET", "/v1/agent/monitor?loglevel=debug&logjson")
    assert process.asked == [("debug", True)]
    head = b"".join(harness.transport.written)
    assert head.endswith(b"Transfer-Encoding: chunked\r\n\r\n")
    harness.transport.written.clear()
    [follower] = process.followers
    follower.says(b"one\n")
    follower.says(b"two\nthree\n")
    assert b"".join(harness.transport.written) == b"4\r\none\n\r\na\r\ntwo\nthree\n\r\n"
    harness.transport.written.clear()
    follower.close()
    follower.says(b"")
    assert b"".join(harness.transport.written) == b"0\r\n\r\n"
    harness.transport.written.clear()
    assert harness.ask("GET", "/v1/status/leader").status == 200  # the connection goes on


def test_a_client_that_does_not_read_is_written_nothing_more(
    harness: GatewayHarness, process: FakeProcess
) -> None:
    harness.post("GET", "/v1/agent/monitor")
    [follower] = process.followers
    harness.transport.written.clear()
    harness.connection.pause_writing()
    follower.says(b"one\n")
    assert harness.transport.written == []
    harness.connection.resume_writing()
    assert b"".join(harness.transport.written) == b"4\r\none\n\r\n"


def test_a_client_that_went_is_followed_no_more(
    harness: GatewayHarness, process: FakeProcess
) -> None:
    harness.post("GET", "/v1/agent/monitor")
    harness.connection.connection_lost(None)
    [follower] = process.followers
    follower.says(b"one\n")
    assert follower.is_over


def test_an_unknown_level_is_refused(harness: GatewayHarness) -> None:
    reply = harness.ask("GET", "/v1/agent/monitor?loglevel=loud")
    assert (reply.status, reply.text) == (400, "Unknown log level: loud")


def test_another_configuration_is_used_from_the_next_request_on() -> None:
    harness = GatewayHarness()
    assert "X-A" not in harness.ask("GET", "/v1/status/leader").headers
    changed = harness.config.__class__(response_headers=(("X-A", "1"),))
    harness.context.reconfigure(changed)
    assert harness.ask("GET", "/v1/status/leader").headers["X-A"] == "1"


def test_what_else_is_in_the_process_is_among_the_metrics(harness: GatewayHarness) -> None:
    text = harness.ask("GET", "/metrics").text
    assert "quorate_dns_connections_refused_total 17.0" in text
