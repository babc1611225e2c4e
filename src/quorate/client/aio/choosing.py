"""Choosing among the healthy instances of a service: `client.choose("web")`."""

from collections.abc import Iterable

from quorate.balancing.targets import Demand, LoadReport
from quorate.base.errors import UnavailableError
from quorate.client import arguments
from quorate.client.aio.requester import AsyncRequester
from quorate.client.aio.watching import WATCH_TIMEOUT_S, AsyncWatch
from quorate.client.arguments import Data
from quorate.client.choices import Choices, ServiceInstance, instances
from quorate.client.durations import spell
from quorate.client.log import LOG
from quorate.client.picks import Pick
from quorate.client.requests import ClientRequest, Lane, head, query, quoted
from quorate.client.times import async_sleep

PAUSE_S = 1.0


class AsyncChooser:
    """The healthy instances of one service, and the strategy that chooses among them.

        web = client.choose("web")
        with await web.pick() as pick:
            await fetch(f"http://{pick.endpoint}/")

    What is done in the block is measured: requests in flight, latency, errors. Instances that fail
    or are slow beside the others get less, then nothing for a while. Make one chooser per service
    and keep it: it is what it has counted.

    The list of instances is read at the first `pick`, and then once a second at most, by a `pick`
    that finds it older. While `follow` runs, changes come as they happen and no `pick` waits. If no
    node replies, the last list is used.

    Args:
        requester: Executes the queries.
        service: Its name.
        strategy: See `docs/balancing.md`.
        tag: Only instances with this tag; empty: all.

    Raises:
        TypeError, RequestError: An argument is of another type, empty, or no strategy.
    """

    def __init__(self, requester: AsyncRequester, service: str, strategy: str, tag: str) -> None:
        name = quoted("service", arguments.filled("service", service))
        path = f"/v1/health/service/{name}".encode("ascii")
        tag = arguments.text("tag", tag)
        self._service = service
        self._strategy = arguments.text("strategy", strategy)
        self._choices = Choices(service, strategy)
        self._now_s = requester.now_s
        self._is_followed = False
        self._is_stopped = False
        self._watch = AsyncWatch(
            requester,
            lambda index, wait_s: _healthy(path, tag, index, wait_s),
            instances,
            WATCH_TIMEOUT_S,
            f"instances of {service!r}",
        )
        self._reading = AsyncWatch(
            requester,
            lambda _, wait_s: _healthy(path, tag, 0, wait_s),
            instances,
            WATCH_TIMEOUT_S,
            f"instances of {service!r}",
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._service!r} by {self._strategy}>"

    def __reduce__(self) -> str:
        raise TypeError("a chooser cannot be pickled; make one in each process")

    @property
    def instances(self) -> list[ServiceInstance]:
        """The healthy ones, as last read; empty before the first `pick` or `refresh`."""
        return self._choices.instances

    async def pick(
        self, key: Data = b"", *, function: str = "", excluded: Iterable[ServiceInstance] = ()
    ) -> Pick:
        """Choose an instance for one request.

        Args:
            key: For strategies that send equal keys to one instance.
            function: What is asked for, if latencies differ much by it: slowness is judged among
                equal functions.
            excluded: Instances that failed this request before.

        Raises:
            UnavailableError: Definite: no healthy instance, or none but the excluded; or the first
                list could not be read.
        """
        if not self._is_followed and self._choices.claim(self._now_s()):
            await self._refresh_or_keep()
        demand = Demand(
            arguments.data("key", key),
            function,
            excluded=frozenset(each.id for each in excluded),
        )
        instance, grant = self._choices.take(demand, self._now_s())
        return Pick(self._choices, instance, grant, self._now_s)

    async def refresh(self, *, deadline_s: float | None = None) -> list[ServiceInstance]:
        """Read the list of instances now.

        Raises:
            UnavailableError: No node replied.
        """
        found = await self._reading.look(0.0, deadline_s=deadline_s)
        self._choices.replace(found, self._now_s())
        return found

    async def follow(self) -> None:
        """Keep the list current until `stop`: run it as a task, or in a thread.

        While no node replies it goes on trying; picks use the last list.

        Raises:
            PeerError: What replies is no node.
        """
        self._is_followed, self._is_stopped = True, False
        try:
            while not self._is_stopped:
                try:
                    found = await self._watch.look()
                except UnavailableError as error:
                    LOG.warning("instances of %r are not current: %s", self._service, error)
                    await async_sleep(PAUSE_S)
                else:
                    self._choices.replace(found, self._now_s())
        finally:
            self._is_followed = False

    def stop(self) -> None:
        """End `follow` when its present query ends, within 15 s."""
        self._is_stopped = True

    def may_retry(self) -> bool:
        """Whether another try is within the budget, a fifth of the requests; asking spends it."""
        return self._choices.may_retry(self._now_s())

    def report(self, instance: ServiceInstance, load: LoadReport) -> None:
        """Pass on what an instance said of its load, for the strategies that use it."""
        self._choices.report(instance.id, load, self._now_s())

    async def _refresh_or_keep(self) -> None:
        if not self._choices.is_known:
            await self.refresh()
            return
        try:
            await self.refresh(deadline_s=PAUSE_S)
        except UnavailableError as error:
            LOG.warning("instances of %r are not current: %s", self._service, error)


def _healthy(path: bytes, tag: str, index: int, wait_s: float) -> ClientRequest:
    waited_s = max(wait_s, 0.001) if index else 0.0
    what = query(
        passing=True,
        stale=True,
        tag=tag or None,
        index=index or None,
        wait=spell(waited_s) if index else None,
    )
    lane = Lane.EXCLUSIVE if index else Lane.LOCAL
    return ClientRequest(head("GET", path, what), lane=lane, is_repeatable=True, wait_s=waited_s)
