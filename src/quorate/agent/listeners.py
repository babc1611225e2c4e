"""The HTTP listeners of an agent. The one place that joins a node and a gateway."""

from pathlib import Path
from typing import Any

import msgspec
from structlog.typing import FilteringBoundLogger

from quorate import __version__
from quorate.agent.settings import UNIX, AgentSettings
from quorate.base.ports import Local
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.process import Process
from quorate.gateways.http.server import ConsulServer
from quorate.gateways.http.sharing import shared
from quorate.net.unix import UnixListener


class HttpListeners:
    """The HTTP servers of one node, one per client address; `host` is the one opened last."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._servers: list[ConsulServer] = []
        self._files: list[UnixListener] = []
        self._config = HttpConfig()
        self.host = ""

    async def open(
        self, local: Local, settings: AgentSettings, config: HttpConfig, process: Process
    ) -> None:
        """Accept clients of a node; `process` serves their requests about the process.

        Raises:
            OSError: An address cannot be used.
        """
        self._config, common = config, shared(config)
        for host in settings.clients:
            self.host = host
            server = ConsulServer(local, config, common, self._log.warning, process)
            if host.startswith(UNIX):
                listener = UnixListener(Path(host.removeprefix(UNIX)), settings.socket)
                self._files.append(listener)
                server.start_on(listener.socket)
            elif settings.http_port is not None:
                await server.start(host, settings.http_port)
            self._servers.append(server)

    def reconfigure(self, settings: AgentSettings) -> None:
        """Use the limits and options of other settings from now on."""
        self._config = msgspec.structs.replace(self._config, **_shared(settings))
        for server in self._servers:
            server.reconfigure(self._config)

    async def close(self) -> None:
        """Stop accepting, and complete the requests in flight."""
        while self._servers:
            await self._servers.pop().stop()
        while self._files:
            self._files.pop().remove()


def http_config(settings: AgentSettings, data_dir: Path, connections_max: int) -> HttpConfig:
    """The configuration of an agent's HTTP gateway.

    Long bodies are spooled in `data_dir`; `connections_max` is what the limit of open files allows.
    """
    cluster, limits = settings.node.cluster, settings.node.limits
    return HttpConfig(
        datacenter=settings.node.datacenter,
        version=__version__,
        is_pretty=settings.is_dev,
        value_bytes_max=cluster.value_bytes_max,
        txn_ops_max=cluster.txn_ops_max,
        txn_result_bytes_max=cluster.txn_result_bytes_max,
        command_bytes_max=cluster.batch_bytes_max,
        connections_max=min(limits.http_connections_max, connections_max),
        held_bytes_max=limits.http_held_bytes_max,
        client_bytes_max=limits.http_client_bytes_max,
        spool_dir=str(data_dir),
        **_shared(settings),
    )


def _shared(settings: AgentSettings) -> dict[str, Any]:
    """The fields that have the same names in both."""
    names = set(HttpConfig.__struct_fields__) & set(AgentSettings.__struct_fields__)
    return {name: getattr(settings, name) for name in names}
