"""`Consul`: registering with a load, distributing, monitoring."""

import asyncio
import json
import pickle
from typing import Any

import pytest

from quorate import Consul, RequestError, UnavailableError
from quorate.client import AsyncConsul, InstanceState, LoadReport, ServiceChange, ServiceInstance
from quorate.client.changes import changes
from quorate.client.loads import LOAD_META, load_in, load_report, load_text
from tests.unit.client.fakes import Answer, Seen, nodes, nodes_in_thread, refusal, reply
from tests.unit.client.leaping import run
from tests.unit.client.test_choosing import Registry, row

OK = reply(200)


class FakeAgent:
    """Notes what is asked of it; knows what was registered."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    def __call__(self, seen: Seen) -> Answer:
        verb, _, name = seen.path.removeprefix("/v1/agent/").rpartition("/")
        self.asked.append(f"{verb}/{name}")
        if name == "register":
            body = json.loads(seen.body)
            self.services[body["ID"]] = body
            return OK
        service = name.removeprefix("service:")
        if service not in self.services:
            return refusal(404, "not_found", "Unknown")
        if verb == "service/deregister":
            del self.services[service]
        return OK


def test_an_instance_is_registered_with_its_load_and_reports_it_until_it_ends() -> None:
    async def work() -> None:
        agent = FakeAgent()
        async with nodes(agent) as [node], AsyncConsul(node.address) as consul:
            made = await consul.register("web", port=80, tags=("a",), meta={"k": "v"}, load=0.25)
            assert made.id == "web-80"
            assert repr(made) == "<AsyncRegistration of 'web-80'>"
            found = agent.services["web-80"]
            assert found["Meta"] == {"k": "v", LOAD_META: '{"cpu":0.25}'}
            assert found["Check"]["TTL"] == "15s"
            agent.asked.clear()
            await made.report(0.25)
            await made.report()
            assert agent.asked == ["check/pass/service:web-80"] * 2  # no write to the log
            await made.report(LoadReport(cpu=0.5, custom={"gpu": 1.0}))
            assert agent.asked[2:] == ["service/register", "check/pass/service:web-80"]
            assert load_in(agent.services["web-80"]["Meta"]) == LoadReport(
                cpu=0.5, custom={"gpu": 1.0}
            )
            agent.services.clear()  # as another agent
            await made.report()
            assert set(agent.services) == {"web-80"}
            async with made:
                pass
            assert agent.services == {}
            await made.deregister()  # once more is no error

    run(work())


def test_a_load_that_could_not_be_sent_is_sent_with_the_next_report() -> None:
    async def work() -> None:
        agent = FakeAgent()
        async with nodes(agent) as [node], AsyncConsul(node.address) as consul:
            made = await consul.register("web")
            node.script = lambda _: refusal(400, "bad_request", "no")
            with pytest.raises(RequestError):
                await made.report(0.5)
            node.script = agent
            await made.report()
            assert load_in(agent.services["web"]["Meta"]) == LoadReport(cpu=0.5)

    run(work())


@pytest.mark.parametrize(
    ("load", "error"),
    [
        ("high", TypeError), (True, TypeError), (-1, RequestError), (float("nan"), RequestError),
        (LoadReport(custom={"a": float("inf")}), RequestError),
    ],
)  # fmt: skip
def test_what_is_no_load_is_refused(load: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        load_report(load)


def test_a_load_that_is_too_long_or_cannot_be_read_is_none() -> None:
    with pytest.raises(RequestError):
        load_text(LoadReport(custom={f"term-{number}": 1.0 for number in range(99)}))
    for text in ("{", '{"cpu":"x"}', '{"cpu":-1}', "[]"):
        assert load_in({LOAD_META: text}) is None
    assert load_in({}) is None
    whole = LoadReport(0.1, 0.2, 3, 0.4, 5.0, 6.0, 0.7, {"a": 0.8})
    assert load_in({LOAD_META: load_text(whole)}) == whole


def loaded(name: str, cpu: float) -> dict[str, object]:
    found: dict[str, Any] = row(name)
    found["Service"]["Meta"][LOAD_META] = load_text(LoadReport(cpu=cpu))
    return found


def test_a_task_goes_to_the_instance_that_is_loaded_least() -> None:
    async def where(instance: ServiceInstance) -> str:
        return instance.id

    async def work() -> None:
        registry = Registry()
        registry.rows = [loaded("a", 0.9), loaded("b", 0.1), loaded("c", 0.9)]
        async with (
            nodes(registry) as [node],
            AsyncConsul(node.address, strategy="least_loaded") as consul,
        ):
            assert {await consul.distribute("web", where) for _ in range(9)} == {"n-b/b"}
            await asyncio.sleep(5)  # an old load counts as long as it is registered
            assert {await consul.distribute("web", where) for _ in range(9)} == {"n-b/b"}
            registry.rows = [loaded("a", 0.1), loaded("b", 0.9), loaded("c", 0.9)]
            await asyncio.sleep(2)
            assert {await consul.distribute("web", where) for _ in range(9)} == {"n-a/a"}

    run(work())


def test_a_task_that_cannot_connect_is_tried_elsewhere_if_it_may_be() -> None:
    tried: list[str] = []

    async def broken(instance: ServiceInstance) -> str:
        tried.append(instance.id)
        if len(set(tried)) < 2:
            raise ConnectionError
        return instance.id

    async def work() -> None:
        async with (
            nodes(Registry("a", "b")) as [node],
            AsyncConsul(node.address, strategy="round_robin") as consul,
        ):
            with pytest.raises(ConnectionError):
                await consul.distribute("web", broken)
            assert len(tried) == 1
            tried.clear()
            assert await consul.distribute("web", broken, attempts=3) == tried[1]
            tried.clear()

            async def always(instance: ServiceInstance) -> str:
                tried.append(instance.id)
                raise ConnectionError

            with pytest.raises(ConnectionError):
                await consul.distribute("web", always, attempts=9)
            assert sorted(tried) == ["n-a/a", "n-b/b"]

    run(work())


def state(name: str, status: str = "passing", port: int = 80, **meta: str) -> InstanceState:
    instance = ServiceInstance(name, "n", "10.0.0.1", port, 1, (), dict(meta))
    return InstanceState(instance, status, None)


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([], "passing"),
        (["passing", "warning"], "warning"),
        (["critical", "warning", "passing"], "critical"),
        (["passing", "odd"], "critical"),
    ],
)
def test_the_worst_of_its_checks_is_the_status_of_an_instance(
    statuses: list[str], status: str
) -> None:
    async def work() -> None:
        registry = Registry("a")
        registry.rows[0]["Checks"] = [{"CheckID": "c", "Status": each} for each in statuses]
        async with nodes(registry) as [node], AsyncConsul(node.address) as consul:
            change = await consul.monitor("web").__anext__()
            assert change.now is not None
            assert change.now.status == status

    run(work())


@pytest.mark.parametrize(
    ("before", "now", "kinds"),
    [
        ([], [state("a")], ["placed"]),
        ([state("a")], [], ["removed"]),
        ([state("a")], [state("a")], []),
        ([state("a")], [state("a", port=81)], ["moved"]),
        ([state("a")], [state("a", k="v")], ["changed"]),
        ([state("a")], [state("a", "critical", port=81)], ["moved", "health"]),
        ([state("a")], [state("b")], ["removed", "placed"]),
    ],
)
def test_changes_are_what_differs(
    before: list[InstanceState], now: list[InstanceState], kinds: list[str]
) -> None:
    found = changes(
        {each.instance.id: each for each in before}, {each.instance.id: each for each in now}
    )
    assert [each.kind for each in found] == kinds
    assert all(each.instance.id in ("a", "b") for each in found)


def test_a_monitor_streams_placement_health_and_load() -> None:
    async def work() -> None:
        registry = Registry("a")
        async with nodes(registry) as [node], AsyncConsul(node.address) as consul:
            monitor = consul.monitor("web", tag="v1")

            async def following() -> tuple[str, str]:
                change = await monitor.__anext__()
                return change.kind, change.instance.id

            assert await following() == ("placed", "n-a/a")
            assert node.seen[0].path == "/v1/health/service/web"
            assert node.seen[0].query["tag"] == "v1"
            registry.change("a", "b")
            assert await following() == ("placed", "n-b/b")
            registry.change("a")
            assert await following() == ("removed", "n-b/b")
            worse: dict[str, Any] = loaded("a", 0.5)
            worse["Checks"] = [{"CheckID": "_node_maintenance", "Status": "critical"}]
            registry.rows, registry.index = [worse], registry.index + 1
            change: ServiceChange = await monitor.__anext__()
            assert (change.kind, change.now and change.now.status) == ("health", "maintenance")
            change = await monitor.__anext__()
            assert change.kind == "load"
            assert change.now is not None
            assert change.now.load == LoadReport(cpu=0.5)

    run(work())


def test_threads_have_the_same_verbs() -> None:
    with nodes_in_thread(Registry("a")) as [node], Consul(node.address) as consul:
        assert consul.distribute("web", lambda instance: instance.port) == 80
        assert next(consul.monitor("web")).kind == "placed"
        copy: Consul = pickle.loads(pickle.dumps(consul))
        assert copy.distribute("web", lambda instance: instance.port) == 80
        copy.close()
    with (
        nodes_in_thread(FakeAgent()) as [node],
        Consul(node.address) as consul,
        consul.register("web", load=0.5) as made,
    ):
        made.report(0.6)


def test_what_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(RequestError, match="no strategy is called 'best'"):
        Consul("127.0.0.1:1", strategy="best")
    with Consul("127.0.0.1:1") as consul:
        wrongs: list[dict[str, Any]] = [{"port": 70_000}, {"ttl_s": 0.1}, {"weight": 0}]
        for wrong in wrongs:
            with pytest.raises(RequestError):
                consul.register("web", **wrong)
        with pytest.raises(RequestError):
            consul.monitor("")
        with pytest.raises(RequestError):
            consul.distribute("web", lambda _: None, attempts=0)


def test_without_an_instance_nothing_is_distributed() -> None:
    async def work() -> None:
        async def never(_: ServiceInstance) -> None:
            raise AssertionError

        async with nodes(Registry()) as [node], AsyncConsul(node.address) as consul:
            with pytest.raises(UnavailableError, match="0 are healthy"):
                await consul.distribute("web", never, attempts=3)

    run(work())
