"""The command `quorate`. One module per noun, imported when it is asked for.

Each module has an `app`. `agent` does not pass through the parser of the others: its flags are
Consul's, with one dash and long names, and its start is timed.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from quorate import __version__
from quorate.base.errors import QuorateError
from quorate.cli.flags import QuickGroup

NOUNS = (
    "agent", "bench", "cluster", "completion", "demo", "info", "kv", "lock", "members", "session",
    "snapshot", "txn", "version",
)  # fmt: skip

UsageErrors: tuple[type[BaseException], ...] = tuple(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
"""What all complaints of the parser have in common, wherever it lives."""

EXIT_ERROR = 1
EXIT_UNKNOWN_COMMAND = 127
EXIT_INTERRUPTED = 130


class LazyCommands(dict[str, Any]):
    """Commands by noun; a module is imported when its command is taken out."""

    def __init__(self) -> None:
        found = [noun for noun in NOUNS if find_spec(f"quorate.cli.{noun}") is not None]
        super().__init__(dict.fromkeys(found))

    def __getitem__(self, noun: str) -> Any:
        """The command of a noun."""
        command = super().__getitem__(noun)
        if command is None:
            module = importlib.import_module(f"quorate.cli.{noun}")
            command = typer.main.get_command(module.app)
            command.name = noun
            self[noun] = command
        return command

    def get(self, noun: str, default: Any = None) -> Any:
        """The command of a noun, or the default."""
        return self[noun] if noun in self else default  # noqa: SIM401 - this is get itself

    def items(self) -> Any:
        """Every noun with its command."""
        return [(noun, self[noun]) for noun in self]

    def values(self) -> Any:
        """Every command."""
        return [self[noun] for noun in self]


class Nouns(QuickGroup):
    """The top of the command line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LazyCommands()


app = typer.Typer(
    cls=Nouns,
    help="A fault-tolerant store for services, with Consul's API, on Multi-Paxos.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "-help", "--help"]},
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"Quorate v{__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Hold what all commands share: nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code says how it went."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] == "agent":
        return _run_agent(words[1:])
    if words and (words[0].startswith("-") or words[0] in LazyCommands()):
        return _run(words)
    if words:
        typer.echo(f"quorate has no command {words[0]!r}", err=True)
    typer.echo(_usage(), err=True)
    return EXIT_UNKNOWN_COMMAND


def _run(words: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(words, "quorate", standalone_mode=False)
    except UsageErrors as error:
        complaint: Any = error
        complaint.show()
        return EXIT_ERROR
    except QuorateError as error:
        typer.echo(f"Error: {error.text}", err=True)
        return EXIT_ERROR
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    return code if isinstance(code, int) else 0


def _run_agent(words: Sequence[str]) -> int:
    from quorate.cli.agent import run

    return run(words)


def _usage() -> str:
    lines = ["Usage: quorate COMMAND [FLAGS] [ARGUMENTS]", "", "Commands:"]
    return "\n".join([*lines, *(f"    {noun}" for noun in LazyCommands())])


if __name__ == "__main__":
    sys.exit(main())
