"""Prepared queries in JSON: definitions that clients send, and queries as the API shows them.

Source: https://developer.hashicorp.com/consul/api-docs/query.
"""

from typing import Any

from quorate.gateways.http.bodies import (
    ITEMS_MAX,
    Fields,
    fields_of,
    integer_in,
    is_list,
    json_of,
    names_in,
    switch_in,
    text_in,
    texts_in,
)
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import duration_ns
from quorate.gateways.http.views import JsonView
from quorate.preparedqueries import templates
from quorate.preparedqueries.fields import (
    Failover,
    FailoverTarget,
    QueryFields,
    ServiceQuery,
    Template,
)
from quorate.preparedqueries.tables import NAME_BYTES_MAX, QueryRow, encode_row

BODY_BYTES_MAX = 64 * 1024
"""No longer definition is read, or stored."""

_HIDDEN = "<hidden>"  # how Consul shows a token to those who may not see it


def definition_of(body: bytes) -> tuple[str, QueryFields]:
    """The id that a body gives, and the definition.

    Raises:
        HttpError: It is too long, malformed or invalid; the text is Consul's.
    """
    if len(body) > BODY_BYTES_MAX:
        raise HttpError(413, f"Request body too large, max size: {BODY_BYTES_MAX} bytes.")
    try:
        fields = fields_of(json_of(body), None, "a prepared query")
        id_, found = text_in(fields, "ID"), _query(fields)
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    return id_, found


def check(fields: QueryFields) -> None:
    """Refuse an invalid definition.

    Raises:
        HttpError: 500, with Consul's text.
    """
    fault = _fault(fields)
    if fault:
        raise HttpError(500, f"Invalid prepared query: {fault}")
    if fields.is_template:
        try:
            templates.check(fields)
        except templates.QueryTemplateError as error:
            text = f"raft apply failed: failed compiling template: {error}"
            raise HttpError(500, text) from None
    if len(encode_row(fields)) > BODY_BYTES_MAX:
        raise HttpError(413, f"A prepared query may take at most {BODY_BYTES_MAX} bytes.")


def _fault(fields: QueryFields) -> str:
    if not fields.name and not fields.is_template and not fields.session:
        return "Must be bound to a session"
    if len(fields.name.encode()) > NAME_BYTES_MAX:
        return f"Name is longer than {NAME_BYTES_MAX} bytes"
    if fields.token == _HIDDEN:
        return (
            f"Bad Token '{_HIDDEN}', it looks like a query definition with a redacted token "
            "was submitted"
        )
    return _service_fault(fields.service) or _ttl_fault(fields.dns_ttl)


def _service_fault(service: ServiceQuery) -> str:
    failover = service.failover
    if not service.service:
        return "Must provide a Service name to query"
    if failover.targets and (failover.datacenters or failover.nearest):
        return "Targets cannot be populated with NearestN or Datacenters"
    if failover.nearest < 0:
        return f"Bad NearestN '{failover.nearest}', must be >= 0"
    return ""


def _ttl_fault(text: str) -> str:
    if not text:
        return ""
    try:
        ttl_ns = duration_ns(text)
    except TextError as error:
        return f"Bad DNS TTL '{text}': {error}"
    return f"DNS TTL '{ttl_ns}', must be >=0" if ttl_ns < 0 else ""


def _query(fields: Fields) -> QueryFields:
    template = fields_of(fields.get("template"), None, "field Template")
    dns = fields_of(fields.get("dns"), None, "field DNS")
    return QueryFields(
        text_in(fields, "Name"),
        _service(fields_of(fields.get("service"), None, "field Service")),
        text_in(fields, "Session"),
        text_in(fields, "Token"),
        Template(
            text_in(template, "Type"),
            text_in(template, "Regexp"),
            switch_in(template, "RemoveEmptyTags"),
        ),
        text_in(dns, "TTL"),
    )


def _service(fields: Fields) -> ServiceQuery:
    failover = fields_of(fields.get("failover"), None, "field Failover")
    return ServiceQuery(
        text_in(fields, "Service"),
        text_in(fields, "SamenessGroup"),
        Failover(
            integer_in(failover, "NearestN"),
            tuple(texts_in(failover, "Datacenters")),
            _targets(failover.get("targets")),
        ),
        switch_in(fields, "OnlyPassing"),
        tuple(texts_in(fields, "IgnoreCheckIDs")),
        text_in(fields, "Near"),
        None if fields.get("tags") is None else tuple(texts_in(fields, "Tags")),
        names_in(fields, "NodeMeta"),
        names_in(fields, "ServiceMeta"),
        switch_in(fields, "Connect"),
        text_in(fields, "Peer"),
    )


def _targets(value: Any) -> tuple[FailoverTarget, ...]:
    if value is None:
        return ()
    if not is_list(value) or len(value) > ITEMS_MAX:
        raise TextError(f"json: field Targets must be a list of at most {ITEMS_MAX} targets")
    found = (fields_of(item, None, "a target") for item in value)
    return tuple(FailoverTarget(text_in(one, "Peer"), text_in(one, "Datacenter")) for one in found)


def query_view(row: QueryRow) -> JsonView:
    """A query as the API shows it."""
    fields = row.fields
    template, service = fields.template, fields.service
    targets = service.failover.targets
    return {
        "ID": row.id,
        "Name": fields.name,
        "Session": fields.session,
        "Token": fields.token,
        "Template": {
            "Type": template.type,
            "Regexp": template.regexp,
            "RemoveEmptyTags": template.remove_empty_tags,
        },
        "Service": {
            "Service": service.service,
            "SamenessGroup": service.sameness_group,
            "Failover": {
                "NearestN": service.failover.nearest,
                "Datacenters": service.failover.datacenters or None,
                "Targets": [{"Peer": one.peer, "Datacenter": one.datacenter} for one in targets]
                or None,
            },
            "OnlyPassing": service.only_passing,
            "IgnoreCheckIDs": service.ignored_checks or None,
            "Near": service.near,
            "Tags": service.tags,
            "NodeMeta": service.node_meta or None,
            "ServiceMeta": service.service_meta or None,
            "Connect": service.is_connect,
            "Peer": service.peer,
        },
        "DNS": {"TTL": fields.dns_ttl},
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }
