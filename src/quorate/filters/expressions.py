"""The grammar of filter expressions, and what a text of it means.

```text
expression := and ("or" and)*                and := not ("and" not)*
not        := "not" not | "(" expression ")" | match
match      := selector ("==" | "!=") value | selector "is" ["not"] "empty"
            | value ["not"] "in" selector  | selector ["not"] "contains" value
            | selector ["not"] "matches" value
selector   := name ("." name | "[" text "]")*
value      := "text" | `text` | number | name ("." name)*
```

Source: https://developer.hashicorp.com/consul/api-docs/features/filtering.
"""

import re
from enum import StrEnum
from typing import NamedTuple

EXPRESSION_CHARS_MAX = 16 * 1024
"""A longer expression is refused."""

DEPTH_MAX = 64
"""So many `not` and brackets may enclose each other."""


class FilterError(ValueError):
    """An expression cannot be used; the text says why, in Consul's words."""


class Operator(StrEnum):
    """How a field is compared, under the names that errors have."""

    EQUAL = "Equal"
    NOT_EQUAL = "Not Equal"
    IN = "In"
    NOT_IN = "Not In"
    IS_EMPTY = "Is Empty"
    IS_NOT_EMPTY = "Is Not Empty"
    MATCHES = "Matches"
    NOT_MATCHES = "Not Matches"


class Comparison(NamedTuple):
    """One field compared with a value, which is empty where the operator needs none."""

    selector: tuple[str, ...]
    operator: Operator
    value: str


class Negation(NamedTuple):
    """True if the expression is not."""

    inner: "Expression"


class AllOf(NamedTuple):
    """True if every one is."""

    parts: tuple["Expression", ...]


class AnyOf(NamedTuple):
    """True if one is."""

    parts: tuple["Expression", ...]


Expression = Comparison | Negation | AllOf | AnyOf

_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_/]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?![A-Za-z0-9_.])")
_TEXT = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`([^`]*)`')
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"'])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([0-7]{3}))")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NEGATED = {
    Operator.IN: Operator.NOT_IN,
    Operator.MATCHES: Operator.NOT_MATCHES,
}


def parse(text: str) -> Expression:
    """Read an expression. Cost: linear in its length.

    Raises:
        FilterError: It is too long, too deep, or does not follow the grammar.
    """
    if len(text) > EXPRESSION_CHARS_MAX:
        raise FilterError(f"longer than {EXPRESSION_CHARS_MAX} characters")
    return _ExpressionParser(text).whole()


class _ExpressionParser:
    """Reads one text from the front; each method takes what it is named for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        """The whole text."""
        found = self._any_of()
        self._skip_space()
        if self._at < len(self._text):
            raise self._fault('"and", "or" or the end')
        return found

    def _any_of(self) -> Expression:
        parts = [self._all_of()]
        while self._take_word("or"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all_of(self) -> Expression:
        parts = [self._negation()]
        while self._take_word("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _negation(self) -> Expression:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise FilterError(f"more than {DEPTH_MAX} brackets and negations within each other")
        if self._take_word("not"):
            found: Expression = Negation(self._negation())
        elif self._take("("):
            found = self._any_of()
            if not self._take(")"):
                raise self._fault('"and", "or" or ")"')
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Expression:
        self._skip_space()
        value = self._literal()
        if value is not None:
            return self._contained(value)
        begin = self._at
        selector = self._selector()
        if selector is None:
            raise self._fault('a selector, a value, "not" or "("')
        value = self._text[begin : self._at]  # if it proves to be one
        if self._take("=="):
            return Comparison(selector, Operator.EQUAL, self._value())
        if self._take("!="):
            return Comparison(selector, Operator.NOT_EQUAL, self._value())
        if self._take_word("is"):
            is_negated = self._take_word("not")
            if not self._take_word("empty"):
                raise self._fault('"empty"' if is_negated else '"empty" or "not"')
            operator = Operator.IS_NOT_EMPTY if is_negated else Operator.IS_EMPTY
            return Comparison(selector, operator, "")
        after = self._at
        is_negated = self._take_word("not")
        for word, plain in (("contains", Operator.IN), ("matches", Operator.MATCHES)):
            if self._take_word(word):
                operator = _NEGATED[plain] if is_negated else plain
                return Comparison(selector, operator, self._value())
        self._at = after
        return self._contained(value)

    def _contained(self, value: str) -> Expression:
        """What follows a value: `in` or `not in`, and a selector."""
        operator = Operator.NOT_IN if self._take_word("not") else Operator.IN
        if not self._take_word("in"):
            raise self._fault('"==", "!=", "is", "in", "contains", "matches" or "not"')
        self._skip_space()
        selector = self._selector()
        if selector is None:
            raise self._fault("a selector")
        return Comparison(selector, operator, value)

    def _value(self) -> str:
        self._skip_space()
        value = self._literal()
        if value is None:
            begin = self._at
            if self._selector(takes_brackets=False) is None:
                raise self._fault("a value")
            value = self._text[begin : self._at]
        return value

    def _literal(self) -> str | None:
        """A text in quotes, or a number as it is written."""
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            return number[0]
        return self._quoted()

    def _quoted(self) -> str | None:
        found = _TEXT.match(self._text, self._at)
        if found is None:
            return None
        text, raw = found.groups()
        value = str(raw) if raw is not None else _ESCAPE.sub(_unescaped, text)
        if _SURROGATE.search(value):
            raise self._fault("a text without halves of characters")
        self._at = found.end()
        return value

    def _selector(self, *, takes_brackets: bool = True) -> tuple[str, ...] | None:
        first = _NAME.match(self._text, self._at)
        if first is None:
            return None
        self._at = first.end()
        parts = [first[0]]
        while True:
            if self._text.startswith(".", self._at):
                self._at += 1
                part = _NAME.match(self._text, self._at)
                if part is None:
                    raise self._fault("a name")
                self._at = part.end()
                parts.append(part[0])
            elif takes_brackets and self._text.startswith("[", self._at):
                self._at += 1
                key = self._quoted()
                if key is None or not self._text.startswith("]", self._at):
                    raise self._fault('a text in quotes and "]"')
                self._at += 1
                parts.append(key)
            else:
                return tuple(parts)

    # --- places --------------------------------------------------------------------------------

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = self._at if found is None else found.end()

    def _take(self, mark: str) -> bool:
        self._skip_space()
        is_next = self._text.startswith(mark, self._at)
        self._at += len(mark) if is_next else 0
        return is_next

    def _take_word(self, word: str) -> bool:
        self._skip_space()
        found = _NAME.match(self._text, self._at)
        if found is None or found[0] != word:
            return False
        self._at = found.end()
        return True

    def _fault(self, expected: str) -> FilterError:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        place = f"{line}:{column} ({self._at})"
        return FilterError(f"{place}: no match found, expected: {expected}")


def _unescaped(escape: re.Match[str]) -> str:
    letter, *codes = escape.groups()
    if letter:
        return _LETTERS.get(letter, letter)
    two, four, octal = codes
    return chr(int(octal, 8) if octal else int(two or four, 16))
