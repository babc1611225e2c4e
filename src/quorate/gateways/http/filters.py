"""`?filter`: which elements of a list are shown.

Source: https://developer.hashicorp.com/consul/api-docs/features/filtering.
"""

from typing import Any

from quorate.filters.expressions import FilterError
from quorate.filters.fields import (
    FLAG,
    LABELS,
    NUMBER,
    TEXT,
    TEXTS,
    Entries,
    Fields,
    Objects,
    fields,
)
from quorate.filters.predicates import Predicate, predicate
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params

_WEIGHTS = fields(Passing=NUMBER, Warning=NUMBER)
_PLACES = Entries(fields(Address=TEXT, Port=NUMBER))
_PROXY = fields(
    DestinationServiceName=TEXT,
    DestinationServiceID=TEXT,
    LocalServiceAddress=TEXT,
    LocalServicePort=NUMBER,
    Mode=TEXT,
    MeshGateway=fields(Mode=TEXT),
    Expose=fields(Checks=FLAG),
)
_CONNECT = fields(Native=FLAG)

NODE = fields(
    ID=TEXT,
    Node=TEXT,
    Address=TEXT,
    Datacenter=TEXT,
    Partition=TEXT,
    PeerName=TEXT,
    TaggedAddresses=LABELS,
    Meta=LABELS,
)
SERVICE = fields(
    Kind=TEXT,
    ID=TEXT,
    Service=TEXT,
    Tags=TEXTS,
    Address=TEXT,
    TaggedAddresses=_PLACES,
    Meta=LABELS,
    Port=NUMBER,
    SocketPath=TEXT,
    Weights=_WEIGHTS,
    EnableTagOverride=FLAG,
    Proxy=_PROXY,
    Connect=_CONNECT,
    PeerName=TEXT,
)
SERVICE_NODE = fields(
    ID=TEXT,
    Node=TEXT,
    Address=TEXT,
    Datacenter=TEXT,
    TaggedAddresses=LABELS,
    NodeMeta=LABELS,
    ServiceKind=TEXT,
    ServiceID=TEXT,
    ServiceName=TEXT,
    ServiceTags=TEXTS,
    ServiceAddress=TEXT,
    ServiceTaggedAddresses=_PLACES,
    ServiceWeights=_WEIGHTS,
    ServiceMeta=LABELS,
    ServicePort=NUMBER,
    ServiceSocketPath=TEXT,
    ServiceEnableTagOverride=FLAG,
    ServiceProxy=_PROXY,
    ServiceConnect=_CONNECT,
    PeerName=TEXT,
)
CHECK = fields(
    Node=TEXT,
    CheckID=TEXT,
    Name=TEXT,
    Status=TEXT,
    Notes=TEXT,
    Output=TEXT,
    ServiceID=TEXT,
    ServiceName=TEXT,
    ServiceTags=TEXTS,
    Type=TEXT,
    Interval=TEXT,
    Timeout=TEXT,
    ExposedPort=NUMBER,
    PeerName=TEXT,
)
INSTANCE = fields(Node=NODE, Service=SERVICE, Checks=Objects(CHECK))
INTENTION = fields(
    ID=TEXT,
    Description=TEXT,
    SourceNS=TEXT,
    SourceName=TEXT,
    DestinationNS=TEXT,
    DestinationName=TEXT,
    SourceType=TEXT,
    Action=TEXT,
    Precedence=NUMBER,
)
MEMBER = fields(Name=TEXT, Addr=TEXT, Port=NUMBER, Tags=LABELS, Status=NUMBER)

_PREFIX = "Failed to create boolean expression evaluator: "


def filter_of(
    params: Params, shown: Fields, lines: bytes = b"", prefix: str = _PREFIX
) -> Predicate | None:
    """What decides whether an element is shown; None if everything is.

    Args:
        params: Of the query.
        shown: The fields that elements have.
        lines: Header lines of an error.
        prefix: Before its text.

    Raises:
        HttpError: 500: see `filters.predicates.predicate`.
    """
    text = params.text("filter")
    if not text:
        return None
    try:
        return predicate(text, shown)
    except FilterError as error:
        raise HttpError(500, f"{prefix}{error}", headers=lines) from None


def kept(elements: list[Any], keep: Predicate | None) -> list[Any]:
    """The elements that pass."""
    return elements if keep is None else [element for element in elements if keep(element)]
