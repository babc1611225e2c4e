"""Endpoints and durations."""

import asyncio

import pytest

from quorate.base.errors import PeerError, RequestError, UnavailableError
from quorate.client import AsyncClient, Client, Reply, bodies, durations, endpoints
from quorate.client.endpoints import EndpointList
from quorate.client.replies import error_of
from quorate.client.requests import ClientRequest
from tests.unit.client import leaping


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1", "127.0.0.1", 8500),
        ("n1:80", "n1", 80),
        ("http://n1.example:8510/", "n1.example", 8510),
        ("[::1]:8510", "::1", 8510),
        (":8510", "127.0.0.1", 8510),
    ],
)
def test_an_endpoint_is_read(text: str, host: str, port: int) -> None:
    endpoint = endpoints.parse(text)
    assert (endpoint.host, endpoint.port) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":", "a b", "n1:0", "n1:99999", "http://n1/v1", "::1", "ftp://a", "8500", "u:p@n1:8500",
     "unix://", "n1:٣٣"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="no endpoint"):
        endpoints.parse(text)


def test_tls_is_not_supported_yet_and_says_so() -> None:
    with pytest.raises(RequestError, match="TLS") as caught:
        endpoints.parse("https://n1:8501")
    assert caught.value.code == "unsupported"


def test_a_unix_socket_is_read() -> None:
    endpoint = endpoints.parse("unix:///run/q.sock")
    assert (endpoint.path, endpoint.name) == ("/run/q.sock", "unix:///run/q.sock")


def test_the_ring_moves_once_however_many_complain() -> None:
    endpoint_list = EndpointList(["a", "b", "c"])
    first, second, third = endpoint_list.endpoints
    endpoint_list.leave(first)
    endpoint_list.leave(first)
    assert endpoint_list.current is second
    endpoint_list.leave(second)
    endpoint_list.leave(first)  # a late complaint about a node that was left long ago
    assert endpoint_list.current is third
    endpoint_list.leave(third)
    assert endpoint_list.current is first


def test_a_client_without_endpoint_or_time_is_refused() -> None:
    with pytest.raises(RequestError, match="at least one endpoint"):
        AsyncClient([])
    with pytest.raises(RequestError, match="above zero"):
        AsyncClient(deadline_s=0)


@pytest.mark.parametrize(
    ("duration_s", "text"), [(0, "0s"), (15, "15s"), (0.25, "250ms"), (86400, "86400s")]
)
def test_a_duration_is_spelt_and_read_back(duration_s: float, text: str) -> None:
    assert durations.spell(duration_s) == text
    assert durations.parse(text) == duration_s


def test_durations_of_others_are_read() -> None:
    assert durations.parse("1m30s") == 90.0
    assert durations.parse("1.5h") == 5400.0
    assert durations.parse("") == 0.0


@pytest.mark.parametrize("text", ["15", "s", "1x", "1m 30s", "-1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        durations.parse(text)


@pytest.mark.parametrize("duration_s", [-1.0, float("inf"), float("nan")])
def test_a_duration_out_of_range_is_refused(duration_s: float) -> None:
    with pytest.raises(RequestError):
        durations.spell(duration_s)


def test_a_host_name_that_is_none_is_reported_at_once_by_both_clients() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        async with AsyncClient("a..b") as client:
            with pytest.raises(UnavailableError, match="no name of a host"):
                await client.kv.get("k")
        assert loop.time() == begun_s

    leaping.run(work())
    with Client("a..b") as client, pytest.raises(UnavailableError, match="no name of a host"):
        client.kv.get("k")


@pytest.mark.parametrize("value", [b"9" * 21, b"9" * 5000, b"-1", b"1.5", b"", b"x"])
def test_a_header_that_is_no_number_of_64_bits_counts_as_absent(value: bytes) -> None:
    reply = Reply(429, {b"X-Consul-Index": value, b"Retry-After": value}, b"full")
    assert reply.index == 0
    error = error_of(reply, ClientRequest(b"GET /v1/kv/a HTTP/1.1\r\n"))
    assert isinstance(error, UnavailableError)
    assert error.retry_after_s == 0


def test_a_session_whose_ttl_is_none_is_a_fault_of_the_node() -> None:
    reply = Reply(200, {b"X-Consul-Index": b"1"}, b'[{"ID": "s", "TTL": "soon"}]')
    with pytest.raises(PeerError, match="TTL"):
        bodies.sessions(reply)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"a":' * 100_000])
def test_a_reply_in_another_form_is_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(PeerError, match="unknown form"):
        bodies.session_id(Reply(200, {}, body))
