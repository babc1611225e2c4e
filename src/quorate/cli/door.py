"""Door: the gateways of a node, as far as this build has them.

The one place where a body and a gateway meet. A gateway that is not installed is missing with a
warning, so that the rest of a node can run.
"""

import importlib
from importlib.util import find_spec
from typing import Any

from structlog.typing import FilteringBoundLogger

from quorate.base.ports import Local
from quorate.cli.settings import AgentSettings

HTTP = "quorate.gateways.http.server"


class Door:
    """The HTTP servers of one node, one per client address."""

    def __init__(self) -> None:
        self._servers: list[Any] = []

    async def open(self, local: Local, settings: AgentSettings, log: FilteringBoundLogger) -> None:
        """Accept clients.

        Raises:
            OSError: An address cannot be used.
        """
        if settings.http_port is None:
            return
        if find_spec("quorate.gateways.http") is None or find_spec(HTTP) is None:
            log.warning("no HTTP gateway in this build")
            return
        module: Any = importlib.import_module(HTTP)
        for host in settings.clients:
            server = module.HttpServer(local, module.HttpConfig())
            await server.start(host, settings.http_port)
            self._servers.append(server)

    async def close(self) -> None:
        """Accept no more, and let those under way end."""
        for server in self._servers:
            await server.stop()
        self._servers.clear()
