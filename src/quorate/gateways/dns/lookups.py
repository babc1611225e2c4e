"""Lookups: what the catalog has for a question, as records.

Source: https://developer.hashicorp.com/consul/docs/services/discovery/dns-static-lookups and what
Consul 1.22 answered (`tests/compat/consul/data/dns.json`).
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from quorate.base.results import Answer, StateView
from quorate.catalog.fields import CRITICAL, PASSING, SERVER_SERVICE, Service
from quorate.catalog.queries import Instance, each_instance, node_get
from quorate.catalog.tables import NodeRow, instances_at, nodes_at
from quorate.gateways.dns import records
from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.names import Address, Kind, Subject, reverse_address, subject_of
from quorate.gateways.dns.prepared import NOBODY, Asker, prepared
from quorate.gateways.dns.questions import NOTIMP, NXDOMAIN, REFUSED, DnsQuestion
from quorate.gateways.dns.records import (
    AAAA,
    ANY,
    AXFR,
    CNAME,
    IXFR,
    NS,
    PTR,
    SOA,
    SRV,
    TXT,
    A,
    Labels,
    NameFormatError,
    Records,
    encoded,
    labels_of,
    record,
)  # fmt: skip

INSTANCES_MAX = 1_000
"""An answer is made of the first so many instances of a service, by node: more do not fit."""

KEPT_MAX = 10_000
"""So many instances, and services without any, are kept in memory; with more all are dropped."""

SERVERS_MAX = 3
"""So many servers are named in NS records."""

_ADDRESS_TYPES = frozenset({A, AAAA, ANY, TXT, CNAME})


class Piece(NamedTuple):
    """A record of the answer, and the records that go with it.

    Attributes:
        answer: The record.
        extras: Those of the additional section.
    """

    answer: bytes
    extras: tuple[bytes, ...] = ()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The records of a reply, before they are shuffled and cut to size.

    Attributes:
        rcode: The response code.
        pieces: The answer.
        authority: Records of that section.
        extras: Records of the additional section that are not of a piece.
        is_authoritative: The name is in a domain of this node, or an address that it knows.
        is_limited: `DnsConfig.a_records_max` counts.
        is_outside: Recursors are asked if there are any.
        serial: The time that is in it, in seconds; None: it has none.
        changed: The index of its newest change, by `subjects`.
        subjects: The watch keys that cover it; empty: any change may change it.
        ordered: So many of the first pieces come first in every reply.
        is_of_client: Another client may get another reply.
    """

    rcode: int = 0
    pieces: Sequence[Piece] = ()
    authority: tuple[bytes, ...] = ()
    extras: tuple[bytes, ...] = ()
    is_authoritative: bool = True
    is_limited: bool = False
    is_outside: bool = False
    serial: int | None = None
    changed: int = 0
    subjects: tuple[bytes, ...] = ()
    ordered: int = 0
    is_of_client: bool = False


class CatalogState:
    """One state of the catalog; the instances of a service are read from it once.

    Args:
        reading: The state. It may be exchanged for another one with the same catalog.
    """

    def __init__(self, reading: StateView) -> None:
        self.reading = reading
        self._services: dict[str, Answer[Sequence[Instance]]] = {}
        self._count = 0

    def renew(self, reading: StateView) -> None:
        """Read from this one from now on."""
        self.reading = reading

    def instances(self, service: str) -> Answer[Sequence[Instance]]:
        """The first instances of a service."""
        name = service.lower()
        answer = self._services.get(name)
        if answer is None:
            found = each_instance(self.reading, service)
            rows = list(islice(found.value, INSTANCES_MAX))
            answer = Answer[Sequence[Instance]](rows, found.changed, found.header, found.subjects)
            self._count += len(rows) + 1
            if self._count > KEPT_MAX:
                self._services.clear()
                self._count = len(rows) + 1
            self._services[name] = answer
        return answer


def look_up(
    state: CatalogState,
    config: DnsConfig,
    question: DnsQuestion,
    now_s: float,
    asker: Asker = NOBODY,
) -> Found:
    """What the reply to a question is made of.

    Args:
        state: The state to read.
        config: The settings.
        question: The question.
        now_s: Unix time, for SOA records.
        asker: Who asks, for queries that say what is near.
    """
    return _Lookup(state, config, question, int(now_s), asker).found()


class _Lookup:
    """One lookup."""

    def __init__(
        self,
        state: CatalogState,
        config: DnsConfig,
        question: DnsQuestion,
        now_s: int,
        asker: Asker,
    ) -> None:
        self._state = state
        self._asker = asker
        self._reading = state.reading
        self._config = config
        self._question = question
        self._qtype = question.qtype
        self._now_s = now_s
        domain = _domain_of(question.words, config)
        self._inner = (
            None if domain is None else question.words[: len(question.words) - len(domain)]
        )
        labels = [label.encode() for label in domain or config.domain.split(".")]
        self._names = Records(question, labels, compresses=config.compresses)
        self._owner = self._names.asked()

    def found(self) -> Found:
        qtype, inner = self._qtype, self._inner
        if qtype in {AXFR, IXFR}:
            return Found(rcode=NOTIMP)
        if inner is None:
            return self._reverse()
        if qtype in {SOA, NS}:
            return self._about_domain()
        return self._about(subject_of(inner, self._config.datacenter, is_srv=qtype == SRV))

    def _about(self, subject: Subject) -> Found:
        match subject.kind:
            case Kind.NODE:
                return self._node(subject.name)
            case Kind.SERVICE | Kind.PORT:
                return self._service(subject)
            case Kind.QUERY:
                return self._query(subject.name)
            case Kind.LITERAL:
                return self._literal(subject)
            case Kind.VIRTUAL:
                return Found()
            case _:
                return self._nothing()

    # --- replies without records ---------------------------------------------------------------

    def _nothing(self, answer: Answer[Any] | None = None, *, rcode: int = NXDOMAIN) -> Found:
        """NXDOMAIN, or with another code an empty answer; either with a SOA record."""
        found = Found(rcode=rcode, authority=(self._soa(),), serial=self._now_s)
        return found if answer is None else _of(found, answer)

    def _soa(self) -> bytes:
        names = self._names
        return records.authority(names.within([]), names, self._config.soa, self._now_s)

    # --- the domain ----------------------------------------------------------------------------

    def _about_domain(self) -> Found:
        """SOA and NS, for every name."""
        owner, names = self._names.within([]), self._names
        servers: list[Piece] = []
        answer = self._state.instances(SERVER_SERVICE)
        for instance in answer.value:
            node = instance.node
            at, labels = _ip(node.address), _node_labels(node.name, self._config.datacenter)
            if at is None or labels is None or _is_out(instance, only_passing=False):
                continue
            glue = records.address(names.within(labels), self._config.node_ttl_s, at)
            data = names.whole(labels)
            servers.append(Piece(record(owner, NS, self._config.node_ttl_s, data), (glue,)))
            if len(servers) == SERVERS_MAX:
                break
        if self._qtype == NS:
            return _of(Found(pieces=servers), answer)
        return _of(
            Found(
                pieces=(Piece(self._soa()),),
                authority=tuple(piece.answer for piece in servers),
                extras=tuple(extra for piece in servers for extra in piece.extras),
                serial=self._now_s,
            ),
            answer,
        )

    # --- nodes ---------------------------------------------------------------------------------

    def _node(self, name: str) -> Found:
        answer = node_get(self._reading, name)
        node = answer.value
        if node is None:
            return self._nothing(answer)
        ttl_s, qtype, owner = self._config.node_ttl_s, self._qtype, self._owner
        texts = records.texts(owner, ttl_s, sorted(node.meta.items()))
        if qtype == TXT:
            return _of(Found(pieces=[Piece(text) for text in texts]), answer)
        address = self._address(owner, ttl_s, node.address)
        if address is None or qtype not in _ADDRESS_TYPES:
            return _of(Found(), answer)
        if qtype == ANY:
            return _of(Found(pieces=[Piece(address), *map(Piece, texts)]), answer)
        return _of(Found(pieces=[Piece(address, texts)]), answer)

    def _address(self, owner: bytes, ttl_s: float, text: str) -> bytes | None:
        """The record of an address, if the question is for records of its type."""
        qtype, at = self._qtype, _ip(text)
        if at is not None:
            own = A if at.version == 4 else AAAA
            is_asked = qtype in {own, ANY, TXT}
            return records.address(owner, ttl_s, at) if is_asked else None
        try:
            return record(owner, CNAME, ttl_s, encoded(labels_of(text)))
        except NameFormatError:
            return None

    def _literal(self, subject: Subject) -> Found:
        at = subject.address
        if at is None:
            return self._nothing()
        made = records.address(self._owner, self._config.node_ttl_s, at)
        own = A if at.version == 4 else AAAA
        if self._qtype in {own, ANY}:
            return Found(pieces=[Piece(made)])
        return Found(extras=(made,))

    # --- services ------------------------------------------------------------------------------

    def _service(self, subject: Subject) -> Found:
        answer = self._state.instances(subject.name)
        only_passing = self._config.only_passing
        instances = list(_chosen(answer.value, subject, only_passing=only_passing))
        if not instances:
            return self._nothing(answer)
        pieces = self._pieces(instances, subject.port, self._config.service_ttl_s(subject.name))
        if not pieces:
            return self._nothing(answer, rcode=0)
        return _of(Found(pieces=pieces, is_limited=self._qtype != SRV), answer)

    def _query(self, name: str) -> Found:
        made = prepared(self._reading, self._state.instances, name, self._asker)
        ttl_s = made.ttl_s
        if ttl_s is None:
            ttl_s = self._config.service_ttl_s(made.service)
        first = self._pieces(made.instances[: made.ordered], "", ttl_s)
        others = self._pieces(made.instances[made.ordered :], "", ttl_s)
        pieces = [*first, *(piece for piece in others if piece not in first)]
        if pieces:
            found = Found(pieces=pieces, ordered=len(first), is_limited=self._qtype != SRV)
        else:
            found = self._nothing(rcode=0 if made.instances else NXDOMAIN)
        return msgspec.structs.replace(
            found,
            changed=made.changed,
            subjects=made.subjects,
            is_of_client=made.is_of_client,
        )

    def _pieces(self, instances: Iterable[Instance], port: str, ttl_s: float) -> list[Piece]:
        """The records of instances, of the type that is asked for."""
        if self._qtype == SRV:
            return list(self._srv(instances, port, ttl_s))
        if self._qtype not in _ADDRESS_TYPES:
            return []
        made = (self._address(self._owner, ttl_s, _where(one)) for one in instances)
        return [Piece(each) for each in dict.fromkeys(filter(None, made))]

    def _srv(self, instances: Iterable[Instance], name: str, ttl_s: float) -> Iterator[Piece]:
        seen: set[tuple[str, str, int]] = set()
        for instance in instances:
            service, node = instance.service, instance.node
            where = _where(instance)
            port = _ports(service, name)[0]
            place = (node.name, where, port)
            if place in seen:
                continue
            seen.add(place)
            is_warned = any(check.status != PASSING for check in instance.checks)
            weight = service.weights.warning if is_warned else service.weights.passing
            target = self._target(instance, where)
            if target is None:
                continue
            whole, extras = target[0], target[1]
            made = records.service(self._owner, ttl_s, weight, port, whole)
            yield Piece(made, self._extras(node, extras, ttl_s, _ip(where)))

    def _target(self, instance: Instance, where: str) -> tuple[bytes, bytes | None] | None:
        """The target of a SRV record: whole, and as the owner of its addresses; None: none."""
        names, datacenter = self._names, self._config.datacenter
        at = _ip(where)
        try:
            if at is None:
                return encoded(labels_of(where)), None
            labels = None
            if not instance.service.address:
                labels = _node_labels(instance.node.name, datacenter)
            if labels is None:
                labels = [at.packed.hex().encode(), b"addr", datacenter.encode()]
            return names.whole(labels), names.within(labels)
        except NameFormatError:
            return None

    def _extras(
        self, node: NodeRow, owner: bytes | None, ttl_s: float, at: Address | None
    ) -> tuple[bytes, ...]:
        if owner is None or at is None:
            return ()
        made = records.address(owner, ttl_s, at)
        if not self._config.shows_node_meta:
            return (made,)
        return (made, *records.texts(owner, ttl_s, sorted(node.meta.items())))

    # --- reverse lookups -----------------------------------------------------------------------

    def _reverse(self) -> Found:
        config, question = self._config, self._question
        is_pointer = self._qtype in {PTR, ANY}
        at = reverse_address(question.words) if is_pointer else None
        if at is None:
            return Found(rcode=REFUSED, is_authoritative=False, is_outside=True)
        targets = list(self._pointers(str(at)))
        if targets:
            return Found(pieces=[Piece(record(self._owner, PTR, 0, data)) for data in targets])
        if config.recursors:
            return Found(rcode=REFUSED, is_authoritative=False, is_outside=True)
        return self._nothing()

    def _pointers(self, text: str) -> Iterator[bytes]:
        """The names of the nodes with an address; if none has it, of the services."""
        rows, datacenter = self._reading.rows, self._config.datacenter
        nodes = [_node_labels(node.name, datacenter) for node in islice(nodes_at(rows, text), 8)]
        if not nodes:
            found = islice(instances_at(rows, text), INSTANCES_MAX)
            services = dict.fromkeys(row.service.name for row in found)
            nodes = [_labels(name, "service", datacenter) for name in services]
        for labels in nodes:
            try:
                if labels is not None:
                    yield self._names.whole(labels)
            except NameFormatError:
                continue


def _of(found: Found, answer: Answer[Any]) -> Found:
    subjects = tuple(subject[1:] for subject in answer.subjects)
    return msgspec.structs.replace(found, changed=answer.changed, subjects=subjects)


def _domain_of(words: Sequence[str], config: DnsConfig) -> tuple[str, ...] | None:
    """The domain that a name is in; None: in none."""
    for domain in config.domains:
        labels = tuple(domain.split("."))
        if tuple(words[-len(labels) :]) == labels:
            return labels
    return None


def _chosen(
    instances: Iterable[Instance], subject: Subject, *, only_passing: bool
) -> Iterator[Instance]:
    tag, port = subject.tag, subject.port
    for instance in instances:
        if _is_out(instance, only_passing=only_passing):
            continue
        if tag and all(own.lower() != tag for own in instance.service.tags):
            continue
        if _ports(instance.service, port):
            yield instance


def _ports(service: Service, name: str) -> list[int]:
    """The port of an instance, or the one with a name; none if it has no such port."""
    if not name:
        return [service.port]
    return [port.port for port in service.ports if port.name.lower() == name]


def _is_out(instance: Instance, *, only_passing: bool) -> bool:
    statuses = [check.status for check in instance.checks]
    return CRITICAL in statuses or (only_passing and any(one != PASSING for one in statuses))


def _where(instance: Instance) -> str:
    return instance.service.address or instance.node.address


def _ip(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _node_labels(name: str, datacenter: str) -> Labels | None:
    return _labels(name, "node", datacenter)


def _labels(name: str, keyword: str, datacenter: str) -> Labels | None:
    """The labels of a name in the domain; None: it cannot be a name of DNS."""
    try:
        return [*labels_of(name), keyword.encode(), datacenter.encode()]
    except NameFormatError:
        return None
