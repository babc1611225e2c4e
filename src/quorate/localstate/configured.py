"""Services and checks of the configuration, as entries of the local state.

LST-12: what the configuration has is in the local state after a start and after each reload, in
    place of an entry with the same id that a client registered.
LST-13: what left the configuration is removed, unless a client registered it again meanwhile;
    checks that clients registered for a configured service stay with it.
LST-14: a reload leaves a definition alone that did not change: its checks go on as they were.
LST-15: a configuration that cannot be applied as a whole changes nothing.

They have no file: the configuration is the file.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from quorate.base.errors import RequestError
from quorate.catalog.fields import Service
from quorate.localstate.entries import CHECKS_MAX, SERVICES_MAX, EntryOrigin
from quorate.localstate.ports import ProbeRefusal
from quorate.localstate.state import LocalState
from quorate.monitoring.definitions import CheckDefinition

_CONFIG = EntryOrigin.CONFIG

Refusal = Callable[[CheckDefinition], ProbeRefusal | None]


class ConfiguredService(msgspec.Struct, frozen=True):
    """A service with the checks that its definition has."""

    service: Service
    checks: tuple[CheckDefinition, ...] = ()


class Definitions(msgspec.Struct, frozen=True):
    """What a configuration defines; of several with one id the last one counts."""

    services: tuple[ConfiguredService, ...] = ()
    checks: tuple[CheckDefinition, ...] = ()


class _Wanted(NamedTuple):
    """Definitions by id; `checks` has those of services, too."""

    services: dict[str, ConfiguredService]
    checks: dict[str, CheckDefinition]


class ConfiguredEntries:
    """Keeps the entries of the configuration in a local state.

    Args:
        state: The local state.
        refusal: Why a configured check cannot be probed.
    """

    def __init__(self, state: LocalState, refusal: Refusal) -> None:
        self._state = state
        self._refusal = refusal
        self._services: dict[str, Service] = {}  # as they were given: tags may be others now

    def apply(self, definitions: Definitions, now_s: float) -> None:
        """Make the entries of the configuration those of `definitions`.

        Args:
            definitions: All of them.
            now_s: Monotonic seconds.

        Raises:
            RequestError: There are too many, the service of a check is unknown, or a check cannot
                be probed; nothing was changed (LST-15).
        """
        wanted = _wanted(definitions)
        self._validate(wanted)
        self._remove(wanted)
        changed = [check for check in wanted.checks.values() if not self._is_kept_check(check)]
        for found in wanted.services.values():
            if not self._is_kept(found.service):
                self._state.register(found.service, (), now_s, origin=_CONFIG)
        self._services = {name: found.service for name, found in wanted.services.items()}
        for check in changed:
            self._state.add_check(check, now_s, _CONFIG)

    def _validate(self, wanted: _Wanted) -> None:
        state = self._state
        own = {name for name, each in state.services.items() if each.origin is not _CONFIG}
        if len(own | wanted.services.keys()) > SERVICES_MAX:
            text = f"this agent may have {SERVICES_MAX} services, and would have more"
            raise RequestError("too_large", text)
        others = {name for name, each in state.checks.items() if each.origin is not _CONFIG}
        if len(others | wanted.checks.keys()) > CHECKS_MAX:
            text = f"this agent may have {CHECKS_MAX} checks, and would have more"
            raise RequestError("too_large", text)
        for check in wanted.checks.values():
            head = f"Failed to register check '{check.name or check.id}'"
            service = check.service_id
            if service and service not in wanted.services and service not in own:
                text = f'{head}: ServiceID "{service}" does not exist'
                raise RequestError("bad_request", text)
            refusal = self._refusal(check) if check.is_probed else None
            if refusal is not None:
                code = "bad_request" if refusal.is_by_setting else "unsupported"
                raise RequestError(code, f"{head}: {refusal.text}")

    def _remove(self, wanted: _Wanted) -> None:
        state = self._state
        for name, service in list(state.services.items()):
            if service.origin is _CONFIG and name not in wanted.services:
                state.deregister(name)
        for name, check in list(state.checks.items()):
            if check.origin is _CONFIG and name not in wanted.checks:
                state.remove_check(name)

    def _is_kept(self, service: Service) -> bool:
        found = self._state.services.get(service.id)
        is_ours = found is not None and found.origin is _CONFIG
        return is_ours and self._services.get(service.id) == service

    def _is_kept_check(self, check: CheckDefinition) -> bool:
        found = self._state.checks.get(check.id)
        return found is not None and found.origin is _CONFIG and found.definition == check


def _wanted(definitions: Definitions) -> _Wanted:
    services = {each.service.id: each for each in definitions.services}
    given = [check for each in services.values() for check in each.checks]
    return _Wanted(services, {check.id: check for check in (*given, *definitions.checks)})
