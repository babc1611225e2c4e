"""Flags as users of Consul type them: `-flag` or `--flag`, `=` or a space, booleans with `=true`.

A command declares its flags with two dashes. Before they are parsed, every spelling of Go's flag
package is turned into that one. As there, the first word that is no flag ends the flags of a
command that says so (`interspersed=False`): what follows belongs to somebody else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
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


_WORDS: dict[Any, str] = {
    str: "VALUE", list[str]: "VALUE", int: "N", float: "N", Path: "PATH", list[Path]: "PATH",
}  # fmt: skip


def _name_values(parameters: Sequence[Any]) -> None:
    """Call what flags take as `quorate agent -h` does, not by a class of Python."""
    for parameter in parameters:
        if parameter.param_type_name == "option" and parameter.metavar is None:
            annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
            parameter.metavar = _WORDS.get(annotation)


def _help_rows(
    parameters: Sequence[Any], ctx: Any
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What the help says of the arguments that have a text, and of the flags."""
    arguments: list[tuple[str, str]] = []
    flags: list[tuple[str, str]] = []
    for each in parameters:
        if each.param_type_name == "option":
            flags.extend(filter(None, [each.get_help_record(ctx)]))
        elif each.help:
            arguments.append((each.metavar or each.name.upper(), each.help))
    return arguments, flags


class ConsulCommand(TyperCommand):
    """A command whose flags may be spelt as Consul's."""

    def get_help(self, ctx: Any) -> str:
        """The help, with plain names for what flags and arguments are."""
        _name_values(self.get_params(ctx))
        return super().get_help(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The arguments as the documentation has them: `[FLAGS] KEY`, not `[OPTIONS] [KEY]...`."""
        arguments = (each for each in self.get_params(ctx) if each.param_type_name == "argument")
        return ["[FLAGS]", *(each.metavar or each.name.upper() for each in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The arguments that need a word, then the flags."""
        parameters: Sequence[Any] = self.get_params(ctx)
        arguments, flags = _help_rows(parameters, ctx)
        for title, rows in (("Arguments", arguments), ("Flags", flags)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def get_help_option_names(self, ctx: Any) -> list[str]:
        """The flags that show the help, in one order."""
        return sorted(super().get_help_option_names(ctx), key=len)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn every spelling into the parser's own, then parse."""
        parameters = self.get_params(ctx)
        use_plain_values(parameters)
        known = _known(parameters)
        plain = plain_flags(args, known, interspersed=self.allow_interspersed_args)
        return super().parse_args(ctx, plain)


class QuickGroup(TyperGroup):
    """Commands under one name, with as quick a start."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the name."""
        del ctx
        return ["COMMAND", "[FLAGS]", "[ARGUMENTS]"]

    def get_help_option_names(self, ctx: Any) -> list[str]:
        """The flags that show the help, in one order."""
        return sorted(super().get_help_option_names(ctx), key=len)

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
