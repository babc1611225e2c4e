"""Flags as users of Consul type them: `-flag` or `--flag`, `=` or a space, booleans with `=true`.

A command declares its flags with two dashes. Before they are parsed, every spelling of Go's flag
package is turned into that one. As there, the first word that is no flag ends the flags of a
command that says so (`interspersed=False`): what follows belongs to somebody else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from quorate.cli.plainvalues import use_plain_values

HELP = ["-h", "-help", "--help"]
_FLAG = re.compile(r"--?([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?", re.DOTALL)
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


class Flag(NamedTuple):
    """How one flag is spelt for the parser.

    Attributes:
        on: The flag itself, with its dashes.
        off: What switches it off; empty if it is off by default and needs no word for it.
        is_switch: True if it takes no value.
    """

    on: str
    off: str
    is_switch: bool


def plain_flags(
    words: Sequence[str], flags: Mapping[str, Flag], *, interspersed: bool = True
) -> list[str]:
    """Spell every known flag with two dashes; leave unknown ones to the parser's complaint.

    Args:
        words: The command line after the command's name.
        flags: Known flags by their name without dashes.
        interspersed: True if flags may also stand after the first argument.

    Returns:
        The same command line in the parser's own spelling.
    """
    plain: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        match = _FLAG.fullmatch(word)
        if word == "--" or (match is None and not interspersed):
            return [*plain, word, *rest]
        if match is None:
            plain.append(word)
            continue
        name, value = match.groups()
        flag = flags.get(name)
        if flag is None:
            plain.append(f"--{word.lstrip('-')}")
        elif flag.is_switch:
            plain += _switched(flag, word, value)
        elif value is not None:
            plain += [f"{flag.on}={value}"] if flag.on.startswith("--") else [flag.on, value]
        else:
            plain += [flag.on, *rest[:1]]
            del rest[:1]
    return plain


def _switched(flag: Flag, word: str, value: str | None) -> list[str]:
    if value is None or value in _TRUE:
        return [flag.on]
    if value in _FALSE:
        return [flag.off] if flag.off else []
    raise typer.BadParameter(f"{word}: a switch takes true or false, not {value!r}")


def _known(parameters: Sequence[Any]) -> dict[str, Flag]:
    known: dict[str, Flag] = {"h": Flag("--help", "", is_switch=True)}
    for parameter in parameters:
        is_switch = bool(getattr(parameter, "is_flag", False))
        off = max(parameter.secondary_opts, key=len, default="")
        for option in parameter.opts:
            if option.startswith("-"):
                longest = max(parameter.opts, key=len)
                known[option.lstrip("-")] = Flag(longest, off, is_switch)
        for option in parameter.secondary_opts:
            known[option.lstrip("-")] = Flag(option, "", is_switch=True)
    return known


class ConsulCommand(TyperCommand):
    """A command whose flags may be spelt as Consul's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn every spelling into the parser's own, then parse."""
        parameters = self.get_params(ctx)
        use_plain_values(parameters)
        known = _known(parameters)
        plain = plain_flags(args, known, interspersed=self.allow_interspersed_args)
        return super().parse_args(ctx, plain)


class QuickGroup(TyperGroup):
    """Commands under one name, with as quick a start."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before the command's name; without one, say which there are."""
        if not args:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(1)
        use_plain_values(self.get_params(ctx))
        return super().parse_args(ctx, args)


class VerbatimCommand(ConsulCommand):
    """A command whose flags end at its first argument."""

    allow_interspersed_args = False


def command(
    app: typer.Typer, name: str, *, verbatim: bool = False, examples: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command of `app`.

    Args:
        app: The noun's application.
        name: The verb, as typed.
        verbatim: True if everything after the first argument is an argument.
        examples: Command lines shown at the end of the help.
    """
    kind = VerbatimCommand if verbatim else ConsulCommand
    lines = ["\b", "Examples:", *(f"  {example}" for example in examples)]
    epilog = "\n".join(lines) if examples else None

    def register(function: Callable[..., None]) -> Callable[..., None]:
        about = re.split(r"[.;:](?:\s|$)", function.__doc__ or "", maxsplit=1)[0]
        short = " ".join(about.split())
        decorate = app.command(name, cls=kind, short_help=f"{short}.", epilog=epilog)
        registered: Callable[..., None] = decorate(function)
        return registered

    return register


def application(about: str) -> typer.Typer:
    """Make the application of one noun, with plain help."""
    return typer.Typer(
        cls=QuickGroup,
        help=about,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": HELP},
    )
