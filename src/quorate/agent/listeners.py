"""The listeners of an agent. The one place that joins a node and its gateways."""

import random
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from quorate.agent.settings import UNIX, AgentSettings
from quorate.agent.starting import cannot_listen
from quorate.base.metrics import Metric
from quorate.base.ports import Local
from quorate.gateways.dns.server import DnsServer
from quorate.gateways.http.context import call_in_loop
from quorate.gateways.http.process import Process
from quorate.gateways.http.server import ConsulServer
from quorate.gateways.http.sharing import Shared, shared
from quorate.localstate.agent import LocalAgent
from quorate.net.unix import UnixListener
from quorate.serving.serving import Serving


class Listeners:
    """What serves the clients of one node: HTTP and DNS, each on its addresses."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._servers: list[ConsulServer] = []
        self._files: list[UnixListener] = []
        self._dns: DnsServer | None = None

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
                raise cannot_listen(error, host, settings.http_port or 0, "-http-port") from error
            self._servers.append(server)
        if settings.dns_port is not None:
            await self._open_dns(local, settings, settings.dns_port, common)

    async def _open_dns(
        self, local: Local, settings: AgentSettings, port: int, common: Shared
    ) -> None:
        """Answer DNS. That the default port is in use stops no node: several run on one machine."""
        rng = random.Random()  # noqa: S311 - shuffles answers
        accounts = common.budget.accounts
        serving = Serving(local, call_in_loop, common.slices, common.evaluations, rng, accounts)
        dns = DnsServer(local, serving, settings.dns)
        self._dns = dns
        for host in settings.dns_hosts:
            try:
                await dns.start(host, port)
            except OSError as error:
                if settings.is_dns_wanted:
                    raise cannot_listen(error, host, port, "-dns-port") from error
                self._dns = None
                await dns.close()
                self._log.warning(
                    "this node answers no DNS: choose a port with -dns-port, or -1",
                    address=host,
                    port=port,
                    why=error.strerror or str(error),
                )
                return

    def reconfigure(self, settings: AgentSettings) -> None:
        """Use other limits and options from now on."""
        for server in self._servers:
            server.reconfigure(settings.http)
        if self._dns is not None:
            self._dns.reconfigure(settings.dns)

    def metrics(self) -> list[Metric]:
        """Of all but HTTP, which shows them."""
        return [] if self._dns is None else self._dns.metrics()

    async def close(self) -> None:
        """Stop accepting, and complete the requests in flight."""
        dns, self._dns = self._dns, None
        if dns is not None:
            await dns.close()
        while self._servers:
            await self._servers.pop().stop()
        while self._files:
            self._files.pop().remove()
