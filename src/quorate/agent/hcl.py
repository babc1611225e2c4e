"""HCL as Consul's files use it, which is version 1 of that language.

No maintained library reads it (ADR 0034).

The result is what HashiCorp's reader gives a program: a block is a list of blocks, since it may be
repeated; lists of one key append; other values of a key replace earlier ones.
`tests/unit/agent/data/hcl.json` records the results of that reader.

Source: https://github.com/hashicorp/hcl/tree/hcl1 (README).
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+|(?:\#|//)[^\n]*|/\*.*?\*/)
  | (?P<heredoc><<-?[^\W\d][\w]*\r?\n)
  | (?P<float>-?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|-?\d+[eE][+-]?\d+)
  | (?P<whole>-?(?:0[xX][0-9a-fA-F]+|\d+))
  | (?P<word>[^\W\d][\w.-]*)
  | (?P<quote>")
  | (?P<mark>[{}\[\]=,])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = r'\\(?:([abfnrtv\\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))'
_PART = re.compile(rf'[^"\\\n$]+|\$\{{|\$|{_ESCAPE}')
_BRACE = re.compile("[{}]")
_LETTERS = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
    '"': '"',
}  # fmt: skip
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_INT64 = range(-(2**63), 2**63)
_LITERALS = {"true": True, "false": False}


class _Token(NamedTuple):
    kind: str  # "word", "string", "value", "end", or the mark that it is
    value: Any
    place: int


def loads(text: str) -> dict[str, Any]:
    """Read a text of HCL, or of JSON, which is HCL too.

    Raises:
        ValueError: It is malformed; the text names line and column.
        RecursionError: Blocks are nested too deeply.
    """
    if text.lstrip().startswith("{"):
        values: dict[str, Any] = json.loads(text)
        return values
    return _HclParser(text).document()


class _HclParser:
    """Parses one text from the front, with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._tokens = self._scan()
        self._end = _Token("end", "", len(text))
        self._next = next(self._tokens, self._end)
        self._after = next(self._tokens, self._end)

    def document(self) -> dict[str, Any]:
        """The whole text."""
        values = self._items()
        if self._next.kind != "end":
            raise self._fault(self._next.place, "expected a key")
        return values

    # --- structure -----------------------------------------------------------------------------

    def _items(self) -> dict[str, Any]:
        """Keys with their values, up to a bracket or the end."""
        values: dict[str, Any] = {}
        while self._next.kind in {"word", "string"}:
            key = self._take()
            value = self._item(key)
            old = values.get(key.value)
            if old is not None and isinstance(old, list) != isinstance(value, list):
                raise self._fault(key.place, f"{key.value!r} is a block here and a value elsewhere")
            values[key.value] = [*old, *value] if isinstance(old, list) else value
            self._skip(",")
        return values

    def _item(self, key: _Token) -> Any:
        """What follows a key: a value, or a block, perhaps with more names before it."""
        if self._skip("="):
            value = self._value()
            return [value] if isinstance(value, dict) else value
        if self._next.kind == "{":
            return [self._block()]
        if self._next.kind in {"word", "string"} and self._after.kind in {"word", "string", "{"}:
            return [{self._take().value: self._item(key)}]
        raise self._fault(self._next.place, f"key {key.value!r}: expected '{{' or '='")

    def _value(self) -> Any:
        token = self._next
        if token.kind in {"value", "string"}:
            return self._take().value
        if token.kind == "{":
            return self._block()
        if token.kind == "[":
            return self._list()
        what = "nothing" if token.kind == "end" else repr(token.value)
        raise self._fault(token.place, f"expected a value, not {what}")

    def _block(self) -> dict[str, Any]:
        opened = self._take()
        values = self._items()
        if not self._skip("}"):
            text = f"expected '}}' for the '{{' at {self._where(opened.place)}"
            raise self._fault(self._next.place, text)
        return values

    def _list(self) -> list[Any]:
        opened = self._take()
        items: list[Any] = []
        while not self._skip("]"):
            items.append(self._value())
            if not self._skip(",") and self._next.kind != "]":
                text = f"expected ',' or ']' for the '[' at {self._where(opened.place)}"
                raise self._fault(self._next.place, text)
        return items

    # --- tokens --------------------------------------------------------------------------------

    def _take(self) -> _Token:
        taken, self._next = self._next, self._after
        self._after = next(self._tokens, self._end)
        return taken

    def _skip(self, mark: str) -> bool:
        """Whether this mark was next; it is taken then."""
        return self._next.kind == mark and bool(self._take())

    def _scan(self) -> Iterator[_Token]:
        while self._at < len(self._text):
            place = self._at
            match = _TOKEN.match(self._text, place)
            if match is None:
                raise self._fault(place, f"illegal character {self._text[place]!r}")
            self._at = match.end()
            kind, text = str(match.lastgroup), match[0]
            if kind == "quote":
                yield _Token("string", self._string(place), place)
            elif kind == "heredoc":
                yield _Token("string", self._heredoc(text, place), place)
            elif kind == "whole":
                yield _Token("value", self._whole(text, place), place)
            elif kind == "float":
                yield _Token("value", float(text), place)
            elif text in _LITERALS:
                yield _Token("value", _LITERALS[text], place)
            elif kind != "space":
                yield _Token(text if kind == "mark" else kind, text, place)

    def _whole(self, word: str, place: int) -> int:
        digits = word.lstrip("-")
        is_octal = digits.startswith("0") and digits.isdigit() and len(digits) > 1
        try:
            number = int(word, 8 if is_octal else 0)
        except ValueError:
            raise self._fault(place, f"{word} is no number") from None
        if number not in _INT64:
            raise self._fault(place, f"{word} is out of range")
        return number

    def _string(self, begun: int) -> str:
        """The rest of a string; from `${` up to the matching brace it stays as it is."""
        parts: list[str] = []
        while match := _PART.match(self._text, self._at):
            self._at = match.end()
            if match[0] == "${":
                self._skip_braces(begun)
                parts.append(self._text[match.start() : self._at])
            else:
                parts.append(_unescaped(match) if match[0].startswith("\\") else match[0])
        if self._text.startswith("\\", self._at):
            raise self._fault(self._at, "illegal escape")
        if not self._text.startswith('"', self._at):
            raise self._fault(begun, "the string does not end")
        self._at += 1
        return "".join(parts)

    def _skip_braces(self, begun: int) -> None:
        depth = 1
        for brace in _BRACE.finditer(self._text, self._at):
            depth += 1 if brace[0] == "{" else -1
            if not depth:
                self._at = brace.end()
                return
        raise self._fault(begun, "the string does not end")

    def _heredoc(self, head: str, begun: int) -> str:
        """The lines up to the one that holds only the word."""
        word = head.strip("<-\r\n")
        end = re.compile(rf"^[ \t]*{re.escape(word)}\r?\n", re.MULTILINE).search(
            self._text, self._at
        )
        if end is None:
            raise self._fault(begun, f"no line {word!r} ends the text that begins here")
        lines = self._text[self._at : end.start()].splitlines(keepends=True)
        self._at = end.end() - 1
        indent = end[0][: len(end[0]) - len(end[0].lstrip(" \t"))]
        is_cut = head.startswith("<<-") and all(line.startswith(indent) for line in lines)
        return "".join(line.removeprefix(indent) if is_cut else line for line in lines)

    # --- faults --------------------------------------------------------------------------------

    def _where(self, place: int) -> str:
        line = self._text.count("\n", 0, place) + 1
        return f"{line}:{place - self._text.rfind(chr(10), 0, place)}"

    def _fault(self, place: int, text: str) -> ValueError:
        return ValueError(f"At {self._where(place)}: {text}")


def _unescaped(escape: re.Match[str]) -> str:
    """The character that an escape means; what is no Unicode scalar value is replaced."""
    letter, octal, *codes = escape.groups()
    if letter:
        return _LETTERS[letter]
    code = int(octal, 8) if octal else int(next(each for each in codes if each), 16)
    return _REPLACEMENT if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code)
