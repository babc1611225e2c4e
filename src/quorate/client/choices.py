"""The instances of a service and the choice among them, for both clients; threads may share it."""

import random
import threading
from collections.abc import Iterable

import msgspec

from quorate.balancing.balancer import Balancer, SlowStart
from quorate.balancing.strategies import strategy
from quorate.balancing.targets import Demand, Grant, LoadReport, Target
from quorate.base.errors import UnavailableError
from quorate.client import bodies
from quorate.client.loads import load_in
from quorate.client.replies import Reply

REFRESH_S = 1.0
"""A list of instances that nobody follows is read again when it is older."""

SLOW_START_S = 10.0


class ServiceInstance(msgspec.Struct, frozen=True):
    """A healthy instance of a service.

    Attributes:
        id: Unique in the cluster: node and id of the service there.
        node: The node that it is registered with.
        address: Of the service; that of its node if it has none.
        port: 0 if it has none.
        weight: Of its registration, while its checks pass.
    """

    id: str
    node: str
    address: str
    port: int
    weight: int
    tags: tuple[str, ...]
    meta: dict[str, str]

    @property
    def endpoint(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


class _NodeJson(msgspec.Struct, rename="pascal"):
    node: str
    address: str = ""


class _WeightsJson(msgspec.Struct, rename="pascal"):
    passing: int = 1


class _ServiceJson(msgspec.Struct, rename="pascal"):
    id: str = msgspec.field(name="ID")
    address: str = ""
    port: int = 0
    tags: list[str] | None = None
    meta: dict[str, str] | None = None
    weights: _WeightsJson | None = None


class HealthRow(msgspec.Struct, rename="pascal"):
    """An element of a reply of `/v1/health/service`."""

    node: _NodeJson
    service: _ServiceJson

    def instance(self) -> ServiceInstance:
        """The same as a ServiceInstance."""
        service, weights = self.service, self.service.weights or _WeightsJson()
        return ServiceInstance(
            f"{self.node.node}/{service.id}",
            self.node.node,
            service.address or self.node.address,
            service.port,
            weights.passing,
            tuple(service.tags or ()),
            service.meta or {},
        )


_HEALTH_ROWS = msgspec.json.Decoder(list[HealthRow])


def instances(reply: Reply) -> list[ServiceInstance]:
    """The instances in the reply of `/v1/health/service`.

    Raises:
        PeerError: `remote`: it is not what the API specifies.
    """
    return [row.instance() for row in bodies.decoded(_HEALTH_ROWS, reply)]


class Choices:
    """The instances of one service, and a strategy that chooses among them.

    Args:
        service: Its name, for messages.
        strategy_name: See `docs/balancing.md`.

    Raises:
        RequestError: `bad_request`: no strategy has this name.
    """

    def __init__(self, service: str, strategy_name: str) -> None:
        self._lock = threading.Lock()
        self._service = service
        self._balancer = Balancer(
            strategy(strategy_name, random.Random()),  # noqa: S311 - nothing secret
            slow_start=SlowStart(SLOW_START_S),
        )
        self._instances: dict[str, ServiceInstance] = {}
        self._due_s = float("-inf")
        self.is_known = False

    @property
    def instances(self) -> list[ServiceInstance]:
        """All healthy ones, as last read."""
        return list(self._instances.values())

    def claim(self, now_s: float) -> bool:
        """Whether the caller should read the list anew; the others go on with the old one."""
        with self._lock:
            if not self.is_known:
                return True
            is_due = now_s >= self._due_s
            if is_due:
                self._due_s = now_s + REFRESH_S
            return is_due

    def replace(self, found: Iterable[ServiceInstance], now_s: float) -> None:
        """These are the healthy ones now."""
        known = {each.id: each for each in found}
        with self._lock:
            self._instances = known
            self._balancer.replace(
                [Target(each.id, float(max(each.weight, 0))) for each in known.values()], now_s
            )
            for name, each in known.items():
                load = load_in(each.meta)  # the same as before: it is so still
                if load is not None:
                    self._balancer.on_load(name, load, now_s)
            self._due_s = now_s + REFRESH_S
            self.is_known = True

    def take(self, demand: Demand, now_s: float) -> tuple[ServiceInstance, Grant]:
        """Choose one, and count the request that it gets.

        Raises:
            UnavailableError: `unreachable`: no healthy instance may take it.
        """
        with self._lock:
            candidate = self._balancer.choose(demand, now_s)
            if candidate is not None:
                grant = self._balancer.on_start(candidate, demand, now_s)
                return self._instances[candidate.id], grant
            count = len(self._instances)
        raise UnavailableError(
            "unreachable",
            f"no instance of {self._service!r} may take the request: {count} are healthy"
            + (f", {len(demand.excluded)} excluded" if demand.excluded else ""),
        )

    def end(self, grant: Grant, now_s: float, *, is_ok: bool | None) -> None:
        """Count the end of a request; None: its result is not known."""
        with self._lock:
            if is_ok is None:
                self._balancer.on_abandoned(grant)
            else:
                self._balancer.on_end(grant, now_s, is_ok=is_ok)

    def report(self, instance_id: str, load: LoadReport, now_s: float) -> None:
        """Keep what an instance said of its load."""
        with self._lock:
            self._balancer.on_load(instance_id, load, now_s)

    def may_retry(self, now_s: float) -> bool:
        """Spend a retry of the budget."""
        with self._lock:
            return self._balancer.may_retry(now_s)
