"""Regular expressions of clients: RE2, which needs time linear in the text, whatever it is given.

Source: https://github.com/google/re2/wiki/Syntax.
"""

from typing import Any, Protocol

import re2  # pyright: ignore[reportMissingTypeStubs] - it has none

from quorate.filters.expressions import FilterError

BYTES_MAX = 1024 * 1024
"""Memory that one expression may take, compiled."""

_re2: Any = re2


class Regex(Protocol):
    """A compiled expression."""

    def search(self, text: str, /) -> object | None:
        """Whether it matches anywhere; None: it does not."""
        ...


def compiled(text: str) -> Regex:
    """Compile an expression.

    Raises:
        FilterError: It is malformed, or takes too much memory.
    """
    options = _re2.Options()
    options.log_errors = False
    options.max_mem = BYTES_MAX
    try:
        regex: Regex = _re2.compile(text, options)
    except _re2.error as error:
        why = error.args[0]
        reason = why.decode(errors="replace") if isinstance(why, bytes) else why
        text = f'Failed to compile regular expression "{text}": error parsing regexp: {reason}'
        raise FilterError(text) from None
    return regex
