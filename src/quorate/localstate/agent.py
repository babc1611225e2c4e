"""The local agent: carries out the effects of the local state, and sends changes to the catalog.

LST-3: whoever changes something is answered when this node has applied the row of the catalog and
    the entry is on disk, or the log says that it cannot be; without a quorum after `ANSWER_S` all
    the same: the local state keeps it.
LST-4: what failed is tried again, after `RETRY_S` at first, then less often, at the
    latest after `RETRY_S_MAX`; and each full comparison finds what is different for any reason.
LST-5: a full comparison follows a confirmed read, so it begins with no older state than its start.

Source: https://developer.hashicorp.com/consul/docs/concept/consistency, anti-entropy.
"""

from collections.abc import Callable, Iterable
from functools import partial
from math import inf

from quorate.base.command import Command
from quorate.base.context import OWN, RequestContext
from quorate.base.errors import OutcomeUnknownError, QuorateError, UnavailableError
from quorate.base.outcomes import Failure, Outcome
from quorate.base.ports import Rng, WatchHandle
from quorate.base.subjects import exactly
from quorate.catalog.apply import NO_NODE, NO_SERVICE
from quorate.catalog.commands import CheckOutput
from quorate.catalog.fields import SERF_HEALTH, SERVER_SERVICE, Service
from quorate.catalog.subjects import of_node
from quorate.catalog.tables import check_of, instance_of, node_of
from quorate.localstate.adopting import Adoption
from quorate.localstate.aliases import RemoteAliases
from quorate.localstate.comparing import FullComparison, command_for
from quorate.localstate.configured import ConfiguredEntries, Definitions
from quorate.localstate.effects import Effect, StoreFile
from quorate.localstate.entries import StoredCheck, StoredService
from quorate.localstate.pending import Key, check_key, service_key
from quorate.localstate.ports import (
    Catalog,
    EntryFiles,
    NoFiles,
    NoProbes,
    ProbeRefusal,
    Probes,
    Report,
    Schedule,
    Timeout,
)
from quorate.localstate.state import LocalState, StateSettings
from quorate.localstate.waiting import Done, Waits
from quorate.machine.queries import Reader
from quorate.monitoring.definitions import CheckDefinition

ANSWER_S = 2.0
RETRY_S, RETRY_S_MAX = 1.0, 15.0
FULL_S = 60.0
"""A full comparison follows the last one after this time, and a random part of it more."""

COMMANDS_MAX = 128
"""Commands to the catalog at the same time."""

_LATER = frozenset({"no_quorum", "not_leader", "overloaded", "stopping"})

Adopted = Callable[[int], None]
"""Gets the number of entries that were taken from the catalog."""


class LocalAgent:
    """Services and checks of one agent, kept equal in the catalog.

    Args:
        catalog: The node.
        schedule: Schedules a call.
        rng: Spreads times.
        settings: Of the local state.
        files, probes: See `ports`.
        report: Logs a warning.

    Attributes:
        state: The local state; changed only by the methods of this class.
    """

    def __init__(
        self,
        catalog: Catalog,
        schedule: Schedule,
        rng: Rng,
        settings: StateSettings | None = None,
        files: EntryFiles | None = None,
        probes: Probes | None = None,
        report: Report | None = None,
    ) -> None:
        self._name = catalog.status().node.name
        self._catalog = catalog
        self._schedule = schedule
        self._rng = rng
        self._files = NoFiles() if files is None else files
        self._probes = NoProbes() if probes is None else probes
        self._report = report
        self.state = LocalState(StateSettings() if settings is None else settings, rng)
        self._configured = ConfiguredEntries(self.state, self._configured_refusal)
        self._waits = Waits(schedule)
        self._remote = RemoteAliases(catalog, self._name, self._mirrored)
        self._followed = 0  # the version of the state whose aliases are followed
        self._is_following = False
        self._watchers: list[Callable[[], None]] = []
        self._commands = 0
        self._retry_s = RETRY_S
        self._retry: Timeout | None = None
        self._full: Timeout | None = None
        self._ticker: Timeout | None = None
        self._ticker_due_s = inf
        self._watch: WatchHandle | None = None
        self._compares_with_node = False  # a comparison waits for the row of this node
        self._adopted: Adopted | None = None
        self._is_stopped = False

    # --- start and stop ------------------------------------------------------------------------

    def start(self, adopted: Adopted | None = None) -> None:
        """Compare everything with the catalog, now and from time to time; begin to probe.

        Args:
            adopted: Called once, when what the catalog has of this node was taken into the local
                state (LST-10); its files were passed to the port before. None: nothing is taken.
        """
        self._adopted = adopted
        self._compare()
        self._go_on()

    def restore(self, stored: StoredService) -> None:
        """Take a service from its file; before `start`."""
        self.state.restore(stored)

    def restore_check(self, stored: StoredCheck) -> None:
        """Take a check from its file; before `start`, after the services."""
        self.state.restore_check(stored, self._catalog.now_s)

    def take_definitions(self, definitions: Definitions) -> None:
        """Take what the configuration defines; before `start`, after the services of files.

        Raises:
            RequestError: See `ConfiguredEntries.apply`.
        """
        self._configured.apply(definitions, self._catalog.now_s)

    def reconfigure(self, definitions: Definitions) -> None:
        """Make the configured entries others; see `ConfiguredEntries.apply`.

        Raises:
            RequestError: See there.
        """
        self._configured.apply(definitions, self._catalog.now_s)
        self._changed()
        self._go_on()

    def restored(self) -> None:
        """All files were read: the first comparison finds what the catalog does not have."""
        self.state.restored()

    def stop(self) -> None:
        """End all timers; what waits is answered."""
        self._is_stopped = True
        for timeout in (self._retry, self._full, self._ticker):
            if timeout is not None:
                timeout.cancel()
        if self._watch is not None:
            self._watch.cancel()
        self._remote.stop()
        self._waits.end()

    # --- requests ------------------------------------------------------------------------------

    def register(
        self,
        context: RequestContext,
        service: Service,
        definitions: Iterable[CheckDefinition],
        done: Done,
        *,
        replaces: bool = False,
        sidecar: tuple[Service, tuple[CheckDefinition, ...]] | None = None,
    ) -> None:
        """Register a service; see `LocalState.register`.

        Args:
            context: Of who asks.
            service: See there.
            definitions: See there.
            done: Called once (LST-3).
            replaces: See there.
            sidecar: Registered with it, and removed with it.

        Raises:
            RequestError: See there.
        """
        now_s = self._catalog.now_s
        new = tuple(definitions)
        if sidecar is not None:  # both are registered, or none
            self.state.check_limits((service.id, sidecar[0].id), (*new, *sidecar[1]))
        self.state.register(service, new, now_s, replaces=replaces)
        keys = {service_key(service.id), *(check_key(each.id) for each in new)}
        if sidecar is not None:
            proxy, more = sidecar
            self.state.register(proxy, more, now_s, parent=service.id)
            keys |= {service_key(proxy.id), *(check_key(each.id) for each in more)}
        self._changed()
        self._wait_for(context, keys, done)

    def deregister(self, context: RequestContext, service: str, done: Done) -> bool:
        """Remove a service; False: there is none, and `done` is not called."""
        if not self.state.deregister(service) and not self._is_to_adopt_service(service):
            return False
        self._changed()
        self._wait_for(context, {service_key(service)}, done)
        return True

    def _is_to_adopt_service(self, service: str) -> bool:
        """Whether a service is to be adopted still; then its row is to be removed instead."""
        if self._adopted is None or service == SERVER_SERVICE:
            return False
        rows = Reader(self._catalog.tables).rows
        if instance_of(rows, self._name, service) is None:
            return False
        self.state.pending.mark(service_key(service))
        return True

    def _is_to_adopt_check(self, check: str) -> bool:
        if self._adopted is None or check == SERF_HEALTH:
            return False
        if check_of(Reader(self._catalog.tables).rows, self._name, check) is None:
            return False
        self.state.pending.mark(check_key(check))
        return True

    def refusal(self, definition: CheckDefinition) -> ProbeRefusal | None:
        """Why a check cannot be probed here; None: it can, or is not probed."""
        return self._probes.refusal(definition) if definition.is_probed else None

    def _configured_refusal(self, definition: CheckDefinition) -> ProbeRefusal | None:
        return self._probes.refusal(definition, is_configured=True)

    def add_check(self, context: RequestContext, definition: CheckDefinition, done: Done) -> None:
        """Register a check; see `LocalState.add_check`.

        Raises:
            QuorateError: See there.
        """
        self.state.add_check(definition, self._catalog.now_s)
        self._changed()
        self._wait_for(context, {check_key(definition.id)}, done)

    def remove_check(self, context: RequestContext, check: str, done: Done) -> bool:
        """Remove a check; False: there is none, and `done` is not called."""
        if not self.state.remove_check(check) and not self._is_to_adopt_check(check):
            return False
        self._changed()
        self._wait_for(context, {check_key(check)}, done)
        return True

    def heartbeat(
        self, context: RequestContext, check: str, status: str, output: str, done: Done
    ) -> None:
        """Take a heartbeat; see `LocalState.heartbeat`. Answered at once if the status is the same.

        Raises:
            QuorateError: See there.
        """
        changed = self.state.heartbeat(check, status, output, self._catalog.now_s)
        if changed:
            self._changed()
            self._wait_for(context, {check_key(check)}, done)
        else:
            self._go_on()
            done(None)

    def on_change(self, fire: Callable[[], None]) -> Callable[[], None]:
        """Call `fire` at each change of a definition, until what is returned is called."""
        self._watchers.append(fire)
        return partial(self._unwatch, fire)

    def _unwatch(self, fire: Callable[[], None]) -> None:
        if fire in self._watchers:
            self._watchers.remove(fire)

    def _changed(self) -> None:
        watchers, self._watchers = self._watchers, []
        for fire in watchers:
            fire()

    # --- answers -------------------------------------------------------------------------------

    def _wait_for(self, context: RequestContext, keys: set[Key], done: Done) -> None:
        wait = self._waits.begin({key for key in keys if key in self.state.pending}, done)
        self._go_on(context)
        self._files.sync(partial(self._waits.on_disk, wait))
        self._waits.limit(wait, ANSWER_S)

    def _applied(self, keys: Iterable[Key], error: QuorateError | None) -> None:
        self._waits.applied(keys, self.state.pending, error)

    # --- the catalog ---------------------------------------------------------------------------

    def _go_on(self, context: RequestContext = OWN) -> None:
        """Carry out effects, send changes to the catalog, set the timer."""
        if self._is_stopped:
            return
        if self.state.version != self._followed:
            self._followed, self._is_following = self.state.version, True
            self._remote.follow(self.state.aliases.remote)
            self._is_following = False
        self.state.refresh_aliases(self._catalog.now_s)
        for effect in self.state.take_effects():
            self._perform(effect)
        pending = self.state.pending
        while self._commands < COMMANDS_MAX and pending.has_ready:
            self._send(context, pending.first(1)[0])
        due_s = self.state.due_s
        if due_s < self._ticker_due_s:
            self._set_ticker(due_s)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, StoreFile):
            self._files.write(effect.key, effect.data)
        else:
            check = effect.definition.id
            done = partial(self._probed, check, effect.run)
            self._probes.start(effect.definition, done, is_configured=effect.is_configured)

    def _send(self, context: RequestContext, key: Key) -> None:
        reading = Reader(self._catalog.tables)
        command, keys = command_for(self.state, reading, self._name, key)
        self.state.pending.begin(keys)
        self._commands += 1
        self._catalog.submit(context, command, partial(self._answered, command, keys))

    def _answered(self, command: Command, keys: list[Key], outcome: Outcome | QuorateError) -> None:
        self._commands -= 1
        failure: object = outcome
        if isinstance(outcome, Outcome):
            failure = outcome.value if isinstance(outcome.value, Failure) else None
            if outcome.value is False and isinstance(command, CheckOutput):
                for key in keys:  # its row vanished meanwhile: the next command puts it back
                    self.state.pending.mark(key)
        self.state.pending.end(keys, is_applied=failure is None)
        if failure is None:
            self._retry_s = RETRY_S
            self._applied(keys, None)
        else:
            self._failed(keys, failure)
        self._go_on()

    def _failed(self, keys: list[Key], failure: object) -> None:
        if failure == NO_NODE:
            self._await_node()
            return
        if failure == NO_SERVICE:
            for _, check in [key for key in keys if key[0] == "check"]:
                found = self.state.checks.get(check)
                if found is not None and found.definition.service_id in self.state.services:
                    self.state.pending.mark(service_key(found.definition.service_id))
        elif isinstance(failure, QuorateError):
            is_later = isinstance(failure, OutcomeUnknownError) or (
                isinstance(failure, UnavailableError) and failure.code in _LATER
            )
            if not is_later:
                self._applied(keys, failure)
        if self._report is not None:
            text = getattr(failure, "text", str(failure))
            self._report("the catalog did not take a service or check", why=text, ids=len(keys))
        if self._retry is None and not self._is_stopped:
            self._retry = self._schedule(self._retry_s, self._try_again)
            self._retry_s = min(2 * self._retry_s, RETRY_S_MAX)

    def _await_node(self) -> None:
        """The row of this node is not in the catalog yet: try again when it is."""
        if node_of(Reader(self._catalog.tables).rows, self._name) is not None:
            self.state.pending.retry()  # it came before this outcome
        elif self._watch is None:
            subject = exactly(of_node(self._name))
            self._watch = self._catalog.watch(OWN, (subject,), self._node_changed)

    def _node_changed(self) -> None:
        self._watch = None
        if self._compares_with_node:
            self._compares_with_node = False
            self._compare()
        self.state.pending.retry()
        self._go_on()

    def _try_again(self) -> None:
        self._retry = None
        self.state.pending.retry()
        self._go_on()

    # --- full comparison -----------------------------------------------------------------------

    def _compare(self) -> None:
        self._full = None
        if not self._is_stopped:
            self._catalog.read(OWN, self._confirmed)

    def _confirmed(self, answer: int | QuorateError) -> None:
        if isinstance(answer, QuorateError):
            self._full = self._schedule(RETRY_S_MAX * (0.5 + self._rng.random() / 2), self._compare)
            return
        if node_of(Reader(self._catalog.tables).rows, self._name) is None:
            self._compares_with_node = True
            self._await_node()
        elif self._adopted is not None:
            self._adopt(Adoption(self.state, self._name))
        else:
            self._step(FullComparison(self.state, self._name))

    def _adopt(self, adoption: Adoption) -> None:
        """Take a piece of the rows of this node; the first comparison follows the last one."""
        if self._is_stopped:
            return
        is_over = adoption.step(Reader(self._catalog.tables), self._catalog.now_s)
        self._go_on()
        if not is_over:
            self._full = self._schedule(0.0, partial(self._adopt, adoption))
            return
        adopted, self._adopted = self._adopted, None
        if adopted is not None:
            adopted(adoption.count)
        self._changed()
        self._step(FullComparison(self.state, self._name))

    def _step(self, comparison: FullComparison) -> None:
        """Compare a piece; the next one follows in a later turn."""
        if self._is_stopped:
            return
        is_over = comparison.step(Reader(self._catalog.tables), self._catalog.now_s)
        self._go_on()
        if is_over:
            self._changed()
            wait_s = FULL_S * (1 + self._rng.random())
            self._full = self._schedule(wait_s, self._compare)
        else:
            self._full = self._schedule(0.0, partial(self._step, comparison))

    # --- time ----------------------------------------------------------------------------------

    def _probed(self, check: str, run: int, status: str | None, output: str) -> None:
        self.state.probed(check, run, status, output, self._catalog.now_s)
        self._go_on()

    def _mirrored(self, check: str, status: str, output: str) -> None:
        self.state.mirror(check, status, output, self._catalog.now_s)
        if not self._is_following:  # else it is called by `_go_on`
            self._go_on()

    def _set_ticker(self, due_s: float) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self._ticker_due_s = due_s
        self._ticker = self._schedule(max(0.0, due_s - self._catalog.now_s), self._tick)

    def _tick(self) -> None:
        self._ticker, self._ticker_due_s = None, inf
        if "" in self.state.tick(self._catalog.now_s):
            self._changed()
        self._go_on()
