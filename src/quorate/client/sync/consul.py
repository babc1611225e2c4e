"""Registering, distributing, monitoring: `Consul`, a client with these verbs."""

from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from quorate.base.errors import NotFoundError
from quorate.client import arguments
from quorate.client.arguments import Data
from quorate.client.changes import InstanceState, ServiceChange, Task, changes, states
from quorate.client.choices import ServiceInstance
from quorate.client.durations import spell
from quorate.client.loads import LOAD_META, Load, load_report, load_text
from quorate.client.requests import ClientRequest, blocking, head, quoted
from quorate.client.sync.choosing import Chooser
from quorate.client.sync.client import ATTEMPT_S, DEADLINE_S, Client
from quorate.client.sync.requester import Requester
from quorate.client.sync.watching import WATCH_TIMEOUT_S, Watch

Result = TypeVar("Result")

TTL_S = 15.0
REMOVE_AFTER_S = 60.0
_REGISTER = head("PUT", b"/v1/agent/service/register")


class Registration:
    """An instance of a service that this program registered: `consul.register(…)`.

        with consul.register("web", port=80) as web:
            while True:
                web.report(load=0.3)
                sleep(5)

    It is critical when no `report` came within its TTL, and removed some time later. At the end of
    the block it is removed at once.

    It is registered with the agent that the client uses; when the client goes on to another node,
    the next `report` registers it there, and what the first agent has ends by its TTL.

    Attributes:
        id: Of the instance, unique among those of its agent.
        service: The name of the service.
    """

    def __init__(
        self,
        requester: Requester,
        service: str,
        instance_id: str,
        fields: dict[str, object],
        meta: dict[str, str],
    ) -> None:
        self.id = instance_id
        self.service = service
        self._requester = requester
        self._fields = fields
        self._meta = meta
        self._load = meta.get(LOAD_META)  # as the agent has it
        name = quoted("instance_id", instance_id)
        check = quoted("instance_id", f"service:{instance_id}")
        self._beat = head("PUT", f"/v1/agent/check/pass/{check}".encode("ascii"))
        self._removal = head("PUT", f"/v1/agent/service/deregister/{name}".encode("ascii"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.id!r}>"

    def report(self, load: Load | None = None, *, deadline_s: float | None = None) -> None:
        """Say that the instance is well, and how loaded it is.

        A load that changed is a write to the log of the cluster: once a second is often enough.
        Otherwise only the agent gets it.

        Args:
            load: See `Consul.register`; None: as before.
            deadline_s: Seconds from now; the client's own if None.

        Raises:
            UnavailableError: Definite: no node took it before the deadline.
            OutcomeUnknownError: Indefinite; to be repeated.
        """
        if load is not None:
            self._meta[LOAD_META] = load_text(load_report(load))
        if self._meta.get(LOAD_META) != self._load:
            self.register(deadline_s=deadline_s)
        try:
            self._put(self._beat, b"", deadline_s)
        except NotFoundError:  # another agent, or one that lost what it had
            self.register(deadline_s=deadline_s)

    def register(self, *, deadline_s: float | None = None) -> None:
        """Register it, as it was and with the last load; `report` does so where it is needed.

        Raises:
            QuorateError: See `Consul.register`.
        """
        load = self._meta.get(LOAD_META)
        body = arguments.json("service", {**self._fields, "Meta": self._meta})
        self._put(_REGISTER, body, deadline_s)
        self._load = load

    def deregister(self, *, deadline_s: float | None = None) -> None:
        """Remove it; nothing happens if it is gone."""
        try:
            self._put(self._removal, b"", deadline_s)
        except NotFoundError:
            return

    def _put(self, line: bytes, body: bytes, deadline_s: float | None) -> None:
        request = ClientRequest(line, body, is_repeatable=True, is_write=True)
        self._requester.call(request, deadline_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.deregister()


class Monitor:
    """An endless iterator over the changes of a service: `consul.monitor(…)`.

    At first each instance that there is comes as `placed`. Changes in quick succession may be seen
    as one; the last state is never missed. Leave the loop to end it.
    """

    def __init__(self, requester: Requester, service: str, tag: str, patience_s: float) -> None:
        name = quoted("service", arguments.filled("service", service))
        path = f"/v1/health/service/{name}".encode("ascii")
        tag = arguments.text("tag", tag)
        self._known: dict[str, InstanceState] = {}
        self._due: deque[ServiceChange] = deque()
        self._watch = Watch(
            requester,
            lambda index, wait_s: blocking(path, index, wait_s, tag=tag or None),
            states,
            patience_s,
            f"instances of {service!r}",
        )

    def __iter__(self) -> "Monitor":
        return self

    def __next__(self) -> ServiceChange:
        """Wait for the next change.

        Raises:
            UnavailableError: No node replied for `patience_s`. It can be continued.
        """
        while not self._due:
            now = self._watch.__next__()
            self._due.extend(changes(self._known, now))
            self._known = now
        return self._due.popleft()


class Consul(Client):
    """A client that registers, distributes and monitors, beside all that Client does.

        with Consul("10.0.0.1:8500") as consul:
            page = consul.distribute("web", fetch)

    Args:
        endpoints: See Client.
        strategy: How `distribute` chooses, see `docs/balancing.md`.
        deadline_s: See Client.
        attempt_s: See Client.
        token: See Client.
        pipes: See Client.

    Raises:
        TypeError, RequestError: See Client; or no strategy has this name.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str] | None = None,
        *,
        strategy: str = "peak_ewma",
        deadline_s: float = DEADLINE_S,
        attempt_s: float = ATTEMPT_S,
        token: str | None = None,
        pipes: int = 2,
    ) -> None:
        super().__init__(
            endpoints, deadline_s=deadline_s, attempt_s=attempt_s, token=token, pipes=pipes
        )
        self.choose("any", strategy=strategy)  # raises
        self._strategy = strategy
        self._choosers: dict[tuple[str, str], Chooser] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_choosers": {}}

    def register(
        self,
        service: str,
        *,
        instance_id: str = "",
        address: str = "",
        port: int = 0,
        tags: Sequence[str] = (),
        meta: Mapping[str, str] | None = None,
        weight: int = 1,
        load: Load | None = None,
        ttl_s: float = TTL_S,
        deadline_s: float | None = None,
    ) -> Registration:
        """Register an instance of a service with the agent that this client uses.

        Args:
            service: The name of the service.
            instance_id: Unique among those of the agent; empty: the name, with the port if any.
            address: Where it is; empty: at its node.
            port: 0 if it has none.
            tags: Of the instance.
            meta: Metadata, at most 64 pairs.
            weight: Its share beside other instances.
            load: How loaded it is: a `LoadReport`, or the part of its processors in use, 0 to 1.
                Chosen by where the strategy uses it, and shown by `monitor`.
            ttl_s: It is critical when no `report` came for so long, and removed a minute later.
            deadline_s: Seconds from now; the client's own if None.

        Returns:
            The registration; clients find the instance already.

        Raises:
            TypeError, RequestError: An argument is of another type, or refused.
            UnavailableError: Definite: no node took it before the deadline.
            OutcomeUnknownError: Indefinite; to be repeated.
        """
        name = arguments.filled("service", service)
        port = arguments.whole("port", port, 0, 65535)
        ttl_s = arguments.seconds("ttl_s", ttl_s, 1.0, 86_400.0)
        default = f"{name}-{port}" if port else name
        instance = arguments.text("instance_id", instance_id) or default
        fields: dict[str, object] = {
            "ID": instance,
            "Name": name,
            "Address": arguments.text("address", address),
            "Port": port,
            "Tags": arguments.texts("tags", tags),
            "Weights": {"Passing": arguments.whole("weight", weight, 1, 65535), "Warning": 1},
            "Check": _check(instance, ttl_s),
        }
        said = dict(meta or {})
        if load is not None:
            said[LOAD_META] = load_text(load_report(load))
        made = Registration(self._requester, name, instance, fields, said)
        made.register(deadline_s=deadline_s)
        made.report(deadline_s=deadline_s)  # it may have been there, and critical
        return made

    def distribute(
        self,
        service: str,
        task: Task[Result],
        *,
        key: Data = b"",
        function: str = "",
        tag: str = "",
        attempts: int = 1,
    ) -> Result:
        """Do a task at the instance of a service where it goes best now.

        What is done is measured, so that later tasks go where there is less to do: its latency,
        its errors, how much is in flight (`docs/balancing.md`).

        Args:
            service: The name of the service.
            task: Called with the instance.
            key: For strategies that send equal keys to one instance.
            function: What is run, for strategies that learn what it costs.
            tag: Only instances with this tag.
            attempts: At how many instances it is tried while it raises `OSError`, within the
                budget of retries. More than 1 is for tasks that may be done twice.

        Returns:
            What the task returned.

        Raises:
            UnavailableError: `unreachable`: no healthy instance may take it.
            Exception: Whatever the task raised.
        """
        most = arguments.whole("attempts", attempts, 1)
        chooser = self._chooser(service, tag)
        failed: list[ServiceInstance] = []
        while True:
            pick = chooser.pick(key, function=function, excluded=failed)
            try:
                with pick:
                    return task(pick.instance)
            except OSError:
                failed.append(pick.instance)
                is_last = len(failed) >= min(most, len(chooser.instances))
                if is_last or not chooser.may_retry():
                    raise

    def _chooser(self, service: str, tag: str) -> Chooser:
        found = self._choosers.get((service, tag))
        if found is None:
            made = self.choose(service, strategy=self._strategy, tag=tag)
            found = self._choosers.setdefault((service, tag), made)
        return found

    def monitor(
        self, service: str, *, tag: str = "", patience_s: float = WATCH_TIMEOUT_S
    ) -> Monitor:
        """Watch the instances of a service: where they are, their health and their load.

        Args:
            service: The name of the service.
            tag: Only instances with this tag.
            patience_s: It raises UnavailableError when no node has replied for so long.
        """
        return Monitor(self._requester, service, tag, patience_s)


def _check(instance: str, ttl_s: float) -> dict[str, str]:
    return {
        "CheckID": f"service:{instance}",
        "TTL": spell(ttl_s),
        "Status": "passing",
        "DeregisterCriticalServiceAfter": spell(REMOVE_AFTER_S),
    }
