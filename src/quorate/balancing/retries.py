"""Retry budget: retries are a part of the requests, so they cannot make an overload worse."""

from collections import deque

ROUNDING = 1e-6
"""Five fifths are one."""


class RetryBudget:
    """How many retries the requests of the last seconds pay for.

    Cost: O(1) amortised; one number per second of the window.
    Source: Finagle, `RetryBudget`.

    Args:
        part: Retries per request.
        per_s_min: Retries a second that need no requests.
        window_s: For which requests and retries count.
    """

    def __init__(self, part: float = 0.2, per_s_min: float = 10.0, window_s: int = 10) -> None:
        self._part = part
        self._reserve = per_s_min * window_s
        self._window_s = window_s
        self._seconds: deque[tuple[int, float]] = deque()  # each with what it earned or spent
        self._balance = 0.0

    def on_request(self, now_s: float) -> None:
        """A request was made that is no retry."""
        self._change(self._part, now_s)

    def take(self, now_s: float) -> bool:
        """Spend a retry; False: there is none left, and the failure is to be answered."""
        self._change(0.0, now_s)
        if self._balance + self._reserve < 1 - ROUNDING:
            return False
        self._change(-1.0, now_s)
        return True

    def _change(self, amount: float, now_s: float) -> None:
        second = int(now_s)
        while self._seconds and self._seconds[0][0] <= second - self._window_s:
            self._balance -= self._seconds.popleft()[1]
        if self._seconds and self._seconds[-1][0] >= second:
            second, before = self._seconds.pop()
            amount_now = before + amount
        else:
            amount_now = amount
        self._seconds.append((second, amount_now))
        self._balance += amount
        if len(self._seconds) == 1:
            self._balance = amount_now  # whatever was rounded
