"""Order: which requests of one connection may be carried out at the same time.

A client that sends a request before the previous one is answered may expect that they take effect
one after the other: a read behind a write shows that write. A server may carry out several of them
at the same time only where a client cannot observe it.

ORD-1: a request begins when every request before it on its connection has been answered, or when
    all of them that have begun have the order of the request itself, which is `SAFE` or
    `SEQUENCED`.
ORD-2: a request whose client asks for no order does not wait for those that have begun. It waits
    for those before it that have not. Those behind it that ask for an order wait for it as for any
    other.

Source: RFC 9112, 9.3.2.
"""

from enum import Enum


class Order(Enum):
    """How a request relates to others of its connection; see `Application.order_of`."""

    SAFE = "safe"  # it changes nothing: its method is safe
    SEQUENCED = "sequenced"  # it takes effect after all such requests that began before it
    ALONE = "alone"  # whatever else it may be


_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})


def order_of_method(method: bytes) -> Order:
    """The order of a request of which only the method is known.

    Source: RFC 9110, 9.2.1.
    """
    return Order.SAFE if method in _SAFE else Order.ALONE
