"""`quorate agent`: run a node. Each flag sets a key of its configuration, over what files say."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quorate.agent.files import Given, merge
from quorate.agent.keys import FLAGS, HIDDEN_FLAGS, UNUSED_SWITCHES, UNUSED_VALUES, Kind, kind_of
from quorate.base.errors import RequestError
from quorate.cli import flags
from quorate.cli.commands import Command
from quorate.cli.flags import KINDS, SWITCH, About, Flag

_TEXT, _TEXTS = KINDS[str], KINDS[tuple[str, ...]]
_KEYS = FLAGS | HIDDEN_FLAGS
_KINDS = {
    Kind.SWITCH: SWITCH,
    Kind.WHOLE: KINDS[int],
    Kind.TEXTS: _TEXTS,
    Kind.NAMES: flags.Kind("KEY:VALUE", str, is_repeatable=True),
}
"""What stands behind a flag, by what its key must be; text if it is none of these."""


def _flags() -> Iterator[Flag]:
    yield Flag("dev", About("One node that forgets everything, answering at once."), SWITCH, False)
    about = "An HCL, JSON or TOML file with Consul's keys; repeatable."
    yield Flag("config-file", About(about, "PATH"), _TEXTS)
    about = "A folder of such files, in alphabetical order; repeatable."
    yield Flag("config-dir", About(about, "PATH"), _TEXTS)
    yield Flag("config-format", About("hcl, json or toml, whatever the files' endings."), _TEXT)
    for name, (key, about) in _KEYS.items():
        yield Flag(name, About(about), _KINDS.get(kind_of(key), _TEXT))
    for names, kind in ((UNUSED_SWITCHES, SWITCH), (UNUSED_VALUES, _TEXT)):
        for name in names.split():
            yield Flag(name, About(""), kind)


class _Agent(Command):
    def given(self, words: Sequence[str]) -> Given | None:
        """Read a command line; None if it asks for help, which is printed.

        Raises:
            RequestError: `bad_request`: every fault in it, a line each.
        """
        line = self.read(words)
        if line is None:
            return None
        if line.faults:
            raise RequestError("bad_request", "\n".join(line.faults))
        said = {flag.name: value for flag, value in line.given}
        files = [Path(v) for flag, v in line.given if flag.name in {"config-file", "config-dir"}]
        values: dict[str, Any] = {}
        warnings: list[str] = []
        for flag, value in line.given:
            if key := _KEYS.get(flag.name):
                merge(values, _nested(key[0], value))
            elif flag.name not in {"dev", "config-file", "config-dir", "config-format"}:
                text = f"-{flag.name} is not used by this version of Quorate; it is ignored"
                warnings.append(text)
            if flag.name == "join":
                warnings.append("-join is an old name: use -retry-join")
        is_dev, form = said.get("dev", False), said.get("config-format", "")
        return Given(values, files, is_dev, warnings, form)

    def run(self, words: Sequence[str]) -> None:
        """Run a node until it is stopped.

        Raises:
            SystemExit: With the exit code of the agent.
        """
        try:
            given = self.given(words)
        except RequestError as error:
            sys.stderr.write(f"==> {error.text}\nquorate agent -h lists the flags\n")
            raise SystemExit(1) from None
        if given is not None:
            from quorate.agent.run import run

            raise SystemExit(run(given))


def _nested(key: str, value: Any) -> dict[str, Any]:
    """A value of the command line, as a file would nest it below its key."""
    kind = kind_of(key)
    nested: Any = [value] if kind is Kind.TEXTS else value
    if kind is Kind.NAMES:
        name, _, fact = str(value).partition(":")
        nested = {name: fact}
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _text() -> None:
    r"""Run a node until it is stopped. Flags win over files; -flag and --flag are the same.

    Examples:
        quorate agent -dev
        quorate agent -server -bootstrap-expect 3 -data-dir /var/lib/quorate \
        -retry-join 10.0.0.2:8300 -retry-join 10.0.0.3:8300
    """


agent = _Agent("agent", _text, flags=_flags())


def parse_flags(words: Sequence[str]) -> Given:
    """Read the command line of an agent; see `_Agent.given`."""
    return agent.given(words) or Given()
