"""Errors of the client beyond the common tree, and the internal one that transports raise."""

from quorate.base.errors import ConflictError


class LockLostError(ConflictError):
    """A lock was lost while it was held: its next holder has a higher fence.

    The code is `stale_fence`. Work done since may have overlapped with that of another holder,
    unless the protected resource compares fences.
    """

    def __init__(self, text: str) -> None:
        super().__init__("stale_fence", text)


class LockHeldError(ConflictError):
    """A lock was not acquired within the time given, because another session holds it."""

    def __init__(self, text: str) -> None:
        super().__init__("precondition", text)


class SemaphoreError(ConflictError):
    """A semaphore cannot be used as asked for: it has another limit, or its key is something else.

    Attributes:
        limit: The limit it has; 0 if its key is something else.
    """

    def __init__(self, text: str, limit: int = 0) -> None:
        super().__init__("precondition", text)
        self.limit = limit


class ExchangeError(Exception):
    """No reply came for a request; raised by transports, never by the API.

    Attributes:
        is_sent: The request, or a part of it, may have reached the node.
        is_futile: No node is reachable at this address: nothing listens there, or another
            service does. The next try would fail in the same way.
    """

    def __init__(self, text: str, *, is_sent: bool, is_futile: bool = False) -> None:
        super().__init__(text)
        self.is_sent = is_sent
        self.is_futile = is_futile
