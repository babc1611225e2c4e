"""The transports for httpx: which instance, what is tried again, and what counts."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest

from quorate.client import AsyncClient, Client
from quorate.client.httpxtransport import AsyncBalancedTransport, BalancedTransport
from tests.unit.client.fakes import nodes, nodes_in_thread
from tests.unit.client.test_choosing import Registry, row

Handler = Callable[[httpx.Request], httpx.Response]


def registry(*names: str) -> Registry:
    made = Registry()
    made.rows = [row(name, 80, address=name) for name in names]
    return made


class Instances:
    """What the instances do, by their address."""

    def __init__(self, **handlers: Handler) -> None:
        self._handlers = handlers
        self.tried: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.tried.append(request.url.host)
        return self._handlers[request.url.host](request)


def fine(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=f"{request.url.host} {request.headers['host']}")


def refuses(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def breaks(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("reset", request=request)


def busy(_: httpx.Request) -> httpx.Response:
    return httpx.Response(503)


def sent(
    instances: Instances, *requests: tuple[str, str], strategy: str = "round_robin"
) -> list[httpx.Response | httpx.TransportError]:
    """What becomes of requests, by the sync client and by the async one alike."""
    names = sorted(vars(instances)["_handlers"])
    with nodes_in_thread(registry(*names)) as [node], Client(node.address) as client:
        transport = BalancedTransport(
            client.choose("web", strategy=strategy), httpx.MockTransport(instances)
        )
        found: list[httpx.Response | httpx.TransportError] = []
        with httpx.Client(mounts={"http://web": transport}) as http:
            for method, url in requests:
                try:
                    found.append(http.request(method, url))
                except httpx.TransportError as error:
                    found.append(error)
    tried, instances.tried = instances.tried, []
    assert asyncio.run(sent_async(instances, names, strategy, *requests)) == [
        describe(each) for each in found
    ]
    assert instances.tried == tried
    return found


async def sent_async(
    instances: Instances, names: list[str], strategy: str, *requests: tuple[str, str]
) -> list[str]:
    found: list[str] = []
    async with nodes(registry(*names)) as [node], AsyncClient(node.address) as client:
        transport = AsyncBalancedTransport(
            client.choose("web", strategy=strategy), httpx.MockTransport(instances)
        )
        async with httpx.AsyncClient(mounts={"http://web": transport}) as http:
            for method, url in requests:
                try:
                    found.append(describe(await http.request(method, url)))
                except httpx.TransportError as error:
                    found.append(describe(error))
    return found


def describe(outcome: httpx.Response | httpx.TransportError) -> str:
    if isinstance(outcome, httpx.Response):
        return f"{outcome.status_code} {outcome.text}"
    return repr(outcome)


GET = ("GET", "http://web/page")
POST = ("POST", "http://web/page")


def test_requests_are_spread_and_keep_their_host() -> None:
    found = sent(Instances(a=fine, b=fine), GET, GET, POST, POST)
    assert Counter(map(describe, found)) == {"200 a web": 2, "200 b web": 2}


@pytest.mark.parametrize("request_", [GET, POST])
def test_what_could_not_connect_is_tried_elsewhere(request_: tuple[str, str]) -> None:
    instances = Instances(a=refuses, b=fine)
    assert describe(sent(instances, request_)[0]) == "200 b web"
    assert instances.tried == ["a", "b"]


@pytest.mark.parametrize("failing", [breaks, busy])
def test_only_safe_methods_are_tried_again_after_they_were_sent(failing: Handler) -> None:
    assert describe(sent(Instances(a=failing, b=fine), GET)[0]) == "200 b web"
    instances = Instances(a=failing, b=fine)
    (outcome,) = sent(instances, POST)
    assert describe(outcome) in {"503 ", "ReadError('reset')"}
    assert instances.tried == ["a"]


def test_after_three_tries_the_last_failure_is_the_answer() -> None:
    instances = Instances(a=refuses, b=busy, c=breaks, d=fine)
    assert describe(sent(instances, GET)[0]) == "ReadError('reset')"
    assert instances.tried == ["a", "b", "c"]
    instances = Instances(a=busy)
    assert describe(sent(instances, GET)[0]) == "503 "


def test_without_an_instance_it_cannot_connect() -> None:
    (outcome,) = sent(Instances(), GET)
    assert isinstance(outcome, httpx.ConnectError)
    assert "0 are healthy" in str(outcome)


def test_what_fails_is_ejected() -> None:
    instances = Instances(a=fine, b=refuses, c=fine)
    found = sent(instances, *[GET] * 60)
    assert {each.status_code for each in found if isinstance(each, httpx.Response)} == {200}
    assert instances.tried.count("b") == 5


def test_what_is_the_callers_failure_counts_against_nobody() -> None:
    def full(request: httpx.Request) -> httpx.Response:
        raise httpx.PoolTimeout("full", request=request)

    instances = Instances(a=full, b=fine, c=fine)
    found = sent(instances, *[GET] * 30)
    assert instances.tried.count("a") == 10  # neither tried elsewhere nor ejected
    assert sum(isinstance(each, httpx.PoolTimeout) for each in found) == 10


def test_a_request_is_in_flight_until_its_response_is_closed() -> None:
    def slow(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=pieces())

    def pieces() -> Iterator[bytes]:
        yield b"1"
        yield b"2"

    with nodes_in_thread(registry("a", "b")) as [node], Client(node.address) as client:
        instances = Instances(a=slow, b=slow)
        web = client.choose("web", strategy="least_outstanding")
        transport = BalancedTransport(web, httpx.MockTransport(instances))
        with (
            httpx.Client(mounts={"http://web": transport}) as http,
            http.stream("GET", "http://web/") as first,
            http.stream("GET", "http://web/") as second,
        ):
            assert sorted(instances.tried) == ["a", "b"]
            assert (first.read(), second.read()) == (b"12", b"12")
