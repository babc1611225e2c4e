"""The kinds of configuration entries, and their fields.

Source: https://developer.hashicorp.com/consul/docs/reference/config-entry.
"""

from enum import Enum
from typing import Any, NamedTuple


class FieldKind(Enum):
    """What a field may hold."""

    TEXT = "string"
    SWITCH = "bool"
    WHOLE = "int"
    NUMBER = "float"
    DURATION = "duration"  # a text such as 5s, or a number of nanoseconds
    TEXTS = "list of strings"
    WHOLES = "list of ints"
    NAMES = "map of strings"
    ANY = "anything"


class Several(NamedTuple):
    """A list of objects."""

    of: "Shape"


class Named(NamedTuple):
    """An object of objects, by any name."""

    of: "Shape"


class AlwaysShown(NamedTuple):
    """A field that is shown also if it is empty."""

    of: Any
    empty: Any


Shape = dict[str, Any]
"""The fields of an object, by name: a `FieldKind`, a `Shape`, `Several`, `Named`, `AlwaysShown`."""

TEXT, SWITCH, WHOLE, NUMBER = FieldKind.TEXT, FieldKind.SWITCH, FieldKind.WHOLE, FieldKind.NUMBER
DURATION, TEXTS, NAMES, ANY = FieldKind.DURATION, FieldKind.TEXTS, FieldKind.NAMES, FieldKind.ANY


def _all(kind: FieldKind, names: str) -> Shape:
    return dict.fromkeys(names.split(), kind)


_MODE = {"Mode": TEXT}
_HEADERS: Shape = {"Add": NAMES, "Set": NAMES, "Remove": TEXTS}
_CHANGES: Shape = {"RequestHeaders": _HEADERS, "ResponseHeaders": _HEADERS}
_TARGET = _all(TEXT, "Service ServiceSubset Namespace Partition Datacenter Peer")
_REGIONS: Shape = {**_MODE, "Regions": TEXTS}
_PATHS = {"ListenerPort": WHOLE, "Path": TEXT, "LocalPathPort": WHOLE, "Protocol": TEXT,
          "ParsedFromCheck": SWITCH}  # fmt: skip
_EXPOSE = AlwaysShown({"Checks": SWITCH, "Paths": Several(_PATHS)}, {})
_TRANSPARENT = AlwaysShown({"OutboundListenerPort": WHOLE, "DialedDirectly": SWITCH}, {})
_UPSTREAM: Shape = {
    **_all(TEXT, "Name Namespace Partition Peer EnvoyListenerJSON EnvoyClusterJSON Protocol"),
    "ConnectTimeoutMs": WHOLE,
    "Limits": _all(WHOLE, "MaxConnections MaxPendingRequests MaxConcurrentRequests"),
    "PassiveHealthCheck": {
        "Interval": DURATION, "BaseEjectionTime": DURATION,
        **_all(WHOLE, "MaxFailures EnforcingConsecutive5xx MaxEjectionPercent"),
    },
    "MeshGateway": _MODE,
    "BalanceOutboundConnections": TEXT,
}  # fmt: skip
_TLS = AlwaysShown(
    {
        "Enabled": AlwaysShown(SWITCH, False), "SDS": _all(TEXT, "ClusterName CertResource"),
        "TLSMinVersion": TEXT, "TLSMaxVersion": TEXT, "CipherSuites": TEXTS,
    },
    {"Enabled": False},
)  # fmt: skip
_INGRESS_LIMITS: Shape = {
    **_all(WHOLE, "MaxConnections MaxPendingRequests MaxConcurrentRequests"),
    "PassiveHealthCheck": _UPSTREAM["PassiveHealthCheck"],
}
_PERMISSION: Shape = {
    "Action": TEXT,
    "HTTP": {
        **_all(TEXT, "PathExact PathPrefix PathRegex"),
        "Header": Several(
            {
                **_all(TEXT, "Name Exact Prefix Suffix Contains Regex"),
                **_all(SWITCH, "Present Invert IgnoreCase"),
            }
        ),
        "Methods": TEXTS,
    },
    "JWT": ANY,
}

KINDS: dict[str, Shape] = {
    "service-defaults": {
        "Protocol": TEXT, "Mode": TEXT, "TransparentProxy": _TRANSPARENT, "MutualTLSMode": TEXT,
        "MeshGateway": AlwaysShown(_MODE, {}), "Expose": _EXPOSE, "ExternalSNI": TEXT,
        "UpstreamConfig": {"Overrides": Several(_UPSTREAM), "Defaults": _UPSTREAM},
        "Destination": {"Addresses": TEXTS, "Port": WHOLE},
        **_all(WHOLE, "MaxInboundConnections LocalConnectTimeoutMs LocalRequestTimeoutMs"),
        "BalanceInboundConnections": TEXT, "RateLimits": ANY, "EnvoyExtensions": ANY,
    },
    "proxy-defaults": {
        "Config": ANY, "Mode": TEXT, "TransparentProxy": _TRANSPARENT, "MutualTLSMode": TEXT,
        "MeshGateway": AlwaysShown(_MODE, {}), "Expose": _EXPOSE,
        "AccessLogs": AlwaysShown(
            {**_all(SWITCH, "Enabled DisableListenerLogs"),
             **_all(TEXT, "Type Path JSONFormat TextFormat")}, {}
        ),
        "EnvoyExtensions": ANY, "FailoverPolicy": _REGIONS, "PrioritizeByLocality": _MODE,
    },
    "service-router": {
        "Routes": Several(
            {
                "Match": {
                    "HTTP": {
                        **_all(TEXT, "PathExact PathPrefix PathRegex"), "CaseInsensitive": SWITCH,
                        "Header": _PERMISSION["HTTP"]["Header"],
                        "QueryParam": Several({**_all(TEXT, "Name Exact Regex"),
                                               "Present": SWITCH}),
                        "Methods": TEXTS,
                    }
                },
                "Destination": {
                    **_all(TEXT, "Service ServiceSubset Namespace Partition PrefixRewrite"),
                    **_all(DURATION, "RequestTimeout IdleTimeout"),
                    "NumRetries": WHOLE, "RetryOnConnectFailure": SWITCH, "RetryOn": TEXTS,
                    "RetryOnStatusCodes": FieldKind.WHOLES, **_CHANGES,
                },
            }
        )
    },
    "service-splitter": {
        "Splits": Several(
            {"Weight": AlwaysShown(NUMBER, 0), **_CHANGES,
             **_all(TEXT, "Service ServiceSubset Namespace Partition")}
        )
    },
    "service-resolver": {
        "DefaultSubset": TEXT, "Subsets": Named({"Filter": TEXT, "OnlyPassing": SWITCH}),
        "Redirect": {**_TARGET, "SamenessGroup": TEXT},
        "Failover": Named(
            {**_all(TEXT, "Service ServiceSubset Namespace SamenessGroup"), "Datacenters": TEXTS,
             "Targets": Several(_TARGET), "Policy": _REGIONS}
        ),
        "PrioritizeByLocality": _MODE,
        **_all(DURATION, "ConnectTimeout RequestTimeout"),
        "LoadBalancer": {
            "Policy": TEXT, "RingHashConfig": _all(WHOLE, "MinimumRingSize MaximumRingSize"),
            "LeastRequestConfig": {"ChoiceCount": WHOLE},
            "HashPolicies": Several(
                {**_all(TEXT, "Field FieldValue"), **_all(SWITCH, "SourceIP Terminal"),
                 "CookieConfig": {"Session": SWITCH, "TTL": DURATION, "Path": TEXT}}
            ),
        },
    },
    "service-intentions": {
        "Sources": Several(
            {
                **_all(TEXT, "Name Namespace Partition Peer SamenessGroup Action"),
                "Permissions": Several(_PERMISSION), "Precedence": WHOLE,
                **_all(TEXT, "Type Description LegacyID"), "LegacyMeta": NAMES,
                **_all(TEXT, "LegacyCreateTime LegacyUpdateTime"),
            }
        ),
        "JWT": ANY,
    },
    "ingress-gateway": {
        "TLS": _TLS,
        "Listeners": Several(
            {
                "Port": WHOLE, "Protocol": TEXT, "TLS": _TLS.of,
                "Services": Several(
                    {"Name": TEXT, "Hosts": AlwaysShown(TEXTS, None), "Namespace": TEXT,
                     "Partition": TEXT, "TLS": _TLS.of, **_CHANGES, **_INGRESS_LIMITS}
                ),
            }
        ),
        "Defaults": _INGRESS_LIMITS,
    },
    "terminating-gateway": {
        "Services": Several(
            {**_all(TEXT, "Name Namespace CAFile CertFile KeyFile SNI"),
             "DisableAutoHostRewrite": SWITCH}
        )
    },
    "api-gateway": {"Listeners": ANY, "Status": ANY},
    "bound-api-gateway": {"Listeners": ANY, "Services": ANY},
    "http-route": {**_all(ANY, "Parents Rules Status"), "Hostnames": TEXTS},
    "tcp-route": _all(ANY, "Parents Services Status"),
    "inline-certificate": _all(TEXT, "Certificate PrivateKey"),
    "file-system-certificate": _all(TEXT, "Certificate PrivateKey"),
    "mesh": {
        "TransparentProxy": AlwaysShown({"MeshDestinationsOnly": SWITCH}, {}),
        "AllowEnablingPermissiveMutualTLS": SWITCH, "TLS": ANY, "HTTP": ANY, "Peering": ANY,
        "ValidateClusters": SWITCH,
    },
    "exported-services": {
        "Services": Several(
            {"Name": TEXT, "Namespace": TEXT,
             "Consumers": Several(_all(TEXT, "Partition Peer SamenessGroup"))}
        )
    },
    "jwt-provider": {
        "JSONWebKeySet": ANY, "Issuer": TEXT, "Audiences": TEXTS, "Locations": ANY,
        "Forwarding": ANY, "ClockSkewSeconds": WHOLE, "CacheConfig": ANY,
    },
}  # fmt: skip
"""The fields of each kind, besides those that all have."""

ENTERPRISE = {"sameness-group": "sameness-groups are an enterprise-only feature"}
"""Kinds that only Consul Enterprise has, and how it says so."""

COMMON: Shape = {"Namespace": TEXT, "Partition": TEXT, "Meta": NAMES}
"""The fields that all kinds have."""

IGNORED = frozenset({"createindex", "modifyindex", "hash"})
"""What clients send back of what they have read."""
