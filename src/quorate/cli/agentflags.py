"""The flags of `quorate agent`: Consul's, `-flag` or `--flag`, with `=` or a space.

Each flag sets a key of the configuration, laid over what files say. Flags of Consul's for parts
that this version does not have are taken, with a warning.
"""

import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from quorate.base.errors import RequestError
from quorate.cli.files import merge
from quorate.cli.plainvalues import whole_number

_WORD = re.compile(r"--?([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?", re.DOTALL)
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class Takes(Enum):
    """What stands behind a flag."""

    NOTHING = ""
    TEXT = " VALUE"
    WHOLE = " N"
    TEXTS = " VALUE, repeatable"
    PAIRS = " KEY:VALUE, repeatable"


class Flag(NamedTuple):
    """One flag; an empty key means that it is not used."""

    takes: Takes
    key: str
    help: str


FLAGS: dict[str, Flag] = {
    "dev": Flag(Takes.NOTHING, "-", "one node that forgets everything, answering at once"),
    "config-file": Flag(Takes.TEXTS, "-", "an HCL, JSON or TOML file with Consul's keys"),
    "config-dir": Flag(Takes.TEXTS, "-", "a folder of such files, in alphabetical order"),
    "config-format": Flag(Takes.TEXT, "-", "hcl, json or toml, whatever the files' endings"),
    "server": Flag(Takes.NOTHING, "server", "be a full member; there are no other agents yet"),
    "bootstrap": Flag(Takes.NOTHING, "bootstrap", "found a cluster of one"),
    "bootstrap-expect": Flag(
        Takes.WHOLE, "bootstrap_expect", "found a cluster as soon as N nodes have met"
    ),
    "retry-join": Flag(Takes.TEXTS, "retry_join", "address of another node's server port"),
    "join": Flag(Takes.TEXTS, "retry_join", "the same, by its old name"),
    "node": Flag(Takes.TEXT, "node_name", "name of this node; the host's name if not given"),
    "node-id": Flag(Takes.TEXT, "node_id", "what the API shows as this node's id, a UUID"),
    "node-meta": Flag(
        Takes.PAIRS, "node_meta", "a fact about this node, for those who look for it"
    ),
    "bind": Flag(Takes.TEXT, "bind_addr", "where to listen for other nodes"),
    "advertise": Flag(Takes.TEXT, "advertise_addr", "what other nodes are told to dial"),
    "client": Flag(Takes.TEXT, "client_addr", "where to listen for clients; several with spaces"),
    "http-port": Flag(Takes.WHOLE, "ports.http", "port of the HTTP API; -1 switches it off"),
    "server-port": Flag(Takes.WHOLE, "ports.server", "port for other nodes"),
    "data-dir": Flag(Takes.TEXT, "data_dir", "where this node keeps everything"),
    "datacenter": Flag(Takes.TEXT, "datacenter", "name of the data center"),
    "log-level": Flag(Takes.TEXT, "log_level", "trace, debug, info, warn or error"),
    "log-json": Flag(Takes.NOTHING, "log_json", "log one JSON object a line"),
    "pid-file": Flag(Takes.TEXT, "pid_file", "where to write the process id"),
    "default-query-time": Flag(Takes.TEXT, "default_query_time", "how long a blocking read waits"),
    "max-query-time": Flag(Takes.TEXT, "max_query_time", "how long it may wait at most"),
}
"""Flags that do something; "-" as key: handled here."""

GUARDED: dict[str, Flag] = {
    "encrypt": Flag(Takes.TEXT, "encrypt", ""),
    "allow-write-http-from": Flag(Takes.TEXTS, "http_config.allow_write_http_from", ""),
    "serf-lan-allowed-cidrs": Flag(Takes.TEXTS, "serf_lan_allowed_cidrs", ""),
    "serf-wan-allowed-cidrs": Flag(Takes.TEXTS, "serf_wan_allowed_cidrs", ""),
}
"""Flags that ask for protection: see `protection`."""

_UNUSED_SWITCHES = (
    "disable-keyring-file enable-local-script-checks enable-script-checks "
    "hcl non-voting-server read-replica rejoin syslog ui"
)
_UNUSED_VALUES = (
    "advertise-wan alt-domain auto-reload-config "
    "check_output_max_size dns-port domain grpc-port grpc-tls-port https-port "
    "log-file log-rotate-bytes log-rotate-duration log-rotate-max-files "
    "primary-gateway protocol raft-protocol recursor retry-interval "
    "retry-interval-wan retry-join-wan retry-max retry-max-wan segment "
    "serf-lan-bind serf-wan-bind serf-wan-port "
    "ui-content-path ui-dir"
)


def _unused(names: str, takes: Takes) -> dict[str, Flag]:
    return dict.fromkeys([str(name) for name in names.split()], Flag(takes, "", ""))


UNUSED = (
    _unused(_UNUSED_SWITCHES, Takes.NOTHING)
    | _unused(_UNUSED_VALUES, Takes.TEXT)
    | {
        "disable-host-node-id": Flag(Takes.NOTHING, "disable_host_node_id", ""),
        "serf-lan-port": Flag(Takes.WHOLE, "ports.serf_lan", ""),  # read in `retry_join`
    }
)
"""Consul's flags for parts that are not there."""


class Given(NamedTuple):
    """What the command line says."""

    values: dict[str, Any]
    files: list[Path]
    is_dev: bool
    is_help: bool
    warnings: list[str]
    form: str = ""


def parse_flags(words: Sequence[str]) -> Given:
    """Read a command line.

    Raises:
        RequestError: `bad_request`: every fault in it, a line each.
    """
    values: dict[str, Any] = {}
    files: list[Path] = []
    is_dev = is_help = False
    warnings: list[str] = []
    faults: list[str] = []
    form = ""
    for name, flag, value in _flags(words, faults):
        if name in {"h", "help"}:
            is_help = True
        elif name == "dev":
            is_dev = bool(value)
        elif name in {"config-file", "config-dir"}:
            files.append(Path(str(value)))
        elif name == "config-format":
            form = str(value)
        elif not flag.key:
            warnings.append(f"-{name} is not used by this version of Quorate; it is ignored")
        else:
            if name == "join":
                warnings.append("-join is an old name: use -retry-join")
            merge(values, _nested(flag, value))
    if faults:
        raise RequestError("bad_request", "\n".join(faults))
    return Given(values, files, is_dev, is_help, warnings, form)


def help_text() -> str:
    """What `-h` shows."""
    width = max(len(name) + len(flag.takes.value) for name, flag in FLAGS.items()) + 3
    lines = [
        f"  {f'-{name}{flag.takes.value}'.ljust(width)} {flag.help}" for name, flag in FLAGS.items()
    ]
    return "\n".join(
        [
            "Usage: quorate agent [FLAGS]",
            "",
            "Run a node. Flags win over files; -flag and --flag are the same.",
            "",
            *lines,
            "",
            "Examples:",
            "  quorate agent -dev",
            "  quorate agent -server -bootstrap-expect 3 -data-dir /var/lib/quorate \\",
            "    -retry-join 10.0.0.2:8300 -retry-join 10.0.0.3:8300",
        ]
    )


_HELP = Flag(Takes.NOTHING, "-", "")


def _flags(words: Sequence[str], faults: list[str]) -> list[tuple[str, Flag, Any]]:
    """Flags with their values, in the order in which they stand."""
    known = FLAGS | GUARDED | UNUSED | {"h": _HELP, "help": _HELP}
    found: list[tuple[str, Flag, Any]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        match = _WORD.fullmatch(word)
        if match is None:
            faults.append(f"quorate agent takes no arguments, only flags: {word}")
            continue
        name, text = match.groups()
        flag = known.get(name)
        if flag is None:
            faults.append(f"flag provided but not defined: -{name}")
            continue
        if text is None and flag.takes is not Takes.NOTHING:
            if not rest:
                faults.append(f"flag needs an argument: -{name}")
                continue
            text = rest.pop(0)
        value = _value(name, flag, text, faults)
        if value is not None:
            found.append((name, flag, value))
    return found


def _value(name: str, flag: Flag, text: str | None, faults: list[str]) -> Any:
    """What a flag says; None if that is no value for it."""
    if flag.takes is Takes.NOTHING:
        if text is None or text in _TRUE:
            return True
        if text in _FALSE:
            return False
        faults.append(f"invalid boolean value {text!r} for -{name}")
        return None
    if flag.takes is not Takes.WHOLE:
        return text
    try:
        return whole_number(str(text))
    except ValueError:
        faults.append(f"invalid value {text!r} for flag -{name}: it must be a whole number")
        return None


def _nested(flag: Flag, value: Any) -> dict[str, Any]:
    nested: Any = [value] if flag.takes is Takes.TEXTS else value
    if flag.takes is Takes.PAIRS:
        name, _, fact = str(value).partition(":")
        nested = {name: fact}
    for part in reversed(flag.key.split(".")):
        nested = {part: nested}
    return dict(nested)
