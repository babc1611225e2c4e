"""The HTTP listeners of an agent. The one place that joins a node and a gateway."""

from pathlib import Path

from structlog.typing import FilteringBoundLogger

from quorate.agent.settings import UNIX, AgentSettings
from quorate.agent.starting import cannot_listen
from quorate.base.ports import Local
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.process import Process
from quorate.gateways.http.server import ConsulServer
from quorate.gateways.http.sharing import shared
from quorate.localstate.agent import LocalAgent
from quorate.net.unix import UnixListener


class HttpListeners:
    """The HTTP servers of one node, one per client address."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._servers: list[ConsulServer] = []
        self._files: list[UnixListener] = []

    async def open(
        self, local: Local, settings: AgentSettings, process: Process, agent: LocalAgent
    ) -> None:
        """Accept clients of a node.

        Args:
            local: The node.
            settings: Of the agent.
            process: Serves requests about the process.
            agent: Has the services and checks of this agent.

        Raises:
            StartError: An address cannot be used.
        """
        common = shared(settings.http)
        for host in settings.clients:
            server = ConsulServer(local, settings.http, common, self._log.warning, process, agent)
            try:
                if host.startswith(UNIX):
                    listener = UnixListener(Path(host.removeprefix(UNIX)), settings.socket)
                    self._files.append(listener)
                    server.start_on(listener.socket)
                elif settings.http_port is not None:
                    await server.start(host, settings.http_port)
            except OSError as error:
                raise cannot_listen(error, host, settings.http_port or 0) from error
            self._servers.append(server)

    def reconfigure(self, config: HttpConfig) -> None:
        """Use other limits and options from now on."""
        for server in self._servers:
            server.reconfigure(config)

    async def close(self) -> None:
        """Stop accepting, and complete the requests in flight."""
        while self._servers:
            await self._servers.pop().stop()
        while self._files:
            self._files.pop().remove()
