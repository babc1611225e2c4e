"""Commands of user events.

Source: Consul's event API, https://developer.hashicorp.com/consul/api-docs/event.
"""

from quorate.base.command import Command


class EventFire(Command, frozen=True, array_like=True, tag=140):
    """Append an event under an id drawn at the gateway. Value: its number, from 1 on.

    The filters are regular expressions, or "". Each node applies them when it lists events.
    """

    id: str
    name: str
    payload: bytes = b""
    node_filter: str = ""
    service_filter: str = ""
    tag_filter: str = ""
