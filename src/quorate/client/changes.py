"""Changes of a service: what differs between two states of its instances."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import msgspec

from quorate.balancing.targets import LoadReport
from quorate.client import bodies
from quorate.client.choices import HealthRow, ServiceInstance
from quorate.client.loads import LOAD_META, load_in
from quorate.client.replies import Reply

STATUSES = ("passing", "warning", "critical")
"""From the best to the worst."""

MAINTENANCE = ("_node_maintenance", "_service_maintenance:")
"""How the ids of checks begin that take a node or a service out of service."""

Result = TypeVar("Result")
AsyncTask = Callable[[ServiceInstance], Awaitable[Result]]
Task = Callable[[ServiceInstance], Result]
"""What is done at an instance."""

ChangeKind = Literal["placed", "moved", "changed", "health", "load", "removed"]


class InstanceState(msgspec.Struct, frozen=True):
    """An instance with its health and load.

    Attributes:
        instance: As it is registered.
        status: `passing`, `warning`, `critical` or `maintenance`: the worst of its checks and of
            those of its node.
        load: What it reported last; None: nothing.
    """

    instance: ServiceInstance
    status: str
    load: LoadReport | None


class ServiceChange(msgspec.Struct, frozen=True):
    """One change of one instance.

    Attributes:
        kind: `placed`: it is new; `moved`: it has another address or port; `changed`: other tags,
            metadata or weight; `health`: another status; `load`: another load; `removed`.
        before: None if it is new.
        now: None if it was removed.
    """

    kind: ChangeKind
    before: InstanceState | None
    now: InstanceState | None

    @property
    def instance(self) -> ServiceInstance:
        """The one that changed, as it is now, or was when it was removed."""
        state = self.before if self.now is None else self.now
        if state is None:
            raise ValueError("a change has a state before or now")
        return state.instance


class _CheckJson(msgspec.Struct, rename="pascal"):
    status: str
    check_id: str = msgspec.field(default="", name="CheckID")


class _CheckedRow(HealthRow, rename="pascal"):
    checks: list[_CheckJson] | None = None


_ROWS = msgspec.json.Decoder(list[_CheckedRow])


def states(reply: Reply) -> dict[str, InstanceState]:
    """The instances in a reply of `/v1/health/service`, by their ids.

    Raises:
        PeerError: `remote`: it is not what the API specifies.
    """
    found: dict[str, InstanceState] = {}
    for row in bodies.decoded(_ROWS, reply):
        instance = row.instance()
        found[instance.id] = InstanceState(
            instance, _status(row.checks or []), load_in(instance.meta)
        )
    return found


def _status(checks: list[_CheckJson]) -> str:
    if any(check.check_id.startswith(MAINTENANCE) for check in checks):
        return "maintenance"
    found = {check.status for check in checks}
    known = [status for status in STATUSES if status in found]
    return "critical" if found - set(STATUSES) else known[-1] if known else "passing"


def changes(
    before: Mapping[str, InstanceState], now: Mapping[str, InstanceState]
) -> list[ServiceChange]:
    """What differs, in the order of `now`; removed instances come first."""
    found = [ServiceChange("removed", old, None) for name, old in before.items() if name not in now]
    for name, new in now.items():
        old = before.get(name)
        if old is None:
            found.append(ServiceChange("placed", None, new))
        else:
            found += [ServiceChange(kind, old, new) for kind in _kinds(old, new)]
    return found


def _kinds(old: InstanceState, new: InstanceState) -> list[ChangeKind]:
    one, other = old.instance, new.instance
    kinds: list[ChangeKind] = []
    if (one.address, one.port) != (other.address, other.port):
        kinds.append("moved")
    if _said(one) != _said(other):
        kinds.append("changed")
    if old.status != new.status:
        kinds.append("health")
    if old.load != new.load:
        kinds.append("load")
    return kinds


def _said(instance: ServiceInstance) -> tuple[object, ...]:
    meta = {key: value for key, value in instance.meta.items() if key != LOAD_META}
    return instance.tags, instance.weight, meta
