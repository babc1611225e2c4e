"""`quorate leave`: a node leaves its cluster, and stops."""

from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import progress, say

app = application("Have a node that runs leave its cluster, and stop.")


@command(app, "leave", examples=["quorate leave", "quorate leave -http-addr=10.0.0.2:8500"])
@connected("Error leaving", takes_time=True)
def leave(connection: Connection) -> None:
    """Have the asked node leave its cluster for good, and stop.

    It hands leadership over first. It is refused, and nothing is done, if fewer than a majority of
    the others would be alive. Its data directory cannot come back; one that shall is only stopped.
    """
    with connection.client() as client, progress("leaving", None):
        client.call("PUT", "/v1/agent/leave")
    say("Graceful leave complete")
