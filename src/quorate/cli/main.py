"""The command `quorate`. One module per noun, imported when it is asked for.

Each module has an `app`. `agent` does not pass through the parser of the others: its flags are
Consul's, with one dash and long names, and its start is timed.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from quorate.base.errors import QuorateError
from quorate.cli.flags import HELP, QuickGroup

NOUNS = {
    "agent": "Run a node.",
    "bench": "Measure a running cluster: puts, reads, stale reads.",
    "cluster": "Change who votes, and who leads.",
    "completion": "Print a script that completes commands and flags.",
    "demo": "Start three nodes here, break what can break, count what was lost.",
    "info": "Show the figures that a node keeps about itself.",
    "kv": "Read and write keys.",
    "leave": "Have a node that runs leave its cluster, and stop.",
    "lock": "Run a command while holding a lock.",
    "members": "List the nodes of the cluster.",
    "monitor": "Follow the log of a node that runs.",
    "reload": "Have a node that runs read its configuration again.",
    "session": "Create, list and end sessions.",
    "snapshot": "Save, restore and look at snapshots.",
    "txn": "Do several operations at once, or none of them.",
    "validate": "Check configuration files without starting a node.",
    "version": "Show the version.",
}
"""Every command, and what it does."""

_SHOWN = NOUNS | {"help": "Explain a command."}

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
        super().__init__(dict.fromkeys(NOUNS))

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

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([*_SHOWN.items()])


app = typer.Typer(
    cls=Nouns,
    help="A fault-tolerant store for services, with Consul's API, on Multi-Paxos.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": HELP},
)


@app.callback()
def top() -> None:
    """Hold what all commands share: nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code says how it went."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(words)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _main(words: list[str]) -> int:
    if words and words[0] in _VERSION:
        words = ["version", *words[1:]]
    elif words and words[0] == "help":
        words = [*(word for word in words[1:] if word != "help"), "-h"]
    if words and words[0] == "agent":
        return _run_agent(words[1:])
    if words and (words[0] in HELP or words[0] in NOUNS):
        return _run(words)
    if words and words[0].startswith("-"):
        _explain_flag(words[0])
        return EXIT_UNKNOWN_COMMAND
    _explain(words)
    return EXIT_UNKNOWN_COMMAND


_VERSION = {"-v", "-version", "--version"}


def _explain(words: list[str]) -> None:
    """Say what there is instead of what was asked for."""
    if words:
        from quorate.cli.guidance import advice

        verbs: dict[str, Sequence[str]] = {
            noun: list(getattr(command, "commands", ())) for noun, command in LazyCommands().items()
        }
        typer.echo(f"quorate has no command {words[0]!r}", err=True)
        text = advice(words, NOUNS, verbs) or f"Commands: {', '.join(NOUNS)}"
        typer.echo(f"{text}\n`quorate help` explains the commands.", err=True)
    else:
        typer.echo(_usage(), err=True)


def _explain_flag(word: str) -> None:
    """Say where a flag that stands before the command belongs."""
    example = "agent -dev" if word.lstrip("-") == "dev" else f"COMMAND {word} …"
    typer.echo(f"{word} stands before the command; flags come after: quorate {example}", err=True)
    typer.echo("`quorate help` explains the commands.", err=True)


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
    except typer.Abort:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    return code if isinstance(code, int) else 0


def _run_agent(words: Sequence[str]) -> int:
    from quorate.cli.agent import run

    return run(words)


def _usage() -> str:
    width = max(map(len, NOUNS)) + 4
    return "\n".join(
        [
            "Usage: quorate COMMAND [FLAGS] [ARGUMENTS]",
            "",
            "Commands:",
            *(f"    {noun.ljust(width)}{about}" for noun, about in _SHOWN.items()),
            "",
            "quorate help COMMAND explains one.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
