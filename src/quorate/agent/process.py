"""The agent's process: signals, and the requests of clients about it."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from operator import attrgetter

import msgspec

from quorate.agent.files import ConfigSources
from quorate.agent.keys import FIXED, RELOADED
from quorate.agent.listeners import Listeners
from quorate.agent.logs import LogFollower, Logs
from quorate.agent.settings import AgentSettings, ConfigError, below, settings_of
from quorate.base.errors import PeerError, QuorateError, RequestError
from quorate.base.metrics import Metric
from quorate.localstate.agent import LocalAgent
from quorate.runtime.server import NodeServer

LEAVE_S = 6.0
"""How long a node that is stopped by a signal tries to leave the cluster first."""


class AgentProcess:
    """See `gateways.http.process.Process`.

    Args:
        sources: Of the configuration.
        settings: Made of them.
        logs: Of the process.
        warned: The warnings of the configuration that were logged: a reload logs others only.

    Attributes:
        settings: In force; those that need a restart are as they were at the start.
        logs: Of the process.
        stopping: Set when the process is to end.
    """

    def __init__(
        self,
        sources: ConfigSources,
        settings: AgentSettings,
        logs: Logs,
        warned: Sequence[str] = (),
    ) -> None:
        self.settings = settings
        self._warned = warned
        self.logs = logs
        self.stopping = asyncio.Event()
        self._sources = sources
        self._server: NodeServer | None = None
        self._listeners: Listeners | None = None
        self._agent: LocalAgent | None = None
        self._leaving: asyncio.Task[None] | None = None
        is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # set by nohup
        self._had_terminal = has_terminal() and not is_kept

    def started(self, server: NodeServer, listeners: Listeners, agent: LocalAgent) -> None:
        """Note that the node runs."""
        self._server, self._listeners, self._agent = server, listeners, agent

    def joining(self, addresses: tuple[str, ...]) -> "AgentProcess":
        """The same for a node that may only join a cluster."""
        settings = msgspec.structs.replace(self.settings, join=addresses, expect=0, is_alone=False)
        return AgentProcess(self._sources, settings, self.logs, self._warned)

    # --- the configuration ---------------------------------------------------------------------

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again, but end a development node with its terminal."""
        if self.settings.is_dev and self._had_terminal and not has_terminal():
            self.logs.log.info("the terminal was closed: a development node ends with it")
            self.stopping.set()
            return
        try:
            self.reload()
        except RequestError:  # logged
            return

    def reload(self) -> None:
        """Read the configuration again.

        Raises:
            RequestError: It is wrong; nothing was changed.
        """
        log = self.logs.log
        try:
            new, warnings = settings_of(self._sources)
        except ConfigError as error:
            text = str(error).strip()
            log.warning("not reloaded: nothing was changed", why=text)
            raise RequestError("bad_request", f"Failed to reload: {text}") from None
        self._define(new)
        for warning in warnings:
            if warning not in self._warned:
                log.warning(warning)
        self._warned = warnings
        old = self.settings
        changed = [name for name in RELOADED if attrgetter(name)(new) != attrgetter(name)(old)]
        fixed = [name for name in FIXED if attrgetter(name)(new) != attrgetter(name)(old)]
        if fixed:
            log.warning("needs a restart", keys=", ".join(FIXED[name] for name in fixed))
        self._use(new, changed)
        log.info("reloaded", changed=", ".join(RELOADED[name] for name in changed) or "nothing")

    def _define(self, new: AgentSettings) -> None:
        """Make the services and checks of the configuration those of `new`, even if it is the same.

        A client may have removed or replaced one.
        """
        if self._agent is None:
            return
        try:
            self._agent.reconfigure(new.definitions)
        except RequestError as error:
            self.logs.log.warning("not reloaded: nothing was changed", why=error.text)
            raise RequestError(error.code, f"Failed to reload: {error.text}") from None

    def _use(self, new: AgentSettings, changed: list[str]) -> None:
        values = {name: getattr(new, name) for name in changed if "." not in name}
        below_blocks = {name: attrgetter(name)(new) for name in changed}
        http, dns = below("http.", below_blocks), below("dns.", below_blocks)
        node = msgspec.structs.replace(self.settings.node, meta=new.node.meta)
        self.settings = msgspec.structs.replace(
            self.settings,
            node=node,
            http=msgspec.structs.replace(self.settings.http, **http),
            dns=msgspec.structs.replace(self.settings.dns, **dns),
            **values,
        )
        self.logs.set_level(self.settings.log_level)
        if self._listeners is not None:
            self._listeners.reconfigure(self.settings)
        if "node.meta" in changed and self._server is not None:
            self._server.register(node, self._registered)

    def _registered(self, error: QuorateError | None) -> None:
        if error is not None:
            self.logs.log.warning("node_meta is not in the catalog yet", why=error.text)

    def metrics(self) -> list[Metric]:
        """See `gateways.http.process.Process.metrics`."""
        return [] if self._listeners is None else self._listeners.metrics()

    # --- the end -------------------------------------------------------------------------------

    def end(self, setting: str) -> None:
        """SIGTERM or SIGINT: stop, and leave the cluster before that if this setting says so."""
        if not getattr(self.settings, setting) or self._server is None or self._leaving is not None:
            self.stopping.set()
            return
        log = self.logs.log

        def left(error: QuorateError | None) -> None:
            if error is not None:
                log.warning("stopping; the node may not have left the cluster", why=error.text)
                self.stopping.set()

        def late() -> None:
            log.warning("stopping; whether the node has left is unknown", waited_s=LEAVE_S)
            self.stopping.set()

        self.leave(left)
        asyncio.get_running_loop().call_later(LEAVE_S, late)

    def leave(self, done: Callable[[QuorateError | None], None]) -> None:
        """Leave the cluster; then call `done`, and stop if there was no error."""
        if self._server is None:
            done(RequestError("bad_request", "this node has not started yet"))
            return
        self.logs.log.info("leaving the cluster")
        self._leaving = asyncio.get_running_loop().create_task(self._leave(self._server, done))

    async def _leave(self, server: NodeServer, done: Callable[[QuorateError | None], None]) -> None:
        error: QuorateError | None
        log = self.logs.log
        is_last = len(server.local.status().configuration.members) == 1
        try:
            error = await server.leave()
        except Exception as fault:  # noqa: BLE001 - nothing awaits this task
            error = PeerError("local", f"internal error {server.local.report(fault)}")
        if error is not None:
            log.warning("did not leave the cluster", why=error.text)
            self._leaving = None
        elif is_last:
            log.warning(
                "the last member only stops: the cluster goes on when it starts again on its data "
                "directory"
            )
        else:
            log.info("left the cluster")
        done(error)
        if error is None:
            self.stopping.set()

    # --- the log -------------------------------------------------------------------------------

    def follow(self, level: str, wake: Callable[[], None], *, is_json: bool) -> LogFollower:
        """See `gateways.http.process.Process.follow`."""
        loop = asyncio.get_running_loop()  # threads log, too
        return self.logs.follow(level, lambda: loop.call_soon_threadsafe(wake), is_json=is_json)


def has_terminal() -> bool:
    """Whether this process has a terminal that can be opened."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:  # none, or one that was closed
        return False
    return True
