"""`quorate agent`: run a node. Each flag sets a key of its configuration, and wins over files."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quorate.agent.files import ConfigSources, merged
from quorate.agent.keys import FLAGS, HIDDEN_FLAGS, KEYS, UNUSED_SWITCHES, UNUSED_VALUES, ValueKind
from quorate.base.errors import RequestError
from quorate.cli import flags
from quorate.cli.commands import CliCommand
from quorate.cli.flags import KINDS, SWITCH, About, Flag

_TEXT, _TEXTS = KINDS[str], KINDS[tuple[str, ...]]
_SETTERS = FLAGS | HIDDEN_FLAGS
_KINDS = {
    ValueKind.SWITCH: SWITCH,
    ValueKind.WHOLE: KINDS[int],
    ValueKind.TEXTS: _TEXTS,
    ValueKind.NAMES: flags.FlagKind("KEY:VALUE", str, is_repeatable=True),
}
"""The kind of a flag, by the kind of its key; text if it is none of these."""


def _flags() -> Iterator[Flag]:
    yield Flag("dev", About("One node that forgets everything, answering at once."), SWITCH, False)
    about = "An HCL, JSON or TOML file with Consul's keys; repeatable."
    yield Flag("config-file", About(about, "PATH"), _TEXTS)
    about = "A folder of such files, in alphabetical order; repeatable."
    yield Flag("config-dir", About(about, "PATH"), _TEXTS)
    yield Flag("config-format", About("hcl, json or toml, whatever the files' endings."), _TEXT)
    for name, (key, about) in _SETTERS.items():
        yield Flag(name, About(about), _KINDS.get(KEYS[key].kind, _TEXT))
    for names, kind in ((UNUSED_SWITCHES, SWITCH), (UNUSED_VALUES, _TEXT)):
        for name in names.split():
            yield Flag(name, About(""), kind)


class _Agent(CliCommand):
    def sources(self, words: Sequence[str]) -> ConfigSources | None:
        """Read a command line; None if it asks for help, which is printed.

        Raises:
            RequestError: `bad_request`: every fault in it, a line each.
        """
        line = self.read(words)
        if line is None:
            return None
        if line.faults:
            raise RequestError("bad_request", "\n".join(line.faults))
        own: dict[str, Any] = {"dev": False, "config-format": ""}
        files: list[Path] = []
        values: dict[str, Any] = {}
        warnings: list[str] = []
        for flag, value in line.given:
            if flag.name in {"config-file", "config-dir"}:
                files.append(Path(value))
            elif flag.name in own:
                own[flag.name] = value
            elif flag.name in _SETTERS:
                key, _ = _SETTERS[flag.name]
                values[key] = merged(values.get(key), _value(KEYS[key].kind, value))
            else:
                text = f"-{flag.name} is not used by this version of Quorate; it is ignored"
                warnings.append(text)
            if flag.name == "join":
                warnings.append("-join is an old name: use -retry-join")
        return ConfigSources(values, files, own["dev"], warnings, own["config-format"])

    def run(self, words: Sequence[str]) -> None:
        """Run a node until it is stopped.

        Raises:
            SystemExit: With the exit code of the agent.
        """
        try:
            sources = self.sources(words)
        except RequestError as error:
            sys.stderr.write(f"==> {error.text}\nquorate agent -h lists the flags\n")
            raise SystemExit(1) from None
        if sources is not None:
            from quorate.agent.run import run

            raise SystemExit(run(sources))


def _value(kind: ValueKind, value: Any) -> Any:
    """The value of a flag, as a file would give it for the flag's key."""
    if kind is ValueKind.NAMES:
        name, _, text = value.partition(":")
        return {name: text}
    return [value] if kind is ValueKind.TEXTS else value


def _text() -> None:
    r"""Run a node until it is stopped. Flags win over files; -flag and --flag are the same.

    Examples:
        quorate agent -dev
        quorate agent -server -bootstrap-expect 3 -data-dir /var/lib/quorate \
        -retry-join 10.0.0.2:8300 -retry-join 10.0.0.3:8300
    """


agent = _Agent("agent", _text, flags=_flags())


def parse_flags(words: Sequence[str]) -> ConfigSources:
    """Read the command line of an agent; see `_Agent.sources`."""
    return agent.sources(words) or ConfigSources()
