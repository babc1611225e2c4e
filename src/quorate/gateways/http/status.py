"""Who leads, and who is there: `/v1/status/*`.

Source: https://developer.hashicorp.com/consul/api-docs/status.
"""

from quorate.gateways.http.context import Context
from quorate.gateways.http.params import Params
from quorate.gateways.http.request import Request


def leader(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The address of the leader; "" if there is none."""
    context.check_datacenter(params)
    status = context.local.status()
    found = status.leader
    context.answers.value(request, "" if found is None else found.address)


def peers(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The addresses of those who vote."""
    context.check_datacenter(params)
    voters = context.local.status().configuration.voters
    context.answers.value(request, [member.address for member in voters])
