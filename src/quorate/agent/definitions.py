"""Definitions of services and checks in configuration files.

The fields are those of the HTTP API, in any spelling of Consul's: `ServiceID`, `service_id`,
`serviceId`. What is wrong is said in Consul's words.

Source: https://developer.hashicorp.com/consul/docs/reference/service.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from quorate.gateways.http.bodies import is_list, is_object
from quorate.gateways.http.checkbodies import CHECK_FIELDS, CheckFaultError, configured_check
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import duration_ns, quoted
from quorate.gateways.http.servicebodies import (
    BAD_META,
    BAD_WEIGHTS,
    SERVICE_FIELDS,
    registration_of,
)
from quorate.localstate.configured import ConfiguredService, Definitions
from quorate.monitoring.definitions import CheckDefinition

T = TypeVar("T")
Block = dict[str, Any]

_DURATIONS = frozenset({"interval", "timeout", "ttl", "deregistercriticalserviceafter"})
_SEVERAL = frozenset({"checks", "paths", "ports", "upstreams", "envoyextensions"})
"""What a service, its proxy or what that exposes may have several of."""


def plain_block(value: Any, key: str = "") -> Any:
    """A definition as the HTTP API takes it.

    HCL gives a list of blocks for each block, as it may be repeated (`agent.hcl`). What there can
    be one of is taken out of its list; of several, the API says what is wrong.
    """
    if is_object(value):
        return {name: plain_block(each, _plain(name)) for name, each in value.items()}
    if not is_list(value):
        return value
    if key not in _SEVERAL and len(value) == 1 and is_object(value[0]):
        return plain_block(value[0])
    return [plain_block(each) for each in value]


def unknown_keys(key: str, blocks: list[Block]) -> Iterator[str]:
    """The keys of definitions that Consul does not know either, each with its place.

    Args:
        key: Under which they stand: `service`, `services`, `check` or `checks`.
        blocks: The definitions, see `plain_block`.
    """
    for number, block in enumerate(blocks):
        where = f"{key}[{number}]" if key.endswith("s") or len(blocks) > 1 else key
        yield from _unknown(where, block, is_check=key.startswith("check"))


def _unknown(where: str, block: Block, *, is_check: bool) -> Iterator[str]:
    known = CHECK_FIELDS if is_check else SERVICE_FIELDS
    for name, value in block.items():
        plain = _plain(name)
        if plain not in known:
            yield f"{where}.{name}"
        elif plain == "check" and is_object(value):
            yield from _unknown(f"{where}.{name}", value, is_check=True)
        elif plain == "checks" and is_list(value):
            for number, each in enumerate(value):
                if is_object(each):
                    yield from _unknown(f"{where}.{name}[{number}]", each, is_check=True)


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


class DefinitionReader:
    """Makes definitions of the blocks of a configuration.

    Args:
        is_lenient: Accept what only a start refuses, as Consul's `validate` does.

    Attributes:
        faults: Of single fields; Consul lists them.
        sentences: Of fields that contradict each other; Consul reports them one by one.
        warnings: For the log.
    """

    def __init__(self, *, is_lenient: bool) -> None:
        self.faults: list[str] = []
        self.sentences: list[str] = []
        self.warnings: list[str] = []
        self._is_lenient = is_lenient

    def read(self, services: list[Block], checks: list[Block]) -> Definitions:
        """The definitions in these blocks, without those that are wrong."""
        found = [each for each in map(self._service, services) if each is not None]
        alone = [each for each in map(self._check, checks) if each is not None]
        self._warn("service", [each.service.id for each in found])
        within = [check.id for each in found for check in each.checks]
        self._warn("check", [*within, *(each.id for each in alone)])
        return Definitions(tuple(found), tuple(alone))

    def _warn(self, kind: str, ids: list[str]) -> None:
        self.warnings += [
            f"the {kind} {each!r} is defined more than once: the last definition counts"
            for each, count in Counter(ids).items()
            if count > 1
        ]

    def _service(self, block: Block) -> ConfiguredService | None:
        fields = {_plain(name): value for name, value in block.items()}
        name = fields.get("name") or ""
        inner = [fields.get("check"), *_listed(fields.get("checks"))]
        count = len(self.faults)
        for each in inner:
            if is_object(each):
                self._check_durations(each)
        if len(self.faults) > count:
            return None
        has_place = any(fields.get(each) is not None for each in ("port", "address"))
        if fields.get("socketpath") is not None and has_place:
            path = fields["socketpath"]
            text = f"service {name} cannot have both socket path {path} and address/port"
            self.faults.append(text)
            return None
        if not name:
            if not self._is_lenient:
                shown = fields.get("id") or ""
                self.sentences.append(f'Failed to register service "{shown}": Service name missing')
            return None
        return self._taken(f'service "{name}"', lambda: _registered(block))

    def _check(self, block: Block) -> CheckDefinition | None:
        count = len(self.faults)
        self._check_durations(block)
        if len(self.faults) > count:
            return None
        fields = {_plain(name): value for name, value in block.items()}
        if not (self._is_lenient or fields.get("name") or fields.get("id")):
            self.sentences.append("Failed to register check '': CheckID missing")
            return None
        return self._taken(f'check "{fields.get("name") or ""}"', lambda: configured_check(block))

    def _taken(self, what: str, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except CheckFaultError as fault:
            shown = f'check "{fault.check}"'
            where = shown if what.startswith("check") else f"{what}: {shown}"
            self.sentences.append(f"{where}: {fault.why}")
        except HttpError as error:
            name = what.partition(" ")[2].strip('"')
            if error.text.startswith(BAD_META):
                self.faults.append(
                    f"invalid meta for service {name}: {error.text.removeprefix(BAD_META)}"
                )
            elif error.text.startswith(BAD_WEIGHTS):
                text = error.text.removeprefix(BAD_WEIGHTS)
                self.faults.append(f"Invalid weight definition for service {name}: {text}")
            else:
                self.sentences.append(f"Failed to register {what}: {error.text}")
        except TextError as error:
            self.faults.append(f"{what}: {str(error).removeprefix('json: ')}")
        return None

    def _check_durations(self, check: Block) -> None:
        """Note the durations of a check that cannot be read."""
        ids = [value for name, value in check.items() if _plain(name) in ("id", "checkid")]
        shown = ids[0] if ids else ""
        for name, value in check.items():
            if _plain(name) in _DURATIONS and isinstance(value, str) and value:
                try:
                    duration_ns(value)
                except TextError as error:
                    where = f"check[{shown}].{name}"
                    self.faults.append(f"{where}: invalid duration: {quoted(value)}: {error}")


def _registered(block: Block) -> ConfiguredService:
    found = registration_of(block)
    return ConfiguredService(found.service, found.checks)


def _listed(value: Any) -> list[Any]:
    return value if is_list(value) else []
