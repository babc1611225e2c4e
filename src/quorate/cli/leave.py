"""`quorate leave`: a node leaves its cluster, and stops."""

from quorate.cli.cluster import overview
from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import note, progress, say

app = application("Have a node that runs leave its cluster, and stop.")


@command(app, "leave", examples=["quorate leave", "quorate leave -http-addr=10.0.0.2:8500"])
@connected("Error leaving", takes_time=True)
def leave(connection: Connection) -> None:
    """Have the asked node leave its cluster for good, and stop.

    It hands leadership over first. It is refused, and nothing is done, if fewer than a majority of
    the others would be alive. Its data directory cannot come back; one that shall is only stopped.
    The last member only stops: its data directory is the cluster, and goes on when it starts again.
    """
    with connection.client() as client, progress("leaving", None):
        is_last = len(overview(client).members) == 1
        client.call("PUT", "/v1/agent/leave")
    if is_last:
        note(
            "It was the last member: it only stopped. Nothing was removed; the cluster goes on "
            "when it starts again on its data directory."
        )
    say("Graceful leave complete")
