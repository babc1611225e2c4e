"""Executing prepared queries: `/v1/query/:id/execute`.

Instances are read from the same indexes as those of `/v1/health/service`. A service with more
instances than one turn reads is sent in slices: then the order is random within each slice.

Source: https://developer.hashicorp.com/consul/api-docs/query#execute-prepared-query.
"""

from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import replace

from quorate.base.context import Consistency
from quorate.base.results import Answer
from quorate.base.subjects import name_part
from quorate.catalog.queries import Instance, each_instance, each_service, instances_at_node
from quorate.catalog.tables import nodes_at
from quorate.gateways.http.blocking import ERROR_LINES, Mode, mode_of, read
from quorate.gateways.http.catalog import in_mesh
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.longlists import LongRows, list_in_turn
from quorate.gateways.http.params import Params, boolean, path_text, quoted
from quorate.gateways.http.rowreads import BODY_BYTES_MAX, KeptRead
from quorate.gateways.http.streams import HERE
from quorate.gateways.http.views import JsonView, instance_view
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.preparedqueries.choosing import AGENT, IP, is_chosen_by, shuffled, with_first
from quorate.preparedqueries.fields import QueryFields, ServiceQuery
from quorate.preparedqueries.queries import QueryLookupError, any_query, resolved
from quorate.preparedqueries.tables import QueryRow
from quorate.preparedqueries.templates import QueryTemplateError, rendered
from quorate.serving.evaluations import Evaluated

_MS_NS = 1_000_000
_HERE_JSON = b'"%b"' % HERE.encode()
_LIMIT_DIGITS = 18


class Terms(msgspec.Struct, frozen=True):
    """What a request says beside the name of the query.

    Attributes:
        limit: Of instances; 0: none.
        near: As `ServiceQuery.near`, and before it.
        is_connect: Instances of the mesh, whatever the query says.
        client: The address of the client; "": unknown.
    """

    limit: int
    near: str
    is_connect: bool
    client: str


def once(mode: Mode) -> Mode:
    """The same, but it does not wait: what is executed and explained is not watched."""
    return replace(mode, index=0)


def not_found() -> HttpError:
    """There is no such query."""
    return HttpError(404, "Query not found", headers=ERROR_LINES)


def resolved_at(reader: Reader, name: str) -> QueryRow | None:
    """The query that a name means, rendered; None: none.

    Raises:
        HttpError: 500, with Consul's text.
    """
    try:
        row = resolved(reader, name).value
        return None if row is None else replace(row, fields=rendered(row.fields, name))
    except (QueryLookupError, QueryTemplateError) as error:
        raise HttpError(500, str(error), headers=ERROR_LINES) from None


def read_fields(context: Context, request: Request, *, is_stale: bool) -> JsonView:
    """The fields about a read that Consul puts into these bodies."""
    knows, contact_ms = context.contact() if is_stale else (True, 0)
    is_consistent = request.context.consistency is Consistency.CONSISTENT
    level = "consistent" if is_consistent else "leader"
    return {
        "Index": 1,
        "LastContact": contact_ms * _MS_NS,
        "KnownLeader": knows,
        "ConsistencyLevel": "stale" if is_stale else level,
        "NotModified": False,
        "Backend": 0,
        "ResultsFilteredByACLs": False,
    }


def execute(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The instances that a query chooses, in random order, the near ones first."""
    mode = once(mode_of(context, request, params, takes_cached=True, is_named=True))
    text = path_text(name, "query name")
    terms = _terms(request, params)
    is_stale = request.context.is_stale

    def evaluate(reader: Reader) -> Answer[Any] | LongRows:
        fields = _fields_at(reader, text)
        frame = _frame(context, fields) | read_fields(context, request, is_stale=is_stale)
        near = _near(context, fields.service, terms, reader)
        return _evaluated(context, fields.service, terms, near, frame, reader)

    def render(answer: Evaluated, lines: bytes) -> None:
        context.responses.value(request, answer.value, lines=lines)

    kept, responses = context.kept, context.responses
    is_pretty = responses.is_pretty or responses.asks_pretty(request)
    if kept.may_keep(request) and not is_stale and not is_pretty:
        frame = read_fields(context, request, is_stale=False)
        kept.keep(request.target, KeptExecution(context, request, mode, text, terms, frame).respond)
    read(context, request, mode, evaluate, render)


def _fields_at(reader: Reader, name: str) -> QueryFields:
    row = resolved_at(reader, name)
    if row is None:
        raise not_found()
    return row.fields


class KeptExecution(KeptRead):
    """An execution that clients repeat: each instance is encoded once per change.

    Each response has the instances in another order. What follows from the client's address, and
    what one turn cannot make, is made anew each time.

    Args:
        gateway: The context of the gateway.
        request: The first request.
        mode: See `blocking.mode_of`.
        name: Of the query, or its id.
        terms: What the request says besides.
        read_fields: See there.
    """

    def __init__(
        self,
        gateway: Context,
        request: Request,
        mode: Mode,
        name: str,
        terms: Terms,
        read_fields: JsonView,
    ) -> None:
        super().__init__(gateway, request, mode, self._changes, _shown, is_exact=True)
        self._name = name
        self._terms = terms
        self._read_fields = read_fields
        self._fields: QueryFields | None = None
        self._near = ""
        self._first: list[bytes] = []  # the instances that come first, and the others, as JSON
        self._others: list[bytes] = []
        self._around = (b"", b"")

    def _changes(self, reader: Reader) -> Answer[Iterator[Any]]:
        """The indexes of the execution; the instances are not read."""
        queries = any_query(reader)
        if self._fields is None:
            return Answer(iter(()), queries.changed, 1, ())
        service = self._fields.service
        is_connect = service.is_connect or self._terms.is_connect
        found = each_service(reader) if is_connect else each_instance(reader, service.service)
        return Answer(found.value, max(queries.changed, found.changed), 1, ())

    def _current(self) -> bytes | None:
        """See `KeptRead._current`; the instances in another order."""
        return None if super()._current() is None else self._shuffled()

    def _made(self, request: Request, reader: Reader) -> Answer[Any] | LongRows:
        """See `KeptRead._made`: all instances, whatever the limit."""
        gateway, terms = self._gateway, replace(self._terms, client=_client_of(request))
        fields = self._fields = _fields_at(reader, self._name)
        self._near = _near(gateway, fields.service, terms, reader)
        frame = _frame(gateway, fields) | self._read_fields
        answer = _evaluated(gateway, fields.service, terms, self._near, frame, reader)
        if isinstance(answer, LongRows) or not terms.limit:
            return answer
        unlimited = replace(terms, limit=0)
        return _evaluated(gateway, fields.service, unlimited, self._near, frame, reader)

    def _encoded(
        self,
        request: Request,  # noqa: ARG002 - whether it asks for indentation is known
        answer: Answer[Any],
    ) -> bytes:
        """See `KeptRead._encoded`."""
        gateway, fields = self._gateway, self._fields
        encoded = partial(gateway.responses.encoded, asked=False)
        nodes, place = answer.value["Nodes"], name_part(self._near)
        before, after = encoded(answer.value | {"Nodes": HERE}).split(_HERE_JSON)
        self._around = (before + b"[", b"]" + after)
        pairs = [(name_part(one["Node"]["Node"]) == place, encoded(one)) for one in nodes]
        self._first = [data for is_first, data in pairs if is_first]
        self._others = [data for is_first, data in pairs if not is_first]
        size = sum(len(data) for _, data in pairs)
        self._header = 1
        depends_on_client = fields is None or fields.service.near == IP
        if size <= BODY_BYTES_MAX and not depends_on_client:
            self._keep(before, self._changes(gateway.reader()).changed, size)
        return self._shuffled()

    def _shuffled(self) -> bytes:
        rng = self._gateway.serving.rng
        before, after = self._around
        parts = [*shuffled(self._first, rng), *shuffled(self._others, rng)]
        return before + b",".join(parts[: self._terms.limit or None]) + after


def _terms(request: Request, params: Params) -> Terms:
    text = params.text("connect")
    limit = _limit(params.text("limit"))
    is_connect = boolean(text) if text else False
    if is_connect is None:
        fault = f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax"
        raise HttpError(500, f"Error parsing 'connect' value: {fault}")
    return Terms(limit, params.text("near"), is_connect, _client_of(request))


def _limit(text: str) -> int:
    """The number of instances that are asked for at most; 0, and less: all."""
    if not text:
        return 0
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise HttpError(500, f"Bad limit: strconv.Atoi: parsing {quoted(text)}: invalid syntax")
    if len(digits.lstrip("0")) > _LIMIT_DIGITS:
        raise HttpError(500, f"Bad limit: strconv.Atoi: parsing {quoted(text)}: value out of range")
    return max(0, int(text))


def _client_of(request: Request) -> str:
    """The address of the client; that which a proxy names counts, as in Consul."""
    named = request.header(b"x-forwarded-for")
    if named is not None:
        try:
            return str(ip_address(named.partition(b",")[0].strip().decode("latin-1")))
        except ValueError:
            pass  # a client may write anything there
    return request.host


def _frame(context: Context, fields: QueryFields) -> JsonView:
    """The body around the instances.

    There is one datacenter, and no peer: other datacenters are passed over and not counted, a peer
    counts, and has no instance.
    """
    service = fields.service
    peer = service.peer
    return {
        "Service": service.service,
        "Nodes": HERE,
        "DNS": {"TTL": fields.dns_ttl},
        "Datacenter": "" if peer else context.config.datacenter,
        "PeerName": peer,
        "Failovers": 0,
    }


def _evaluated(
    context: Context,
    service: ServiceQuery,
    terms: Terms,
    near: str,
    frame: JsonView,
    reader: Reader,
) -> Answer[Any] | LongRows:
    """The body, if one turn can make it."""
    is_connect = service.is_connect or terms.is_connect
    find = partial(_found, service, near, is_connect=is_connect)
    is_chosen, rng = is_chosen_by(service), context.serving.rng

    def pieces(_: Reader, found: Iterator[list[Instance | None]]) -> Iterator[list[JsonView]]:
        left = terms.limit or None
        for piece in found:
            kept = shuffled([one for one in piece if one is not None and is_chosen(one)], rng)
            ordered = with_first(kept, near)[:left]
            yield list(map(_shown, ordered))
            if left is not None:
                left -= len(ordered)
                if left <= 0:
                    return

    answer = list_in_turn(find, pieces, frame, reader)
    if isinstance(answer, Answer) and not answer.value["Nodes"]:
        peers = [target.peer for target in service.failover.targets if target.peer]
        if peers:
            answer.value.update(Failovers=len(peers), PeerName=peers[-1], Datacenter="")
    return answer


def _shown(instance: Instance) -> JsonView:
    """An instance, as `/v1/health/service` shows it but for tags that are not there."""
    view = instance_view(instance)
    view["Service"]["Tags"] = view["Service"]["Tags"] or None
    for check in view["Checks"]:
        check["ServiceTags"] = check["ServiceTags"] or None
    return view


def _found(
    service: ServiceQuery, near: str, reader: Reader, *, is_connect: bool
) -> Answer[Iterator[Instance | None]]:
    """All instances of the service, those on a node first; None: no instance of a mesh."""
    if service.peer:
        return Answer(iter(()), 1, 1, ())
    if is_connect:
        return Answer(in_mesh(service.service)(reader).value, 1, 1, ())
    found = each_instance(reader, service.service).value
    if near:
        place = name_part(near)
        there = instances_at_node(reader, service.service, near)
        found = chain(there, (one for one in found if name_part(one.node.name) != place))
    return Answer(found, 1, 1, ())


def _near(context: Context, service: ServiceQuery, terms: Terms, reader: Reader) -> str:
    """The node whose instances come first; "": none."""
    near = terms.near or service.near
    if near == AGENT:
        return context.local.status().node.name
    if near == IP:
        node = next(nodes_at(reader.rows, terms.client), None) if terms.client else None
        return "" if node is None else node.name
    return near
