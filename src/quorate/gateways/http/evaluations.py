"""Evaluations: what blocking queries that ask for the same find in one state is found once.

Thousands may wait for one key or prefix: one change then costs one evaluation and one encoding,
whatever their number. Only the newest state is remembered, and of it only so much.
"""

from collections.abc import Callable
from typing import Any

ENTRIES_MAX = 256
BYTES_MAX = 2 * 1024 * 1024
"""Of encoded answers; with more, or more entries, everything is forgotten."""

State = tuple[int, int]
"""Names a state of the tables: `machine.queries.Reader.state`."""

_OWN = (b"index=", b"wait=")


def question(target: bytes) -> bytes:
    """The target without what each waiting reader says for itself."""
    path, _, query = target.partition(b"?")
    return b"&".join([path + b"?", *(p for p in query.split(b"&") if not p.startswith(_OWN))])


class _Entry:
    """An answer, and how it is encoded: plain and indented."""

    __slots__ = ("answer", "bodies")

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.bodies: dict[bool, bytes] = {}


class Evaluations:
    """Answers of one state, by question."""

    def __init__(self) -> None:
        self._state: State = (-1, 0)
        self._entries: dict[bytes, _Entry] = {}
        self._by_id: dict[int, _Entry] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def answer(self, state: State, asked: bytes, evaluate: Callable[[], Any]) -> Any:
        """The answer to a question, evaluated if nobody asked it before in this state.

        Args:
            state: Of the tables now.
            asked: See `question`.
            evaluate: Makes the answer.
        """
        if state != self._state or len(self._entries) >= ENTRIES_MAX or self._bytes > BYTES_MAX:
            self._state, self._bytes = state, 0
            self._entries, self._by_id = {}, {}
        entry = self._entries.get(asked)
        if entry is None:
            entry = self._entries[asked] = _Entry(evaluate())
            self._by_id[id(entry.answer)] = entry
        return entry.answer

    def body(self, answer: object, encode: Callable[[], bytes], *, is_pretty: bool) -> bytes:
        """An answer as it is sent, encoded if nobody needed that before.

        Args:
            answer: If it is none of those remembered it is encoded each time.
            encode: Does it.
            is_pretty: Whether it is indented.
        """
        entry = self._by_id.get(id(answer))
        if entry is None:
            return encode()
        body = entry.bodies.get(is_pretty)
        if body is None:
            body = entry.bodies[is_pretty] = encode()
            self._bytes += len(body)
        return body
