"""One request to a chosen instance: its `with` block is what is measured."""

from collections.abc import Callable
from types import TracebackType

from quorate.balancing.targets import Grant
from quorate.client.choices import Choices, ServiceInstance


class Pick:
    """An instance that was chosen for one request. Use it as a `with` block around that.

    An exception in the block counts as an error of the instance, and the time of the block as its
    latency. One that ends the task or the program (`asyncio.CancelledError`, `KeyboardInterrupt`)
    counts as neither.

    Attributes:
        instance: The one that was chosen.
    """

    __slots__ = ("_choices", "_grant", "_now_s", "instance")

    def __init__(
        self,
        choices: Choices,
        instance: ServiceInstance,
        grant: Grant,
        now_s: Callable[[], float],
    ) -> None:
        self._choices = choices
        self._grant: Grant | None = grant
        self._now_s = now_s
        self.instance = instance

    def __repr__(self) -> str:
        return f"<Pick of {self.instance.id} at {self.instance.endpoint}>"

    @property
    def endpoint(self) -> str:
        """`host:port` of the instance."""
        return self.instance.endpoint

    def done(self, *, is_ok: bool | None = True) -> None:
        """End the request, once; what comes after counts for nothing.

        Args:
            is_ok: Whether the instance did its part (an answer 404 is one); None: not known.
        """
        grant, self._grant = self._grant, None
        if grant is not None:
            self._choices.end(grant, self._now_s(), is_ok=is_ok)

    def __enter__(self) -> "Pick":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.done(is_ok=True if kind is None else False if issubclass(kind, Exception) else None)
