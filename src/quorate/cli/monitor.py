"""`quorate monitor`: the log of a node that runs, as it is written."""

import http.client
import socket
from typing import Annotated
from urllib.parse import quote

import typer

from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import fail, note, say
from quorate.client import endpoints

app = application("Follow the log of a node that runs.")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@command(app, "monitor", examples=["quorate monitor", "quorate monitor -log-level=debug -log-json"])
@connected("Error starting monitor", takes_time=True)
def monitor(
    connection: Connection,
    log_level: Annotated[
        str, typer.Option("--log-level", help="trace, debug, info, warn or err, and what is worse.")
    ] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="JSON objects, one a line.")] = False,
) -> None:
    """Print what a node logs from now on, until Ctrl-C or its end, whatever its own level is."""
    with connection.client():
        pass  # speaks up at once if nobody is there
    endpoint = endpoints.parse(connection.node())
    line = (
        _UnixConnection(endpoint.path)
        if endpoint.path
        else http.client.HTTPConnection(endpoint.host, endpoint.port)
    )
    headers = connection.headers()
    target = f"/v1/agent/monitor?loglevel={quote(log_level, safe='')}"
    try:
        line.request(
            "GET",
            f"{target}&logjson" if log_json else target,
            headers=headers,
        )
        reply = line.getresponse()
        if reply.status != 200:
            text = reply.read().decode("utf-8", "replace").strip()
            fail(f"Error starting monitor: Unexpected response code: {reply.status} ({text})")
        for row in reply:
            say(row.decode("utf-8", "replace").rstrip("\n"))
    except (OSError, http.client.HTTPException) as error:
        fail(f"Error reading from monitor: {error}")
    finally:
        line.close()
    note("The node ended the monitor: it stops.")
