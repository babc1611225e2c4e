"""Choosing: which instances of its service a query chooses, and in which order.

Instances are given by the caller, who reads them from the catalog: domains do not import each
other.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from quorate.base.facts import CRITICAL
from quorate.base.ports import Rng
from quorate.base.subjects import name_part
from quorate.preparedqueries.fields import ServiceQuery

PASSING = "passing"
"""The status of a check that does not object."""

AGENT, IP = "_agent", "_ip"
"""In place of the name of a node: see `ServiceQuery.near`."""


class CountedCheck(Protocol):
    """What counts of a check."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def status(self) -> str:
        """Its status."""
        ...


class HostingNode(Protocol):
    """What counts of a node."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def address(self) -> str:
        """Its address."""
        ...

    @property
    def meta(self) -> Mapping[str, str]:
        """Its metadata."""
        ...


class OfferedService(Protocol):
    """What counts of the definition of an instance."""

    @property
    def tags(self) -> Sequence[str]:
        """Its tags."""
        ...

    @property
    def meta(self) -> Mapping[str, str]:
        """Its metadata."""
        ...


class Choosable(Protocol):
    """What counts of an instance."""

    @property
    def node(self) -> HostingNode:
        """Its node."""
        ...

    @property
    def service(self) -> OfferedService:
        """Its definition."""
        ...

    @property
    def checks(self) -> Sequence[CountedCheck]:
        """Its checks and those of its node."""
        ...


T = TypeVar("T")
I = TypeVar("I", bound=Choosable)  # noqa: E741 - stands for an instance


def is_chosen_by(service: ServiceQuery) -> Callable[[Choosable], bool]:
    """What decides whether a query chooses an instance.

    A critical check excludes it, one with a warning if the query says so; checks that the query
    ignores do not. What is given of tags and metadata must be there.
    """
    ignored = frozenset(service.ignored_checks)
    only_passing, node_meta, meta = service.only_passing, service.node_meta, service.service_meta
    tags = [tag.lower() for tag in service.tags or ()]
    required = {tag for tag in tags if not tag.startswith("!")}
    forbidden = {tag[1:] for tag in tags if tag.startswith("!")}

    def is_chosen(instance: Choosable) -> bool:
        for check in instance.checks:
            status = check.status
            if status == PASSING or check.id in ignored:
                continue
            if only_passing or status == CRITICAL:
                return False
        if node_meta and not _has(instance.node.meta, node_meta):
            return False
        if meta and not _has(instance.service.meta, meta):
            return False
        if not tags:
            return True
        own = {tag.lower() for tag in instance.service.tags}
        return required <= own and not forbidden & own

    return is_chosen


def chosen(service: ServiceQuery, instances: Iterable[I]) -> Iterator[I]:
    """The instances that a query chooses, in their order."""
    return filter(is_chosen_by(service), instances)


def _has(meta: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(meta.get(name) == value for name, value in wanted.items())


def shuffled(items: Sequence[T], rng: Rng) -> list[T]:
    """The same in a random order."""
    return sorted(items, key=lambda _: rng.random())


def with_first(instances: Sequence[I], near: str) -> list[I]:
    """The same with those on a node in front.

    Args:
        instances: Which.
        near: The name of the node, in any case; "": none.
    """
    if not near:
        return list(instances)
    return sorted(instances, key=lambda one: not is_on(one, near))


def is_on(instance: Choosable, node: str) -> bool:
    """Whether an instance is on the node with this name, in any case."""
    return name_part(instance.node.name) == name_part(node)
