"""What applying a command gives back to the node that took it. Results do not travel."""

from typing import Any

import msgspec


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """The command was applied and refused; nothing changed.

    `code` is a code of `base.errors`; `text` is Consul's wording where clients match on it.
    """

    code: str
    text: str


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """The result of one applied command.

    Attributes:
        index: The index the command took, or the current one if it changed nothing.
        value: What the command's docstring says; a `Failure` if it was refused.
    """

    index: int
    value: Any
