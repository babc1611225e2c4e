"""How a node bootstraps: alone, together with others, or by joining; and what is refused."""

from typing import Any, NamedTuple

_EXPECT, _ALONE = "'bootstrap_expect > 0'", "'bootstrap = true'"
_NOT_NEGATIVE = "Must be greater than or equal to zero"
_BOOTSTRAP_MODE = "BootstrapExpect is set to 1; this is the same as Bootstrap mode."
_ONLY_WAITS = (
    "neither -bootstrap-expect nor -retry-join: unless it is a member already, this node waits for "
    "one to connect to it. For a new cluster give -bootstrap, or -bootstrap-expect N and "
    "-retry-join to N nodes"
)
_ONLY_WAITS_TO_BOOTSTRAP = "no -retry-join: this node waits until the others connect to it"
_NO_CLIENTS = (
    "server = false asks for a client agent, and those are not built: give -server for "
    "a full member. Programs need no agent on their machine: they may use the HTTP "
    "address of any server"
)
_UNSPECIFIED = (
    "-server is not given, and there are no client agents: this node joins as a server "
    "that holds everything, and has no vote until it is given one"
)


class BootstrapMode(NamedTuple):
    """How many nodes bootstrap together, 0 if none; faults and warnings, see `settings`."""

    expect: int
    is_alone: bool
    sentences: list[str]
    faults: list[str]
    warnings: list[str]


def bootstrap_mode(values: dict[str, Any], *, is_dev: bool, is_lenient: bool) -> BootstrapMode:
    """Evaluate `server`, `bootstrap`, `bootstrap_expect` and `retry_join`.

    With `is_lenient`, a file for Consul is validated: client agents are no fault there.
    """
    expect = int(values.get("bootstrap_expect") or 0)
    is_alone, server = bool(values.get("bootstrap")), values.get("server")
    is_server = is_dev if server is None else bool(server)
    is_one = is_alone or expect == 1
    is_waiting = not (is_dev or is_one or values.get("retry_join"))
    sentences = _true(
        (expect < 0, f"bootstrap_expect cannot be {expect}. {_NOT_NEGATIVE}"),
        (expect and is_alone, f"{_EXPECT} and {_ALONE} are mutually exclusive"),
        (expect > 0 and not is_server, f"{_EXPECT} requires 'server = true'"),
        (is_alone and not is_server, f"{_ALONE} requires 'server = true'"),
    )
    faults = _true(
        (is_dev and expect > 1, "-dev is a cluster of one: leave out bootstrap_expect"),
        (server is False and not is_lenient, _NO_CLIENTS),
    )
    is_even = expect > 1 and expect % 2 == 0
    warnings = _true(
        (is_even, f"{expect} nodes bear no more failures than {expect - 1} do"),
        (is_lenient and expect == 1, _BOOTSTRAP_MODE),
        (is_lenient and is_one, "bootstrap = true: do not enable unless necessary"),
        (server is None and not is_server and not is_lenient, _UNSPECIFIED),
        (is_waiting and not is_lenient, _ONLY_WAITS_TO_BOOTSTRAP if expect else _ONLY_WAITS),
    )
    is_single = is_dev or is_one
    return BootstrapMode(0 if is_single else expect, is_single, sentences, faults, warnings)


def _true(*facts: tuple[object, str]) -> list[str]:
    """The texts whose conditions hold."""
    return [text for holds, text in facts if holds]
