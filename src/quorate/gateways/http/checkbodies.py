"""Definitions of checks in the bodies of requests and in configuration files.

Source: https://developer.hashicorp.com/consul/api-docs/agent/check.
"""

from typing import Any

from quorate.gateways.http.bodies import (
    Fields,
    checked,
    fields_of,
    integer_in,
    is_list,
    is_object,
    kind_of,
    switch_in,
    text_in,
    texts_in,
)
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import duration_ns
from quorate.localstate.entries import SERVICE_CHECKS_MAX
from quorate.monitoring.checks import STATUSES
from quorate.monitoring.definitions import CheckDefinition

_TEXTS = {
    "HTTP": "http", "Method": "method", "Body": "body", "TLSServerName": "tls_server_name",
    "TCP": "tcp", "UDP": "udp", "GRPC": "grpc", "DockerContainerID": "docker", "Shell": "shell",
    "AliasNode": "alias_node", "AliasService": "alias_service", "H2PING": "h2ping",
    "OSService": "os_service",
}  # fmt: skip
_DURATIONS = {
    "TTL": "ttl_ns", "Interval": "interval_ns", "Timeout": "timeout_ns",
    "DeregisterCriticalServiceAfter": "deregister_after_ns",
}  # fmt: skip
_NUMBERS = {
    "SuccessBeforePassing": "success_before_passing",
    "FailuresBeforeWarning": "failures_before_warning",
    "FailuresBeforeCritical": "failures_before_critical", "OutputMaxSize": "output_bytes_max",
}  # fmt: skip
_SWITCHES = {
    "TLSSkipVerify": "tls_skip_verify", "DisableRedirects": "disable_redirects",
    "TCPUseTLS": "tcp_use_tls", "GRPCUseTLS": "grpc_use_tls",
}  # fmt: skip
CHECK_FIELDS = frozenset({
    "id", "checkid", "name", "serviceid", "notes", "status", "token", "namespace", "partition",
    "header", "args", "scriptargs", "h2pingusetls", "proxyhttp", "proxygrpc",
    *(name.lower() for names in (_TEXTS, _DURATIONS, _NUMBERS, _SWITCHES) for name in names),
})  # fmt: skip
"""Fields of a check, in lower case without underscores."""

HEADERS_MAX = 64

_BAD_STATUS = "Status for checks must 'passing', 'warning', 'critical'"


class CheckFaultError(HttpError):
    """A check makes no sense.

    Attributes:
        check: Its name, as given.
        why: Of Consul's words.
    """

    def __init__(self, check: str, why: str) -> None:
        super().__init__(400, f"Invalid check: {why}")
        self.check = check
        self.why = why


def service_checks(fields: Fields, service: str, name: str) -> tuple[CheckDefinition, ...]:
    """The checks that come with a service.

    Args:
        fields: Of the service.
        service: Its id.
        name: Its name.

    Raises:
        HttpError: One makes no sense.
        TextError: One cannot be read.
    """
    single, several = fields.get("check"), fields.get("checks")
    given: list[Any] = [] if not single else [single]
    if several is not None:
        if not is_list(several):
            raise TextError(f"json: cannot unmarshal {kind_of(several)} into field Checks")
        given += several
    if len(given) > SERVICE_CHECKS_MAX:
        raise TextError(f"json: field Checks has more than {SERVICE_CHECKS_MAX} items")
    found: list[CheckDefinition] = []
    for number, value in enumerate(given, 1):
        suffix = f":{number}" if len(given) > 1 else ""
        inner = fields_of(value, CHECK_FIELDS, "a check")
        check = text_in(inner, "CheckID") or text_in(inner, "ID") or f"service:{service}{suffix}"
        title = text_in(inner, "Name") or f"Service '{name}' check"
        found.append(_definition(inner, check, title, service, is_embedded=True))
    return tuple(found)


def check_of(value: Any) -> CheckDefinition:
    """The check of a body.

    Raises:
        HttpError: It makes no sense.
        TextError: It cannot be read.
    """
    fields = fields_of(value, CHECK_FIELDS, "a check")
    if not text_in(fields, "Name"):
        raise HttpError(400, "Missing check name")
    return _alone(fields)


def configured_check(value: Any) -> CheckDefinition:
    """The check of a configuration file; a name may be missing.

    Raises:
        HttpError: It makes no sense.
        TextError: It cannot be read.
    """
    return _alone(fields_of(value, CHECK_FIELDS, "a check"))


def _alone(fields: Fields) -> CheckDefinition:
    name = text_in(fields, "Name")
    check = text_in(fields, "ID") or text_in(fields, "CheckID") or name
    return _definition(fields, check, name, text_in(fields, "ServiceID"), is_embedded=False)


def _definition(
    fields: Fields, check: str, name: str, service: str, *, is_embedded: bool
) -> CheckDefinition:
    status = text_in(fields, "Status")
    if status and status not in STATUSES:
        raise HttpError(400, _BAD_STATUS if is_embedded else "Bad check status")
    args = texts_in(fields, "ScriptArgs") or texts_in(fields, "Args")
    values: dict[str, Any] = {key: text_in(fields, field) for field, key in _TEXTS.items()}
    values |= {key: duration_in(fields, field) for field, key in _DURATIONS.items()}
    values |= {key: integer_in(fields, field) for field, key in _NUMBERS.items()}
    values |= {key: switch_in(fields, field) for field, key in _SWITCHES.items()}
    if fields.get("h2pingusetls") is not None:
        values["h2ping_use_tls"] = switch_in(fields, "H2PingUseTLS")
    definition = CheckDefinition(
        check,
        name,
        text_in(fields, "Notes"),
        status,
        service,
        is_embedded,
        args=tuple(args),
        header=header_in(fields),
        **values,
    )
    fault = definition.fault()
    if fault:
        raise CheckFaultError(text_in(fields, "Name"), fault)
    return definition


def header_in(fields: Fields) -> dict[str, tuple[str, ...]]:
    """Header fields, each with its values; null counts as empty.

    Raises:
        TextError: They are none.
    """
    value = fields.get("header")
    if value is None:
        return {}
    if not is_object(value):
        raise TextError(f"json: cannot unmarshal {kind_of(value)} into field Header")
    if len(value) > HEADERS_MAX:
        raise TextError(f"json: field Header has more than {HEADERS_MAX} names")
    return {
        checked(name, "Header"): tuple(texts_in({"header": values}, "Header"))
        for name, values in value.items()
    }


def duration_in(fields: Fields, name: str) -> int:
    """A duration in nanoseconds: a text, or a number of them; null counts as absent.

    Raises:
        TextError: It is none.
    """
    value = fields.get(name.lower())
    if value is None or value == "":
        return 0
    if isinstance(value, str):
        return duration_ns(value)
    return integer_in(fields, name)
