"""Commands: functions whose keyword arguments are flags, and whose docstrings are their help.

    @command("kv get", "KEY")
    def get(key: str, *, recurse: Annotated[bool, "All keys below KEY."] = False) -> None:

An argument is needed if it has no default; `*words` takes any number of them. The first sentence of
the docstring is shown in the list of commands; the lines below `Examples:` end the help.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from quorate.cli.flags import SWITCH, About, Flag, Line, flags_of, read_line
from quorate.cli.output import fail

NOUNS = {
    "agent": "Run a node.",
    "bench": "Measure a running cluster: puts, reads, stale reads.",
    "catalog": "List nodes and services that are registered.",
    "cluster": "List members, change votes and leadership.",
    "completion": "Print a script that completes commands and flags.",
    "config": "Write and read configuration entries.",
    "demo": "Start three nodes here, inject faults, count lost writes.",
    "event": "Send a user event.",
    "info": "Show the statistics of a node.",
    "keygen": "Print a new random key.",
    "kv": "Read and write keys.",
    "leave": "Make a node leave its cluster, and stop.",
    "lock": "Run a command while holding a lock.",
    "maint": "Take a node or a service out of service for a while.",
    "members": "List the nodes of the cluster.",
    "monitor": "Follow the log of a node.",
    "reload": "Make a node read its configuration again.",
    "services": "Register services with an agent, and take them out.",
    "session": "Create, list and end sessions.",
    "snapshot": "Save, restore and inspect snapshots.",
    "txn": "Do several operations, all or none.",
    "validate": "Check configuration files without starting a node.",
    "version": "Show the version.",
    "watch": "Print what a read shows; run a command for each change.",
}
"""Every command, and what it does."""

_MODULES: dict[str, str] = dict.fromkeys(("info", "leave", "members", "monitor", "reload"), "node")
"""The modules of commands that have another name."""

HELP = {"-h", "-help", "--h", "--help"}
_HELP_FLAGS = {name: Flag(name, About(""), SWITCH) for name in ("h", "help")}
_HELP_ROW = ("-h, -help, --help", "Show this message and exit.")
WIDTH = 80
NAMES_WIDTH = 30  # a longer name has its explanation below it

Function = Callable[..., None]


class UsageError(Exception):
    """An invalid command line; the text shows the usage."""

    def __init__(self, path: str, usage: str, fault: str) -> None:
        super().__init__(
            f"Usage: quorate {path} {usage}\nTry 'quorate {path} -h' for help.\n\nError: {fault}"
        )


class CliCommand:
    """One command.

    Args:
        path: Its noun and verb, as typed.
        function: Its keyword arguments are its flags, and its docstring its help.
        takes: Its arguments, as the usage shows them; empty if there are none.
        flags: More flags.
        call: Called instead of it, with the arguments and flags, to add its first argument.
        is_verbatim: True if the first argument ends the flags.
    """

    def __init__(
        self,
        path: str,
        function: Function,
        takes: str = "",
        *,
        flags: Iterable[Flag] = (),
        call: Function | None = None,
        is_verbatim: bool = False,
    ) -> None:
        self.path = path
        own = flags_of(function, getattr(function, "__kwdefaults__", None) or {})
        self.flags = {flag.name: flag for flag in (*own, *flags)}
        self.usage = f"[FLAGS] {takes}".rstrip()
        self._refusal = "" if takes else f"quorate {path} takes no arguments, only flags"
        self._text = function.__doc__ or ""
        self._call = call or function
        code = function.__code__
        names = code.co_varnames[call is not None : code.co_argcount]
        self._only = names[0].strip("_").upper() if names else ""
        self._must_be = bool(names and not function.__defaults__)
        self._is_verbatim = is_verbatim

    @property
    def shown(self) -> list[Flag]:
        """The flags that the help shows."""
        return [flag for flag in self.flags.values() if flag.about.text]

    @property
    def summary(self) -> str:
        """The first sentence of its help."""
        return " ".join(re.split(r"[.;:](?:\s|$)", self._text, maxsplit=1)[0].split()) + "."

    def help(self) -> str:
        """What `-h` shows."""
        about, _, examples = self._text.partition("Examples:\n")
        rows = [(flag.spelled, flag.explained) for flag in self.shown]
        lines = [f"    {line.strip()}" for line in examples.strip().splitlines()]
        parts = [
            f"Usage: quorate {self.path} {self.usage}",
            *(filled(part, 2) for part in re.split(r"\n\s*\n", about.strip())),
            listed("Flags", [*rows, _HELP_ROW]),
            "\n".join(["  Examples:", *lines] if lines else []),
        ]
        return "\n\n".join(part for part in parts if part)

    def read(self, words: Sequence[str]) -> Line | None:
        """Read a command line; None if it asks for help, which is printed."""
        known = _HELP_FLAGS | self.flags
        line = read_line(words, known, refusal=self._refusal, is_verbatim=self._is_verbatim)
        if any(flag.name in _HELP_FLAGS for flag, _ in line.given):
            sys.stdout.write(f"{self.help()}\n")
            return None
        return line

    def run(self, words: Sequence[str]) -> None:
        """Run a command line.

        Raises:
            UsageError: It is invalid; nothing was done.
        """
        line = self.read(words)
        if line is None:
            return
        if line.faults:
            raise UsageError(self.path, self.usage, line.faults[0])
        values = {flag.parameter: flag.default for flag in self.flags.values()}
        for flag, value in line.given:
            is_more = flag.kind.is_repeatable
            values[flag.parameter] = (*values[flag.parameter], value) if is_more else value
        if self._only and len(line.arguments) > 1:
            fail(f"Too many arguments (expected 1, got {len(line.arguments)})")
        if self._must_be and not line.arguments:
            fail(f"Error! Missing {self._only} argument")
        self._call(*line.arguments, **values)


def command(path: str, takes: str = "") -> Callable[[Function], CliCommand]:
    """Make a command of a function; see `CliCommand`."""
    return lambda function: CliCommand(path, function, takes)


class CommandGroup:
    """The commands of one noun, in the order of its help."""

    def __init__(self, path: str, *commands: CliCommand) -> None:
        self.path = path
        self.commands = {each.path.rpartition(" ")[2]: each for each in commands}

    def help(self) -> str:
        """What `-h` shows."""
        summaries = {name: each.summary for name, each in self.commands.items()}
        return overview(self.path, NOUNS[self.path], summaries)

    def run(self, words: Sequence[str]) -> None:
        """Run a command line.

        Raises:
            UsageError: There is no such command.
            SystemExit: It names none: the help was printed.
        """
        if not words:
            sys.stderr.write(f"{self.help()}\n")
            raise SystemExit(1)
        name, *rest = words
        if name in HELP:
            sys.stdout.write(f"{self.help()}\n")
        elif name in self.commands:
            self.commands[name].run(rest)
        else:
            from difflib import get_close_matches

            near = get_close_matches(name, self.commands, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            fault = f"No such command {name!r}.{hint}"
            if name.startswith("-"):
                fault = f"flag provided but not defined: -{name.lstrip('-')}"
            raise UsageError(self.path, "COMMAND [FLAGS] [ARGUMENTS]", fault)


def load(noun: str) -> CliCommand | CommandGroup:
    """The command or group of a noun; its module is imported when it is needed."""
    module = importlib.import_module(f"quorate.cli.{_MODULES.get(noun, noun)}")
    found: CliCommand | CommandGroup = getattr(module, noun)
    return found


def overview(path: str, about: str, commands: Mapping[str, str]) -> str:
    """The help of a noun, or of everything."""
    return "\n\n".join(
        [
            f"Usage: {' '.join(['quorate', *path.split(), 'COMMAND'])} [FLAGS] [ARGUMENTS]",
            filled(about, 2),
            listed("Options", [_HELP_ROW]),
            listed("Commands", list(commands.items())),
        ]
    )


def listed(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Names with their explanations, side by side."""
    widths = [len(name) for name, _ in rows if len(name) <= NAMES_WIDTH]
    indent = max(widths, default=0) + 4
    lines = [f"{title}:"]
    for name, about in rows:
        text, start = filled(about, indent), f"  {name}"
        lines.append(start + (text[len(start) :] if len(name) <= NAMES_WIDTH else f"\n{text}"))
    return "\n".join(lines)


def filled(text: str, indent: int) -> str:
    """A paragraph, indented."""
    from textwrap import fill

    blank = " " * indent
    return fill(" ".join(text.split()), WIDTH, initial_indent=blank, subsequent_indent=blank)
