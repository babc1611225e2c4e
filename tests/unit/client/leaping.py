"""A loop whose clock leaps to the next timer when nothing else is to be done.

Its time is made of leaps alone, so that no test depends on how fast the machine is.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

QUIET_S = 0.001  # real time in which the kernel may still deliver something


class _Selector(selectors.DefaultSelector):
    """Waits a moment in place of the time asked for, and notes how much was left out."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(QUIET_S)
        if not ready:
            self.leapt_s += timeout
        return ready


class _Inline(ThreadPoolExecutor):
    """Does at once what others do in threads: no time may leap meanwhile."""

    def submit(self, work: Callable[..., T], /, *args: Any, **named: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **named))
        except Exception as error:  # noqa: BLE001 - as an executor does it
            future.set_exception(error)
        return future


class LeapingLoop(asyncio.SelectorEventLoop):
    """Hours of timers pass in no time; sockets work as ever."""

    def __init__(self) -> None:
        self._leaping = _Selector()
        super().__init__(self._leaping)
        self.set_default_executor(_Inline())

    def time(self) -> float:
        return 1000.0 + self._leaping.leapt_s


def run(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on such a loop."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(work)
