"""The leader and the voters: `/v1/status/*`; and a page for people: `/`.

Source: https://developer.hashicorp.com/consul/api-docs/status.
"""

from quorate.gateways.http.context import Context
from quorate.gateways.http.params import Params
from quorate.gateways.http.responses import TEXT
from quorate.httpserver.request import Request

_HOME = """\
Quorate {version}: a node with Consul's HTTP API below /v1/, such as /v1/status/leader.
There is no web page.
"""


def home(context: Context, request: Request, _: Params, __: bytes) -> None:
    """A line about this server, for a browser or the check of a load balancer."""
    text = _HOME.format(version=context.config.version)
    context.responses.send(request, text.encode(), kind=TEXT)


def leader(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The address of the leader; "" if there is none."""
    context.check_datacenter(params)
    status = context.local.status()
    found = status.leader
    context.responses.value(request, "" if found is None else found.address)


def peers(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The addresses of the voters."""
    context.check_datacenter(params)
    voters = context.local.status().configuration.voters
    context.responses.value(request, [member.address for member in voters])
