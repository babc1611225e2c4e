"""`client.choose`: the list of instances, and one of them for each request."""

import asyncio
import contextlib
import pickle
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from quorate.balancing.targets import LoadReport
from quorate.base.errors import PeerError, RequestError, UnavailableError
from quorate.client import AsyncClient, Client, ServiceInstance
from tests.unit.client.fakes import CUT, Answer, Seen, nodes, nodes_in_thread, reply, until
from tests.unit.client.leaping import run


def row(name: str, port: int = 80, weight: int = 1, address: str = "") -> dict[str, object]:
    return {
        "Node": {"Node": f"n-{name}", "Address": "10.0.0.9"},
        "Service": {
            "ID": name,
            "Service": "web",
            "Address": address,
            "Port": port,
            "Tags": ["v1"],
            "Meta": {"zone": "a"},
            "Weights": {"Passing": weight, "Warning": 1},
        },
        "Checks": [{"CheckID": "c", "Status": "passing"}],
    }


class Registry:
    """Answers with the list of instances, at once or when it changes."""

    def __init__(self, *names: str) -> None:
        self.rows = [row(name) for name in names]
        self.index = 10
        self.is_down = False
        self.waiting: list[asyncio.Future[bytes]] = []

    def __call__(self, seen: Seen) -> Answer:
        if self.is_down:
            return CUT
        if int(seen.query.get("index", "0")) < self.index:
            return self.answer()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return future

    def answer(self) -> bytes:
        return reply(200, self.rows, {"X-Consul-Index": self.index})

    def change(self, *names: str) -> None:
        self.rows = [row(name) for name in names]
        self.index += 1
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(self.answer())


def names(found: list[ServiceInstance]) -> list[str]:
    return sorted(each.id for each in found)


def test_an_instance_has_its_address_and_what_it_is_registered_with() -> None:
    async def work() -> None:
        registry = Registry()
        registry.rows = [row("a", 8080, 3, "::1")]
        async with nodes(registry) as [node], AsyncClient(node.address) as client:
            web = client.choose("web", tag="v1")
            with await web.pick() as pick:
                assert pick.endpoint == "[::1]:8080"
            assert pick.instance == ServiceInstance(
                "n-a/a", "n-a", "::1", 8080, 3, ("v1",), {"zone": "a"}
            )
            assert node.seen[0].path == "/v1/health/service/web"
            assert node.seen[0].query == {"passing": "", "stale": "", "tag": "v1"}
            assert repr(web) == "<AsyncChooser of 'web' by peak_ewma>"
            assert repr(pick) == "<Pick of n-a/a at [::1]:8080>"

    run(work())


def test_without_an_address_of_its_own_it_has_that_of_its_node() -> None:
    async def work() -> None:
        async with nodes(Registry("a")) as [node], AsyncClient(node.address) as client:
            assert (await client.choose("web").pick()).endpoint == "10.0.0.9:80"

    run(work())


def test_the_list_is_read_once_a_second_at_most() -> None:
    async def work() -> None:
        registry = Registry("a", "b")
        async with nodes(registry) as [node], AsyncClient(node.address) as client:
            web = client.choose("web")
            for _ in range(50):
                (await web.pick()).done()
            assert len(node.seen) == 1
            registry.change("b")
            await asyncio.sleep(1.1)
            assert [(await web.pick()).instance.id for _ in range(5)] == ["n-b/b"] * 5
            assert len(node.seen) == 2
            assert all("index" not in seen.query for seen in node.seen)

    run(work())


def test_while_it_is_followed_changes_come_as_they_happen() -> None:
    async def work() -> None:
        registry = Registry("a")
        async with nodes(registry) as [node], AsyncClient(node.address) as client:
            web = client.choose("web")
            following = asyncio.ensure_future(web.follow())
            await until(lambda: bool(registry.waiting))
            assert names(web.instances) == ["n-a/a"]
            registry.change("a", "b")
            await until(lambda: len(web.instances) == 2)
            await web.pick()
            assert len(node.seen) <= 4  # no reads beside the one that waits
            web.stop()
            registry.change("b")
            await following
            assert names(web.instances) == ["n-b/b"]

    run(work())


def test_if_no_node_replies_the_last_list_is_used() -> None:
    async def work() -> None:
        registry = Registry("a")
        async with (
            nodes(registry) as [node],
            AsyncClient(node.address, deadline_s=1.0) as client,
        ):
            web = client.choose("web")
            await web.pick()
            registry.is_down = True
            await asyncio.sleep(5)
            assert (await web.pick()).instance.id == "n-a/a"
            with pytest.raises(UnavailableError):
                await client.choose("web").pick()
            registry.is_down = False
            registry.change("b")
            await asyncio.sleep(5)
            assert (await web.pick()).instance.id == "n-b/b"

    run(work())


def test_following_goes_on_after_an_outage() -> None:
    async def work() -> None:
        registry = Registry("a")
        registry.is_down = True
        async with (
            nodes(registry) as [node],
            AsyncClient(node.address, deadline_s=1.0) as client,
        ):
            web = client.choose("web")
            following = asyncio.ensure_future(web.follow())
            await asyncio.sleep(200)
            assert not following.done()
            registry.is_down = False
            await until(lambda: names(web.instances) == ["n-a/a"])
            following.cancel()

    run(work())


def test_one_that_fails_is_left_out_and_another_tried() -> None:
    async def work() -> None:
        async with nodes(Registry("a", "b", "c")) as [node], AsyncClient(node.address) as client:
            web = client.choose("web", strategy="random")
            tried: list[ServiceInstance] = []
            for _ in range(3):
                with contextlib.suppress(ConnectionError), await web.pick(excluded=tried) as pick:
                    tried.append(pick.instance)
                    raise ConnectionError
                assert web.may_retry()
            assert names(tried) == names(web.instances)
            with pytest.raises(UnavailableError, match="3 are healthy, 3 excluded"):
                await web.pick(excluded=tried)

    run(work())


def test_errors_eject_and_what_is_cancelled_does_not() -> None:
    async def work() -> None:
        async with nodes(Registry("a", "b", "c")) as [node], AsyncClient(node.address) as client:
            for error, is_ejected in ((OSError, True), (asyncio.CancelledError, False)):
                web = client.choose("web", strategy="round_robin")
                shares = Counter[str]()
                for _ in range(60):
                    pick = await web.pick()
                    shares[pick.instance.id] += 1
                    try:
                        with pick:
                            if pick.instance.id == "n-b/b":
                                raise error
                    except error:
                        pass
                assert shares["n-b/b"] == (5 if is_ejected else 20)

    run(work())


def test_requests_in_flight_and_equal_keys_count() -> None:
    async def work() -> None:
        async with nodes(Registry("a", "b")) as [node], AsyncClient(node.address) as client:
            web = client.choose("web", strategy="least_outstanding")
            held = [await web.pick() for _ in range(6)]
            assert sorted(Counter(each.instance.id for each in held).values()) == [3, 3]
            for each in held:
                each.done()
                each.done(is_ok=False)  # once is once
            cache = client.choose("web", strategy="consistent_hash")
            owners = {
                (await cache.pick(f"key-{n % 7}")).instance.id + str(n % 7) for n in range(70)
            }
            assert len(owners) == 7

    run(work())


def test_load_reports_are_passed_on() -> None:
    async def work() -> None:
        async with nodes(Registry("a", "b")) as [node], AsyncClient(node.address) as client:
            web = client.choose("web", strategy="least_loaded")
            await web.refresh()
            full = next(each for each in web.instances if each.id == "n-a/a")
            web.report(full, LoadReport(memory=0.9))
            assert {(await web.pick()).instance.id for _ in range(9)} == {"n-b/b"}

    run(work())


def test_what_cannot_be_is_refused_at_once() -> None:
    client = AsyncClient("127.0.0.1:1")
    with pytest.raises(RequestError, match="no strategy is called 'best'"):
        client.choose("web", strategy="best")
    with pytest.raises(RequestError):
        client.choose("")
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client.choose("web"))


def test_no_instance_and_a_strange_reply_are_errors_of_their_own() -> None:
    async def work() -> None:
        async with nodes(reply(200, []), reply(200, [{"Odd": 1}])) as [empty, odd]:
            async with AsyncClient(empty.address) as client:
                with pytest.raises(UnavailableError, match="0 are healthy"):
                    await client.choose("web").pick()
            async with AsyncClient(odd.address) as client:
                with pytest.raises(PeerError, match="unknown form"):
                    await client.choose("web").pick()

    run(work())


def test_threads_share_a_chooser() -> None:
    def request(_: int) -> str:
        with web.pick() as pick:
            return pick.instance.id

    with nodes_in_thread(Registry("a", "b")) as [node], Client(node.address) as client:
        web = client.choose("web", strategy="round_robin")
        with ThreadPoolExecutor(8) as pool:
            shares = Counter(pool.map(request, range(400)))
        assert shares == {"n-a/a": 200, "n-b/b": 200}
        web.refresh()


def test_a_thread_follows() -> None:
    replies = iter([reply(200, [row("a")]), reply(200, [row("b")], {"X-Consul-Index": 2})])
    last = reply(200, [row("b")], {"X-Consul-Index": 3})
    asked = threading.Semaphore(0)

    def script(_: Seen) -> Answer:
        asked.release()
        return next(replies, last)

    with nodes_in_thread(script) as [node], Client(node.address) as client:
        web = client.choose("web")
        thread = threading.Thread(target=web.follow)
        thread.start()
        for _ in range(4):
            asked.acquire()
        web.stop()
        thread.join()
        assert names(web.instances) == ["n-b/b"]
