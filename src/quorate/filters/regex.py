"""Regular expressions of clients: RE2, which needs time linear in the text, whatever it is given.

Source: https://github.com/google/re2/wiki/Syntax.
"""

from typing import Any, Protocol

import re2  # pyright: ignore[reportMissingTypeStubs] - it has none

from quorate.filters.expressions import FilterError

BYTES_MAX = 1024 * 1024
"""Memory that one expression may take, compiled."""

_re2: Any = re2


class RegexError(ValueError):
    """An expression is malformed, or takes too much memory; the text says why."""


class Match(Protocol):
    """What an expression has matched."""

    def group(self, number: int = 0, /) -> str | None:
        """What a group has matched; 0: all of it. None: the group took no part."""
        ...

    def groups(self) -> tuple[str | None, ...]:
        """What each group has matched, from 1 on."""
        ...


class Regex(Protocol):
    """A compiled expression."""

    def search(self, text: str, /) -> Match | None:
        """The first match anywhere; None: there is none."""
        ...


def compiled(text: str) -> Regex:
    """Compile an expression of a filter.

    Raises:
        FilterError: It is malformed, or takes too much memory.
    """
    try:
        return regex_of(text)
    except RegexError as error:
        text = f'Failed to compile regular expression "{text}": {error}'
        raise FilterError(text) from None


def regex_of(text: str) -> Regex:
    """Compile an expression.

    Raises:
        RegexError: It is malformed, or takes too much memory.
    """
    options = _re2.Options()
    options.log_errors = False
    options.max_mem = BYTES_MAX
    try:
        regex: Regex = _re2.compile(text, options)
    except _re2.error as error:
        why = error.args[0]
        reason = why.decode(errors="replace") if isinstance(why, bytes) else why
        raise RegexError(f"error parsing regexp: {reason}") from None
    return regex
