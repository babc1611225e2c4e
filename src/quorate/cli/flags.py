"""Flags in the grammar of Go's `flag` package, as Consul's command line has them.

`-flag` and `--flag` are the same; a value follows `=` or a space; a switch needs none and may have
`=true` or `=false`; `--` ends the flags. argparse and click take one dash
for a cluster of letters, and complete abbreviations (ADR 0026).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

_FLAG = re.compile(r"--?([^-=][^=]*)(?:=(.*))?", re.DOTALL)
_OCTAL = re.compile(r"([+-]?0)_?([0-7]+(?:_[0-7]+)*)")
_SWITCH = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def whole_number(text: str) -> int:
    """Read a whole number as Go's flags do: `16`, `0x10`, `0o20`, `020`, `0b1_0000`.

    Raises:
        ValueError: It is none.
    """
    if not text.isascii() or text != text.strip():
        raise ValueError(text)
    octal = _OCTAL.fullmatch(text)
    return int(f"{octal[1]}o{octal[2]}" if octal else text, 0)


class FlagKind(NamedTuple):
    """The kind of a flag's value: its name in the help, its parser; whether the flag may repeat."""

    takes: str
    read: Callable[[str], Any]
    must_be: str = ""
    is_repeatable: bool = False


def _switch(text: str) -> bool:
    return _SWITCH[text.lower()]


SWITCH = FlagKind("", _switch)
KINDS: dict[Any, FlagKind] = {
    bool: SWITCH,
    str: FlagKind("VALUE", str),
    int: FlagKind("N", whole_number, "a whole number"),
    float: FlagKind("N", float, "a number"),
    Path | None: FlagKind("PATH", Path),
    tuple[str, ...]: FlagKind("VALUE", str, is_repeatable=True),
    tuple[Path, ...]: FlagKind("PATH", Path, is_repeatable=True),
}
"""By the annotation of a parameter."""


class About(NamedTuple):
    """The help of a flag in an annotation, with the name and limits of its value."""

    text: str
    takes: str = ""
    least: int | None = None
    most: int | None = None


class Flag(NamedTuple):
    """One flag; its name has no dashes, words in it are joined by dashes."""

    name: str
    about: About
    kind: FlagKind
    default: Any = None
    parameter: str = ""  # that receives its value

    @property
    def spelled(self) -> str:
        """Its form in the help."""
        dashed = f"--{self.name}" if len(self.name) > 1 else f"-{self.name}"
        if self.kind is SWITCH:
            return f"{dashed} / --no-{self.name}" if self.default else dashed
        return f"{dashed} {self.about.takes or self.kind.takes}"

    @property
    def limits(self) -> str:
        """The numbers that it takes; empty if all."""
        least, most = self.about.least, self.about.most
        if least is None:
            return ""
        return f"at least {least}" if most is None else f"from {least} to {most}"

    @property
    def explained(self) -> str:
        """Its help, with its default and limits."""
        is_shown = self.kind is not SWITCH and self.default not in (None, "", ())
        facts = [f"default {self.default}"] if is_shown else []
        facts += [self.limits] if self.limits else []
        return f"{self.about.text}  [{'; '.join(facts)}]" if facts else self.about.text

    def value(self, text: str) -> Any:
        """Read a value.

        Raises:
            ValueError: It is no value of this flag; the text says what it must be.
        """
        least, most = self.about.least, self.about.most
        try:
            value, must_be = self.kind.read(text), self.limits
        except KeyError:
            raise ValueError(f"invalid boolean value {text!r} for -{self.name}") from None
        except ValueError:
            value, must_be = None, self.kind.must_be
        if (
            value is None
            or (least is not None and value < least)
            or (most is not None and value > most)
        ):
            raise ValueError(f"invalid value {text!r} for flag -{self.name}: it must be {must_be}")
        return value


def flags_of(declared: Any, defaults: Mapping[str, Any]) -> Iterator[Flag]:
    """The flags that annotations declare, as `recurse: Annotated[bool, "All keys below KEY."]`.

    Args:
        declared: A function or class with annotations; an `_` at a name's end is not part of it.
        defaults: Which of its names are flags, and what each is if it is not given.
    """
    hints = get_type_hints(declared, include_extras=True)
    for name, default in defaults.items():
        hint = hints[name]
        if get_origin(hint) is Annotated:
            kind, about = get_args(hint)
            about = about if isinstance(about, About) else About(about)
            yield Flag(name.strip("_").replace("_", "-"), about, KINDS[kind], default, name)


class Line(NamedTuple):
    """A command line: flags in their order, arguments, and what is wrong with it."""

    given: list[tuple[Flag, Any]]
    arguments: list[str]
    faults: list[str]


def read_line(
    words: Sequence[str], flags: Mapping[str, Flag], *, refusal: str = "", is_verbatim: bool = False
) -> Line:
    """Read what follows the name of a command; `refusal` is the error if it takes no arguments.

    With `is_verbatim`, the first argument ends the flags: what follows is another command's.
    """
    line = Line([], [], [])
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "-" or not word.startswith("-"):
            if refusal:
                line.faults.append(f"{refusal}: {word}")
            else:
                line.arguments.append(word)
        elif word != "--":
            _read_flag(word, rest, flags, line)
            continue
        if word == "--" or is_verbatim:
            line.arguments.extend(rest)
            break
    return line


def _read_flag(word: str, rest: list[str], flags: Mapping[str, Flag], line: Line) -> None:
    match = _FLAG.fullmatch(word)
    if match is None:
        line.faults.append(f"bad flag syntax: {word}")
        return
    name, text = match.groups()
    is_off = name.startswith("no-") and text is None and name not in flags
    flag = flags.get(name.removeprefix("no-") if is_off else name)
    if flag is None or (is_off and flag.default is not True):
        from difflib import get_close_matches

        near = get_close_matches(name, flags)
        line.faults.append(
            f"flag provided but not defined: -{name}"
            + (f"; did you mean {' or '.join(f'-{each}' for each in near)}?" if near else "")
        )
        return
    if text is None and flag.kind is SWITCH:
        line.given.append((flag, not is_off))
        return
    if text is None and not rest:
        line.faults.append(f"flag needs an argument: -{name}")
        return
    try:
        line.given.append((flag, flag.value(rest.pop(0) if text is None else text)))
    except ValueError as error:
        line.faults.append(str(error))
