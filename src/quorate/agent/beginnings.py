"""How a node begins: alone, together with others, or by joining; and what it must not be."""

from typing import Any

_ONLY_WAITS = (
    "neither -bootstrap-expect nor -retry-join: this node waits for one of a cluster to connect to "
    "it. For a new cluster give -bootstrap, or -bootstrap-expect N and -retry-join to N nodes"
)
_ONLY_WAITS_TO_BOOTSTRAP = "no -retry-join: this node waits until the others connect to it"
_NO_CLIENTS = (
    "server = false asks for a client agent, and those are not built: give -server for "
    "a full member. Programs need no agent on their machine: they may use the HTTP "
    "address of any server"
)
_SAYS_NOTHING = (
    "-server is not given, and there are no client agents: this node joins as a server "
    "that holds everything, and has no vote until it is given one"
)


class Notes:
    """What is wrong or odd in a configuration.

    Attributes:
        faults: Of single keys; Consul lists them.
        sentences: Of what keys say together; Consul says them one by one.
        warnings: For the log.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.sentences: list[str] = []
        self.warnings: list[str] = []


def beginning_of(
    values: dict[str, Any], notes: Notes, *, is_dev: bool, is_lenient: bool
) -> tuple[int, bool]:
    """Judge `server`, `bootstrap`, `bootstrap_expect` and `retry_join`.

    Args:
        values: The merged configuration; None counts as absent.
        notes: What is found is added.
        is_dev: A node to try things out with, which is a server alone.
        is_lenient: To validate a file for Consul, whose client agents are no fault there.

    Returns:
        How many nodes bootstrap together, 0 if none; and whether it is a cluster of one.
    """
    expect = int(values.get("bootstrap_expect") or 0)
    is_alone = bool(values.get("bootstrap"))
    server = values.get("server")
    is_server = is_dev if server is None else bool(server)
    notes.sentences += _together(expect, is_alone=is_alone, is_server=is_server)
    if is_dev and expect > 1:
        notes.faults.append("-dev is a cluster of one: leave out bootstrap_expect")
    if server is False and not is_lenient:
        notes.faults.append(_NO_CLIENTS)
    notes.warnings += _warnings(expect, is_alone=is_alone, is_lenient=is_lenient)
    if server is None and not is_server and not is_lenient:
        notes.warnings.append(_SAYS_NOTHING)
    if is_dev or is_alone or expect == 1:
        return 0, True
    if not values.get("retry_join") and not is_lenient:
        notes.warnings.append(_ONLY_WAITS_TO_BOOTSTRAP if expect else _ONLY_WAITS)
    return expect, False


def _together(expect: int, *, is_alone: bool, is_server: bool) -> list[str]:
    found: list[str] = []
    if expect < 0:
        found.append(f"bootstrap_expect cannot be {expect}. Must be greater than or equal to zero")
    if expect and is_alone:
        found.append("'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive")
    if expect > 0 and not is_server:
        found.append("'bootstrap_expect > 0' requires 'server = true'")
    if is_alone and not is_server:
        found.append("'bootstrap = true' requires 'server = true'")
    return found


def _warnings(expect: int, *, is_alone: bool, is_lenient: bool) -> list[str]:
    found: list[str] = []
    if expect > 1 and expect % 2 == 0:
        found.append(f"{expect} nodes bear no more failures than {expect - 1} do")
    if is_lenient and expect == 1:
        found.append("BootstrapExpect is set to 1; this is the same as Bootstrap mode.")
    if is_lenient and (expect == 1 or is_alone):
        found.append("bootstrap = true: do not enable unless necessary")
    return found
