"""The local state: services and checks of this agent, and what follows from events.

Pure: each method takes an event and the time. It marks what the catalog must be sent (`pending`)
and adds effects, which the caller takes and carries out: probes to start, files to write.

LST-1: the agent decides what its node offers: what is registered here is in the catalog, and what
    is not here is removed from it.
LST-2: no event costs more than O(checks of one service): due times are in one heap, a heartbeat
    moves its own deadline and leaves the heap alone.

Source: https://developer.hashicorp.com/consul/docs/concept/consistency, anti-entropy.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count
from math import inf

import msgspec

from quorate.base.errors import NotFoundError, RequestError
from quorate.base.ports import Rng
from quorate.catalog.fields import Service
from quorate.localstate.aliases import AliasIndex, local_alias
from quorate.localstate.effects import Effect, StartProbe, StoreFile
from quorate.localstate.entries import (
    CHECKS_MAX,
    SERVICES_MAX,
    EntryOrigin,
    LocalCheck,
    LocalService,
    StoredCheck,
    StoredService,
    encode_entry,
    rules_of,
)
from quorate.localstate.pending import Key, PendingEntries, check_key, service_key
from quorate.monitoring.checks import CRITICAL, CheckState, capped
from quorate.monitoring.definitions import CheckDefinition

_DUE, _OUTPUT, _REMOVAL = 0, 1, 2  # why an entry is in the heap


class StateSettings(msgspec.Struct, frozen=True):
    """Settings of the local state.

    Attributes:
        output_interval_s: An output alone reaches the catalog within about this time.
        discards_output: Outputs of checks are not kept.
        output_bytes_max: What is kept of an output.
        keeps_files: Entries are written to files.
        wakes_on_output: An output alone wakes the watchers of its check.
    """

    output_interval_s: float = 300.0
    discards_output: bool = False
    output_bytes_max: int = 4096
    keeps_files: bool = False
    wakes_on_output: bool = False


class LocalState:
    """Services and checks of one agent.

    Args:
        settings: See above.
        rng: Spreads first probes and late outputs.

    Attributes:
        services, checks: By id.
        pending: What the catalog must be sent.
        version: Another number after every change of a definition.
        aliases: Which checks are aliases.
    """

    def __init__(self, settings: StateSettings, rng: Rng) -> None:
        self._settings = settings
        self._rng = rng
        self.services: dict[str, LocalService] = {}
        self.checks: dict[str, LocalCheck] = {}
        self.pending = PendingEntries()
        self.version = 0
        self.aliases = AliasIndex()
        self._by_service: dict[str, dict[str, None]] = {}
        self._sidecars: dict[str, str] = {}  # by parent
        self._queue: list[tuple[float, int, int, str, int]] = []
        self._numbers = count(1)
        self._effects: list[Effect] = []

    def reconfigure(self, settings: StateSettings) -> None:
        """Apply other settings from now on."""
        self._settings = settings

    @property
    def wakes_on_output(self) -> bool:
        """See `StateSettings`."""
        return self._settings.wakes_on_output

    def take_effects(self) -> list[Effect]:
        """The effects since the last call."""
        effects, self._effects = self._effects, []
        return effects

    @property
    def due_s(self) -> float:
        """When `tick` has something to do at the latest; infinity: never."""
        return self._queue[0][0] if self._queue else inf

    def checks_of(self, service: str) -> list[LocalCheck]:
        """The checks of a service, "": those of the node, in the order of registration."""
        return [self.checks[check] for check in self._by_service.get(service, ())]

    # --- services ------------------------------------------------------------------------------

    def register(
        self,
        service: Service,
        definitions: Iterable[CheckDefinition],
        now_s: float,
        *,
        replaces: bool = False,
        origin: EntryOrigin = EntryOrigin.API,
        parent: str = "",
    ) -> None:
        """Put a service with checks; the status of checks that it has already is kept.

        Args:
            service: Its definition.
            definitions: Of checks that come with it.
            now_s: Monotonic seconds.
            replaces: Its other checks are removed.
            origin: Where it comes from.
            parent: Whose sidecar it is.

        Raises:
            RequestError: `too_large`, definite: it would have too many.
        """
        new = list(definitions)
        self.check_limits((service.id,), new)
        self._put_service(service, origin, parent)
        named = {definition.id for definition in new}
        if replaces and new:
            for check in [
                each for each in self._by_service.get(service.id, ()) if each not in named
            ]:
                self._drop_check(check)
        for definition in new:
            self._put_check(definition, service.name, now_s, origin)

    def _put_service(self, service: Service, origin: EntryOrigin, parent: str) -> None:
        old = self.services.get(service.id)
        self.services[service.id] = LocalService(service, origin, parent)
        self.version += 1
        if parent:
            self._sidecars[parent] = service.id
        if origin is EntryOrigin.API or parent:
            self._store(service_key(service.id), StoredService(service, parent))
        elif old is not None:
            self._forget_file(service_key(service.id), old.origin)
        self.pending.mark(service_key(service.id))
        self.aliases.touch(service.id)
        if old is not None and old.service.name != service.name:
            for each in self.checks_of(service.id):
                each.service_name = service.name
                self.pending.mark(check_key(each.definition.id))

    def check_limits(self, services: Iterable[str], checks: Iterable[CheckDefinition]) -> None:
        """Refuse what would be too many entries.

        Args:
            services: Ids of those to be registered together.
            checks: Likewise.

        Raises:
            RequestError: `too_large`, definite.
        """
        new = set(services) - self.services.keys()
        if new and len(self.services) + len(new) > SERVICES_MAX:
            text = f"this agent has {SERVICES_MAX} services, which is its limit"
            raise RequestError("too_large", text)
        more = {definition.id for definition in checks} - self.checks.keys()
        if more and len(self.checks) + len(more) > CHECKS_MAX:
            text = f"this agent has {CHECKS_MAX} checks, which is its limit"
            raise RequestError("too_large", text)

    def take_tags(self, service: str, tags: tuple[str, ...]) -> None:
        """Take the tags of a service from the catalog."""
        found = self.services[service]
        new = msgspec.structs.replace(found.service, tags=tags)
        self.services[service] = msgspec.structs.replace(found, service=new)
        self.version += 1

    def deregister(self, service: str) -> bool:
        """Remove a service with its checks and its sidecar; False: there is none."""
        found = self.services.pop(service, None)
        if found is None:
            return False
        self.version += 1
        for check in list(self._by_service.get(service, ())):
            self._drop_check(check, is_with_service=True)
        self._forget_file(service_key(service), found.origin)
        self.aliases.touch(service)
        self.pending.mark(service_key(service))
        if found.parent:
            self._sidecars.pop(found.parent, None)
        sidecar = self._sidecars.pop(service, None)
        if sidecar is not None:
            self.deregister(sidecar)
        return True

    # --- checks --------------------------------------------------------------------------------

    def add_check(
        self, definition: CheckDefinition, now_s: float, origin: EntryOrigin = EntryOrigin.API
    ) -> None:
        """Put a check; status and output of one with this id are kept.

        Raises:
            NotFoundError: Its service is unknown.
            RequestError: This agent has as many checks as it may.
        """
        self.check_limits((), [definition])
        service = self.services.get(definition.service_id) if definition.service_id else None
        if definition.service_id and service is None:
            raise NotFoundError("not_found", f'ServiceID "{definition.service_id}" does not exist')
        self._put_check(definition, "" if service is None else service.service.name, now_s, origin)

    def remove_check(self, check: str) -> bool:
        """Remove a check; False: there is none."""
        if check not in self.checks:
            return False
        self._drop_check(check)
        return True

    def _put_check(
        self, definition: CheckDefinition, service_name: str, now_s: float, origin: EntryOrigin
    ) -> None:
        old = self.checks.get(definition.id)
        status = definition.status or CRITICAL
        output = ""
        if old is not None:
            status, output = old.state.status, old.state.output
            self._unlist(old)
            if origin is EntryOrigin.CONFIG:
                self._forget_file(check_key(definition.id), old.origin)
        state = CheckState(rules_of(definition), status, output, now_s, self._rng.random())
        check = LocalCheck(definition, service_name, state, origin, next(self._numbers))
        self.checks[definition.id] = check
        self._by_service.setdefault(definition.service_id, {})[definition.id] = None
        self._schedule(check)
        self._schedule_removal(check)
        self._store_check(check)
        if definition.is_alias:
            self.aliases.add(definition)
        self.aliases.touch(definition.service_id)
        self.version += 1
        self.pending.mark(check_key(definition.id))

    def _drop_check(self, check: str, *, is_with_service: bool = False) -> None:
        found = self.checks.pop(check)
        self._unlist(found)
        self.version += 1
        self._forget_file(check_key(check), found.origin)
        if is_with_service:  # the catalog removes it with the service
            self.pending.forget(check_key(check))
        else:
            self.pending.mark(check_key(check))

    def _unlist(self, check: LocalCheck) -> None:
        service = check.definition.service_id
        listed = self._by_service[service]
        del listed[check.definition.id]
        if not listed:
            del self._by_service[service]
        if check.definition.is_alias:
            self.aliases.discard(check.definition)
        self.aliases.touch(service)

    # --- results -------------------------------------------------------------------------------

    def heartbeat(self, check: str, status: str, output: str, now_s: float) -> bool:
        """Take the heartbeat of a TTL check; True if its status is another one now.

        Raises:
            NotFoundError: It is unknown.
            RequestError: It has no TTL.
        """
        found = self.checks.get(check)
        if found is None:
            raise NotFoundError(
                "not_found",
                f'Unknown check ID "{check}". '
                "Ensure that the check ID is passed, not the check name.",
            )
        if found.definition.ttl_s <= 0:
            raise RequestError("bad_request", f'CheckID "{check}" does not have associated TTL')
        before = found.state.output
        changed = found.state.heartbeat(status, self._kept(output), now_s)
        self._schedule(found)
        self._changed(found, now_s, status=changed, output=before != found.state.output)
        return changed

    def probed(self, check: str, run: int, status: str | None, output: str, now_s: float) -> None:
        """Take the result of a probe; one of an older definition is ignored."""
        found = self.checks.get(check)
        if found is None or found.run != run:
            return
        found.is_running = False
        before = found.state.output
        kept = "" if self._settings.discards_output else output
        changed = found.state.end_probe(status, kept, now_s)
        self._schedule(found)
        self._changed(found, now_s, status=changed, output=before != found.state.output)

    def _kept(self, output: str) -> str:
        if self._settings.discards_output:
            return ""
        return capped(output, self._settings.output_bytes_max)

    def mirror(self, check: str, status: str, output: str, now_s: float) -> None:
        """Set status and output of an alias."""
        found = self.checks.get(check)
        if found is not None and found.definition.is_alias:
            before, kept = found.state.output, self._kept(output)
            changed = found.state.change(status, kept, now_s)
            self._changed(found, now_s, status=changed, output=before != kept)

    def refresh_aliases(self, now_s: float) -> None:
        """Bring the aliases of services of this agent up to date; each at most once (ALI-2)."""
        refreshed: set[str] = set()
        while stale := [each for each in self.aliases.take_stale() if each not in refreshed]:
            for name in stale:
                refreshed.add(name)
                alias = self.checks[name]
                target = alias.definition.alias_service
                seen = [*self.checks_of(""), *self.checks_of(target)]
                self.mirror(name, *local_alias(alias, seen, self.services), now_s)

    def _changed(self, check: LocalCheck, now_s: float, *, status: bool, output: bool) -> None:
        if status or output:
            self.aliases.touch(check.definition.service_id)
        if status:
            self.pending.mark(check_key(check.definition.id))
            self._schedule_removal(check)
            self._store_check(check)
        elif output and not check.is_output_due:
            check.is_output_due = True
            wait_s = self._settings.output_interval_s * (0.5 + self._rng.random() / 2)
            self._enqueue(now_s + wait_s, _OUTPUT, check)

    # --- time ----------------------------------------------------------------------------------

    def tick(self, now_s: float, most: int = 256) -> list[str]:
        """Do what is due, at most so many things.

        Returns:
            Ids of checks whose status has changed, and "" for each service that was removed.
        """
        changed: list[str] = []
        while most > 0 and self._queue and self._queue[0][0] <= now_s:
            most -= 1
            _, _, why, name, run = heappop(self._queue)
            check = self.checks.get(name)
            if check is None or check.run != run:
                continue
            if why == _DUE:
                changed += self._due(check, now_s)
            elif why == _OUTPUT:
                check.is_output_due = False
                self.pending.mark(check_key(name))
                self._store_check(check)
            elif check.state.removal_due_s <= now_s:
                self._reap(check)
                changed.append("")
            else:  # it has not been critical all the time
                check.is_removal_due = False
                self._schedule_removal(check)
        return changed

    def _due(self, check: LocalCheck, now_s: float) -> list[str]:
        check.queued_s = inf
        if check.state.due_s > now_s:  # a heartbeat came in between
            self._schedule(check)
            return []
        if check.definition.ttl_s <= 0:
            check.state.begin_probe()
            check.is_running = True
            is_configured = check.origin is EntryOrigin.CONFIG
            self._effects.append(StartProbe(check.definition, check.run, is_configured))
            return []
        bytes_max = self._settings.output_bytes_max + 64
        if not check.state.expire(now_s, bytes_max):
            return []
        self._changed(check, now_s, status=True, output=True)
        return [check.definition.id]

    def _reap(self, check: LocalCheck) -> None:
        """Remove what has been critical for too long: the service with its checks."""
        service = check.definition.service_id
        if service:
            self.deregister(service)
        else:
            self._drop_check(check.definition.id)

    def _schedule(self, check: LocalCheck) -> None:
        if check.state.due_s < check.queued_s:
            check.queued_s = check.state.due_s
            self._enqueue(check.queued_s, _DUE, check)

    def _schedule_removal(self, check: LocalCheck) -> None:
        due_s = check.state.removal_due_s
        if due_s < inf and not check.is_removal_due:
            check.is_removal_due = True
            self._enqueue(due_s, _REMOVAL, check)

    def _enqueue(self, due_s: float, why: int, check: LocalCheck) -> None:
        entry = (due_s, next(self._numbers), why, check.definition.id, check.run)
        heappush(self._queue, entry)

    # --- rows of the catalog, files ------------------------------------------------------------

    def adopt(self, service: Service) -> None:
        """Take a service from its row in the catalog, which needs nothing about it."""
        self._put_service(service, EntryOrigin.API, "")
        self.pending.forget(service_key(service.id))

    def adopt_check(self, stored: StoredCheck, now_s: float) -> None:
        """Take a check from its row; its service was taken before."""
        self._put_stored(stored, now_s)
        self.pending.forget(check_key(stored.definition.id))

    def follow(self, check: str, status: str, output: str, now_s: float) -> None:
        """Take status and output of a check from its row, see `CheckDefinition.adopted_type`."""
        found = self.checks[check]
        if (status, output) != (found.status, found.state.output):
            found.state.change(status, output, now_s)
            self._store_check(found)

    def restore(self, service: StoredService) -> None:
        """Take a service from its file."""
        self._put_service(service.service, EntryOrigin.API, service.parent)

    def restore_check(self, stored: StoredCheck, now_s: float) -> bool:
        """Take a check from its file.

        False: it was left out, as its service is unknown, or the configuration has its id.
        """
        service = stored.definition.service_id
        if service and service not in self.services:
            self._effects.append(StoreFile(check_key(stored.definition.id), None))
            return False
        found = self.checks.get(stored.definition.id)
        if found is not None and found.origin is EntryOrigin.CONFIG:
            self._forget_file(check_key(stored.definition.id), EntryOrigin.API)
            return False
        self._put_stored(stored, now_s)
        return True

    def restored(self) -> None:
        """All files were taken: none need be written again, and the catalog gets what differs."""
        self.pending.clear()
        self._effects = [
            effect
            for effect in self._effects
            if not isinstance(effect, StoreFile) or effect.data is None
        ]

    def _put_stored(self, stored: StoredCheck, now_s: float) -> None:
        service = self.services.get(stored.definition.service_id)
        definition = msgspec.structs.replace(stored.definition, status=stored.status)
        name = "" if service is None else service.service.name
        self._put_check(definition, name, now_s, EntryOrigin.API)
        check = self.checks[definition.id]
        check.state.output = stored.output
        self._store_check(check)

    def _store_check(self, check: LocalCheck) -> None:
        if check.origin is EntryOrigin.API:
            stored = StoredCheck(check.definition, check.state.status, check.state.output)
            self._store(check_key(check.definition.id), stored)

    def _store(self, key: Key, stored: StoredService | StoredCheck) -> None:
        if self._settings.keeps_files:
            self._effects.append(StoreFile(key, encode_entry(stored)))

    def _forget_file(self, key: Key, origin: EntryOrigin) -> None:
        if self._settings.keeps_files and origin is not EntryOrigin.CONFIG:
            self._effects.append(StoreFile(key, None))
