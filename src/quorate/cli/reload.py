"""`quorate reload`: have a node that runs read its configuration again."""

from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import say

app = application("Have a node that runs read its configuration again.")


@command(app, "reload", examples=["quorate reload", "quorate reload -http-addr=10.0.0.2:8500"])
@connected("Error reloading")
def reload(connection: Connection) -> None:
    """Have the asked node read its files again; what needs a new start is in its log."""
    with connection.client() as client:
        client.call("PUT", "/v1/agent/reload")
    say("Configuration reload triggered")
