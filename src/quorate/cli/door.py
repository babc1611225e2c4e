"""Door: the gateways of a node. The one place where a body and a gateway meet."""

from pathlib import Path

from structlog.typing import FilteringBoundLogger

from quorate import __version__
from quorate.base.ports import Local
from quorate.cli.settings import AgentSettings
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.server import HttpServer
from quorate.gateways.http.sharing import shared


class Door:
    """The HTTP servers of one node, one per client address.

    Args:
        log: For people.

    Attributes:
        host: The address opened last, or that could not be.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._servers: list[HttpServer] = []
        self.host = ""

    async def open(
        self, local: Local, settings: AgentSettings, data_dir: Path, connections_max: int
    ) -> None:
        """Accept clients.

        Args:
            local: The node they reach.
            settings: Of the agent.
            data_dir: Where bodies that are too long for memory are kept while they come.
            connections_max: What the limit of open files leaves for clients.

        Raises:
            OSError: An address cannot be used.
        """
        if settings.http_port is None:
            return
        config = http_config(settings, data_dir, connections_max)
        common = shared(config)
        for host in settings.clients:
            self.host = host
            server = HttpServer(local, config, common, self._log.warning)
            await server.start(host, settings.http_port)
            self._servers.append(server)

    async def close(self) -> None:
        """Accept no more, and let those under way end."""
        for server in self._servers:
            await server.stop()
        self._servers.clear()


def http_config(settings: AgentSettings, data_dir: Path, connections_max: int) -> HttpConfig:
    """What the settings of an agent say about its HTTP gateway."""
    cluster, limits = settings.node.cluster, settings.node.limits
    return HttpConfig(
        datacenter=settings.node.datacenter,
        version=__version__,
        is_pretty=settings.is_dev,
        is_dev=settings.is_dev,
        response_headers=settings.response_headers,
        blocked_paths=settings.blocked_paths,
        takes_unprintable=settings.takes_unprintable,
        session_ttl_min_s=settings.session_ttl_min_s,
        default_wait_s=settings.default_wait_s,
        max_wait_s=settings.max_wait_s,
        value_bytes_max=cluster.value_bytes_max,
        txn_bytes_max=settings.txn_bytes_max,
        txn_ops_max=cluster.txn_ops_max,
        command_bytes_max=cluster.batch_bytes_max,
        connections_per_client_max=settings.connections_per_client_max,
        connections_max=min(limits.http_connections_max, connections_max),
        held_bytes_max=limits.http_held_bytes_max,
        client_bytes_max=limits.http_client_bytes_max,
        spool_dir=str(data_dir),
        free_bytes_min=settings.free_bytes_min,
    )
