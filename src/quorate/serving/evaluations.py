"""Evaluations: equal queries on one state are evaluated once.

Thousands may wait for one key or prefix: a change then costs one evaluation and one encoding,
whatever their number. Only results of the newest state are cached, up to a limit.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from quorate.base.context import Principal

ENTRIES_MAX = 256
BYTES_MAX = 2 * 1024 * 1024
"""Of results and their encodings; with more, or with more entries, the cache is cleared."""

_ENTRY_BYTES = 1024  # an entry, its key, and the fields of a result beside its value
_DECODED = 4  # a small value takes this many times the bytes of its MessagePack in memory
_VALUE_BYTES = 16 * 1024  # a longer one is mostly text and bytes, which take as much as encoded
_encoded = msgspec.msgpack.Encoder(enc_hook=lambda _: None).encode

State = tuple[int, int]
"""Identifies a state of the tables: `machine.queries.Reader.state`."""


class _Tally:
    """Bytes of the cached results of one state."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def add(self, size: int) -> None:
        self.size += size


class Evaluated:
    """A result, and its encodings by form.

    Args:
        answer: The result of the evaluation.
        tally: Where its bytes are counted; None: it is not shared.

    Attributes:
        answer: See above.
    """

    __slots__ = ("_bodies", "_tally", "answer")

    def __init__(self, answer: Any, tally: _Tally | None = None) -> None:
        self.answer = answer
        self._bodies: dict[Any, bytes] | None = None
        self._tally = tally

    @property
    def value(self) -> Any:
        """The value of the result, see `base.results.Answer`."""
        return self.answer.value

    def body(self, form: object, encode: Callable[[], bytes]) -> bytes:
        """The encoded result; encoded now if it was not before.

        Args:
            form: Which of its forms.
            encode: Encodes it.
        """
        if self._tally is None:
            return encode()
        if self._bodies is None:
            self._bodies = {}
        body = self._bodies.get(form)
        if body is None:
            body = self._bodies[form] = encode()
            self._tally.add(len(body))
        return body


class Evaluations:
    """Results of one state, by principal and query."""

    def __init__(self) -> None:
        self._state: State = (-1, 0)
        self._found: dict[tuple[Principal, bytes], Evaluated] = {}
        self._tally = _Tally()

    def __len__(self) -> int:
        return len(self._found)

    def answer(
        self, state: State, principal: Principal, asked: bytes, evaluate: Callable[[], Any]
    ) -> Evaluated:
        """The result of a query, evaluated if it is not cached for this state.

        Args:
            state: The current one of the tables.
            principal: Who makes the request: another one may see another result.
            asked: Identifies the query.
            evaluate: Evaluates it.
        """
        is_full = len(self._found) >= ENTRIES_MAX or self._tally.size > BYTES_MAX
        if state != self._state or is_full:
            self._state, self._found, self._tally = state, {}, _Tally()
        key = (principal, asked)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Evaluated(evaluate(), self._tally)
            self._tally.add(_held_bytes(found.answer))
        return found


def _held_bytes(answer: object) -> int:
    """About how many bytes of memory a result takes. Cost: one encoding."""
    size = len(_encoded(getattr(answer, "value", None)))
    return _ENTRY_BYTES + size + (_DECODED - 1) * min(size, _VALUE_BYTES)
