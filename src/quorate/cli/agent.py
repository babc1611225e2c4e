"""`quorate agent`: run a node. Each flag sets a key of its configuration, and wins over files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quorate.agent.files import ConfigSources, merged
from quorate.agent.keys import FLAGS, KEYS, UNUSED_SWITCHES, UNUSED_VALUES, ValueKind
from quorate.base.errors import RequestError
from quorate.cli.commands import CliCommand
from quorate.cli.flags import KINDS, SWITCH, About, Flag, FlagKind
from quorate.cli.output import fail

_TEXT, _PATHS = KINDS[str], KINDS[tuple[Path, ...]]


def _pair(text: str) -> dict[str, str]:
    name, _, value = text.partition(":")
    return {name: value}


def _alone(text: str) -> list[str]:
    return [text]


_KINDS = {
    ValueKind.SWITCH: SWITCH,
    ValueKind.WHOLE: KINDS[int],
    ValueKind.TEXTS: FlagKind("VALUE", _alone),
    ValueKind.NAMES: FlagKind("KEY:VALUE", _pair),
}
"""The kind of a flag, by the kind of its key, with values as a file gives them; else text."""


def _flags() -> Iterator[Flag]:
    yield Flag("dev", About("One node that forgets everything, answering at once."), SWITCH, False)
    about = "An HCL, JSON or TOML file with Consul's keys; repeatable."
    yield Flag("config-file", About(about), _PATHS)
    about = "A folder of such files, in alphabetical order; repeatable."
    yield Flag("config-dir", About(about), _PATHS)
    yield Flag("config-format", About("hcl, json or toml, whatever the files' endings."), _TEXT)
    for name, (key, about) in FLAGS.items():
        yield Flag(name, About(about), _KINDS.get(KEYS[key].kind, _TEXT))
    for names, kind in ((UNUSED_SWITCHES, SWITCH), (UNUSED_VALUES, _TEXT)):
        for name in names.split():
            yield Flag(name, About(""), kind)


def parse_flags(words: Sequence[str]) -> ConfigSources:
    """Read the command line of an agent.

    Raises:
        RequestError: `bad_request`: every fault in it, a line each.
        SystemExit: It asks for help, which was printed.
    """
    line = agent.read(words)
    if line is None:
        raise SystemExit(0)
    if line.faults:
        raise RequestError("bad_request", "\n".join(line.faults))
    own: dict[str, Any] = {"dev": False, "config-format": ""}
    files: list[Path] = []
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for flag, value in line.given:
        if flag.kind is _PATHS:
            files.append(value)
        elif flag.name in own:
            own[flag.name] = value
        elif flag.name in FLAGS:
            key, _ = FLAGS[flag.name]
            values[key] = merged(values.get(key), value)
        else:
            text = f"-{flag.name} is not used by this version of Quorate; it is ignored"
            warnings.append(text)
        if flag.name == "join":
            warnings.append("-join is an old name: use -retry-join")
    return ConfigSources(values, files, own["dev"], warnings, own["config-format"])


class _Agent(CliCommand):
    def run(self, words: Sequence[str]) -> None:
        """Run a node until it is stopped.

        Raises:
            SystemExit: With the exit code of the agent.
        """
        try:
            sources = parse_flags(words)
        except RequestError as error:
            fail(f"==> {error.text}\nquorate agent -h lists the flags")
        from quorate.agent.run import run

        raise SystemExit(run(sources))


def _text() -> None:
    r"""Run a node until it is stopped. Flags win over files; -flag and --flag are the same.

    Examples:
        quorate agent -dev
        quorate agent -server -bootstrap-expect 3 -data-dir /var/lib/quorate \
        -retry-join 10.0.0.2:8300 -retry-join 10.0.0.3:8300
    """


agent = _Agent("agent", _text, flags=_flags())
