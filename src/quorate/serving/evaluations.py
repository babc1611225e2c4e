"""Evaluations: what readers that ask for the same find in one state is found once.

Thousands may wait for one key or prefix: one change then costs one evaluation and one encoding,
whatever their number. Only the newest state is remembered, and of it only so much.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from quorate.base.context import Principal

ENTRIES_MAX = 256
BYTES_MAX = 2 * 1024 * 1024
"""Of answers, as they are and encoded; with more, or more entries, everything is forgotten."""

_ENTRY_BYTES = 1024  # an entry, its key, and what an answer has beside its value
_DECODED = 4  # so many times what its MessagePack takes does a small value take in memory
_VALUE_BYTES = 16 * 1024  # of a longer one the most is text and bytes, which take what they are
_encoded = msgspec.msgpack.Encoder(enc_hook=lambda _: None).encode

State = tuple[int, int]
"""Names a state of the tables: `machine.queries.Reader.state`."""


class _Tally:
    """Bytes of one state's encoded answers."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def add(self, size: int) -> None:
        self.size += size


class Evaluated:
    """An answer, and how it is encoded, by form.

    Args:
        answer: As it was evaluated.
        tally: Where its bytes are counted; None: nobody shares it.

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
        """What was asked for, see `base.answers.Answer`."""
        return self.answer.value

    def body(self, form: object, encode: Callable[[], bytes]) -> bytes:
        """The answer as it is sent, encoded if nobody needed that before.

        Args:
            form: In which of its forms.
            encode: Does it.
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
    """Answers of one state, by who asks for what."""

    def __init__(self) -> None:
        self._state: State = (-1, 0)
        self._found: dict[tuple[Principal, bytes], Evaluated] = {}
        self._tally = _Tally()

    def __len__(self) -> int:
        return len(self._found)

    def answer(
        self, state: State, principal: Principal, asked: bytes, evaluate: Callable[[], Any]
    ) -> Evaluated:
        """The answer to a question, evaluated if nobody asked it before in this state.

        Args:
            state: Of the tables now.
            principal: Who asks: others may be shown something else.
            asked: Equal for those who ask for the same.
            evaluate: Makes the answer.
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
    """About how much memory an answer takes. Cost: one encoding of what one turn can make."""
    size = len(_encoded(getattr(answer, "value", None)))
    return _ENTRY_BYTES + size + (_DECODED - 1) * min(size, _VALUE_BYTES)
