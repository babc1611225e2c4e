"""One route: a path that is served, and by which handlers. `routes` lists all of them.

It stands apart so that a module of handlers may list its own routes.
"""

from collections.abc import Callable, Mapping

import msgspec

from quorate.gateways.http.context import Context
from quorate.gateways.http.params import Params
from quorate.httpserver.request import Request

Handler = Callable[[Context, Request, Params, bytes], None]


class Route(msgspec.Struct, frozen=True):
    """A path that is served.

    Attributes:
        pattern: With `:name` for the free part, which is the rest of the path.
        handlers: By method, in the order in which `Allow` lists them.
        other: Handles all other methods; None: they are refused as usual.
    """

    pattern: str
    handlers: Mapping[str, Handler]
    other: Handler | None = None

    @property
    def fixed(self) -> bytes:
        """The path before its free part, or the whole path."""
        return self.pattern.partition(":")[0].encode()

    @property
    def is_open(self) -> bool:
        """Whether a free part follows."""
        return ":" in self.pattern

    @property
    def allow(self) -> bytes:
        """The value of `Allow`."""
        return ",".join(("OPTIONS", *self.handlers)).encode()
