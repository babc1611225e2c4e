"""Interpolation: `${...}` in the texts of a template, as HashiCorp's language has it.

An expression is made of variables, calls of `match`, texts in quotes, whole numbers, `true` and
`false`, `+ - * / %` on numbers, and parentheses. `$${` is `${` itself. Conditions, comparisons and
indexes, which templates of queries have no values for, are refused.

Source: https://github.com/hashicorp/hil (syntax);
https://developer.hashicorp.com/consul/api-docs/query#prepared-query-templates.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import msgspec

Value = str | int | bool

Call = Callable[[Sequence[Value]], Value]
"""A function; raises `ValueError`."""

DEPTH_MAX = 16
"""Of parentheses and texts within each other."""

_TOKEN = re.compile(
    r'\s*(?:(?P<number>\d+)|(?P<name>[A-Za-z_][\w.*-]*)|(?P<text>")|(?P<sign>[-+*/%(),}]))'
)
_PLAIN = re.compile(r"(?:[^$]|\$(?!\{))+")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_INT_MAX = 1 << 63


class InterpolationError(ValueError):
    """A text is malformed, or cannot be evaluated; the text begins with line and column."""


class Scope(msgspec.Struct, frozen=True):
    """What expressions may use."""

    variables: Mapping[str, str]
    calls: Mapping[str, Call]


Node = Callable[[Scope], Value]


class Interpolated(msgspec.Struct, frozen=True):
    """A parsed text: literal parts, and expressions."""

    parts: tuple[str | Node, ...]

    def value(self, scope: Scope) -> str:
        """The text with its expressions evaluated.

        Raises:
            InterpolationError: An expression names what is not in the scope, or a call refuses.
        """
        return "".join(
            part if isinstance(part, str) else _text_of(part(scope)) for part in self.parts
        )


def _text_of(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=256)
def parsed(text: str) -> Interpolated:
    """Parse a text. Cost: O(its length).

    Raises:
        InterpolationError: An expression is malformed.
    """
    return Interpolated(_Parser(text).whole())


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> tuple[str | Node, ...]:
        parts: list[str | Node] = []
        while self._at < len(self._text):
            self._part(parts)
        return tuple(parts)

    def _part(self, parts: list[str | Node]) -> None:
        """One literal part or one expression, which begin here."""
        text, at = self._text, self._at
        if text.startswith("$${", at):
            parts.append("${")
            self._at += 3
        elif text.startswith("${", at):
            self._at += 2
            parts.append(self._expression())
            self._expect("}")
        else:
            found = _PLAIN.match(text, at)
            end = at + 1 if found is None else found.end()
            if text.startswith("{", end) and text[end - 1] == "$" and end - 1 > at:
                end -= 1
            plain = text[at:end]
            if plain.endswith("$") and text.startswith("${", end):  # `$${`
                plain, end = plain[:-1], end - 1
            parts.append(plain)
            self._at = end

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error("expressions are nested too deeply")
        left = self._product()
        while (sign := self._next_sign("+-")) is not None:
            left = _joined(sign, left, self._product(), self._place(self._at))
        self._depth -= 1
        return left

    def _product(self) -> Node:
        left = self._operand()
        while (sign := self._next_sign("*/%")) is not None:
            left = _joined(sign, left, self._operand(), self._place(self._at))
        return left

    def _operand(self) -> Node:
        found = self._token()
        begin = found.start(found.lastgroup or 0)
        if found["number"] is not None:
            number = int(found["number"][:20])
            return lambda _: number
        if found["text"] is not None:
            return self._quoted()
        if found["name"] is not None:
            return self._named(found["name"], self._place(begin))
        if found["sign"] == "-":
            return _joined("-", lambda _: 0, self._operand(), self._place(begin))
        if found["sign"] == "(":
            inner = self._expression()
            self._expect(")")
            return inner
        raise self._error(f'expected expression but found "{found["sign"]}"', begin)

    def _named(self, name: str, place: str) -> Node:
        if name in ("true", "false"):
            return lambda _: name == "true"
        if self._next_sign("(") is None:
            return lambda scope: _variable(scope, name, place)
        arguments: list[Node] = []
        if self._next_sign(")") is None:
            arguments.append(self._expression())
            while self._next_sign(",") is not None:
                arguments.append(self._expression())
            self._expect(")")
        return lambda scope: _called(scope, name, arguments, place)

    def _quoted(self) -> Node:
        """A text in quotes, after the first of them; it may hold expressions."""
        parts: list[str | Node] = []
        while True:
            char = self._text[self._at : self._at + 1]
            if char == '"':
                self._at += 1
                inner = Interpolated(tuple(parts))
                return inner.value
            if char in ("", "\n"):
                raise self._error("unterminated string")
            if char == "\\":
                parts.append(self._escape())
            elif self._text.startswith(("${", "$${"), self._at):
                self._part(parts)
            else:
                parts.append(char)
                self._at += 1

    def _escape(self) -> str:
        char = self._text[self._at + 1 : self._at + 2]
        if char not in _ESCAPES:
            raise self._error("invalid escape in string")
        self._at += 2
        return _ESCAPES[char]

    # --- tokens --------------------------------------------------------------------------------

    def _token(self) -> re.Match[str]:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            rest = self._text[self._at :].lstrip()
            what = f"invalid character {rest[0]!r}" if rest else "unexpected end of text"
            raise self._error(what, len(self._text) - len(rest))
        self._at = found.end()
        return found

    def _next_sign(self, signs: str) -> str | None:
        """The next token, if it is one of these signs."""
        found = _TOKEN.match(self._text, self._at)
        if found is None or found["sign"] is None or found["sign"] not in signs:
            return None
        self._at = found.end()
        return found["sign"]

    def _expect(self, sign: str) -> None:
        if self._next_sign(sign) is None:
            raise self._error(f'expected "{sign}"')

    def _place(self, at: int) -> str:
        before = self._text[:at]
        return f"{before.count(chr(10)) + 1}:{at - before.rfind(chr(10))}"

    def _error(self, what: str, at: int | None = None) -> InterpolationError:
        return InterpolationError(f"{self._place(self._at if at is None else at)}: {what}")


def _variable(scope: Scope, name: str, place: str) -> str:
    if name not in scope.variables:
        raise InterpolationError(f"{place}: unknown variable accessed: {name}")
    return scope.variables[name]


def _called(scope: Scope, name: str, arguments: Sequence[Node], place: str) -> Value:
    call = scope.calls.get(name)
    if call is None:
        raise InterpolationError(f"{place}: unknown function called: {name}")
    try:
        return call([argument(scope) for argument in arguments])
    except InterpolationError:
        raise
    except ValueError as error:
        raise InterpolationError(f"{place}: {name}: {error}") from None


def whole_number(value: Value) -> int:
    """A value as a number; texts are converted.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a bool")  # noqa: TRY004 - of a client
    number = int(value[:20]) if isinstance(value, str) else value
    if not -_INT_MAX <= number < _INT_MAX:
        raise ValueError("a number is out of range")
    return number


def _joined(sign: str, left: Node, right: Node, place: str) -> Node:
    def value(scope: Scope) -> Value:
        try:
            one, two = whole_number(left(scope)), whole_number(right(scope))
            return whole_number(_OPERATIONS[sign](one, two))
        except InterpolationError:
            raise
        except (ValueError, ZeroDivisionError) as error:
            raise InterpolationError(f"{place}: {error}") from None

    return value


_OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda one, two: one + two,
    "-": lambda one, two: one - two,
    "*": lambda one, two: one * two,
    "/": lambda one, two: abs(one) // abs(two) * (1 if (one < 0) == (two < 0) else -1),
    "%": lambda one, two: abs(one) % abs(two) * (-1 if one < 0 else 1),
}
"""As Go has them: division is cut towards 0."""
