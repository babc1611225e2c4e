"""What a prepared query says, as commands and rows hold it.

Source: https://developer.hashicorp.com/consul/api-docs/query.
"""

import msgspec

NAME_PREFIX_MATCH = "name_prefix_match"
"""The one type of templates: it matches names that begin with its own."""


class Template(msgspec.Struct, array_like=True, frozen=True):
    """How a query is made of the name that is asked for.

    Attributes:
        type: "" (it is none) or `NAME_PREFIX_MATCH`.
        regexp: Its groups are what `${match(N)}` gives.
        remove_empty_tags: Tags that are empty once they are interpolated are left out.
    """

    type: str = ""
    regexp: str = ""
    remove_empty_tags: bool = False


class FailoverTarget(msgspec.Struct, array_like=True, frozen=True):
    """Where to look if no instance is left: a peer, or another datacenter."""

    peer: str = ""
    datacenter: str = ""


class Failover(msgspec.Struct, array_like=True, frozen=True):
    """Where to look if no instance is left, in this order: `nearest`, or `targets` alone.

    Attributes:
        nearest: So many of the nearest datacenters.
        datacenters: Then these.
        targets: Instead of both.
    """

    nearest: int = 0
    datacenters: tuple[str, ...] = ()
    targets: tuple[FailoverTarget, ...] = ()


NO_FAILOVER = Failover()


class ServiceQuery(msgspec.Struct, array_like=True, frozen=True):
    """Which instances are chosen.

    Attributes:
        service: The name of the service.
        sameness_group: Kept; nothing has one.
        failover: See `Failover`.
        only_passing: Those with a warning are left out, too.
        ignored_checks: Checks with these ids do not count.
        near: The name of a node whose instance comes first; `_agent`: that of the agent that is
            asked; `_ip`: that with the address of the client.
        tags: All are required; one that begins with `!` must not be there. None: not given.
        node_meta, service_meta: What must be in the metadata.
        is_connect: Instances that take part in the mesh for the service.
        peer: Of another cluster.
    """

    service: str
    sameness_group: str = ""
    failover: Failover = NO_FAILOVER
    only_passing: bool = False
    ignored_checks: tuple[str, ...] = ()
    near: str = ""
    tags: tuple[str, ...] | None = None
    node_meta: dict[str, str] = {}
    service_meta: dict[str, str] = {}
    is_connect: bool = False
    peer: str = ""


NO_TEMPLATE = Template()


class QueryFields(msgspec.Struct, array_like=True, frozen=True):
    """A prepared query without its id and indexes.

    Attributes:
        name: By which it is found, in any case; of a template: with which names begin.
        session: The query is deleted when this session ends; "": it is bound to none.
        token: With which it is carried out; kept.
        template: See `Template`.
        service: See `ServiceQuery`.
        dns_ttl: Of answers by DNS, as the caller spelt it; "": that of the service.
    """

    name: str
    service: ServiceQuery
    session: str = ""
    token: str = ""
    template: Template = NO_TEMPLATE
    dns_ttl: str = ""

    @property
    def is_template(self) -> bool:
        """Whether it matches names that begin with its own."""
        return self.template.type != ""
