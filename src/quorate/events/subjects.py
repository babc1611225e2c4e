"""Watch keys of events."""

from quorate.base.subjects import key_part

EVENT = b"E"
"""The letter of subjects of this domain."""


def of_event(name: str) -> bytes:
    """The events of a name. Reads wait for all events: one of another name may displace them."""
    return EVENT + key_part(name)
