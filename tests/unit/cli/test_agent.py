from pathlib import Path

import pytest

from quorate.agent.keys import FLAGS, UNUSED_SWITCHES, UNUSED_VALUES
from quorate.base.errors import RequestError
from quorate.cli.agent import agent, parse_flags
from tests.unit.cli.conftest import Run, Said


@pytest.mark.parametrize(
    "words",
    [["-node", "a"], ["--node", "a"], ["-node=a"], ["--node=a"]],
)
def test_a_flag_may_be_spelt_in_four_ways(words: list[str]) -> None:
    assert parse_flags(words).values == {"node_name": "a"}


def test_flags_become_keys_and_lists_grow() -> None:
    joins = ["-retry-join", "a:1", "-retry-join=b:2", "-join", "c:3"]
    others = ["-server", "-bootstrap-expect=3", "-http-port", "-1", "-log-json=false"]

    given = parse_flags([*joins, *others, "-client", "0.0.0.0"])

    assert given.values == {
        "server": True,
        "bootstrap_expect": 3,
        "retry_join": ["a:1", "b:2", "c:3"],
        "ports.http": -1,
        "client_addr": "0.0.0.0",
        "log_json": False,
    }
    assert given.warnings == ["-join is an old name: use -retry-join"]


def test_files_and_folders_keep_their_order() -> None:
    given = parse_flags(["-config-dir", "d", "-config-file=b.json", "-config-dir", "a"])
    assert given.files == [Path("d"), Path("b.json"), Path("a")]


def test_dev_and_help_are_seen(run: Run) -> None:
    assert parse_flags(["-dev"]).is_dev
    assert not parse_flags(["-dev=false"]).is_dev
    assert run("agent", "-h") == run("agent", "--help")
    assert run("agent", "-h").out == f"{agent.help()}\n"


def test_a_wrong_command_line_starts_nothing(run: Run) -> None:
    text = "==> flag provided but not defined: -zzz\nquorate agent -h lists the flags\n"
    assert run("agent", "-dev", "-zzz") == Said(1, "", text)


def test_flags_of_parts_that_are_not_there_are_taken_with_a_warning() -> None:
    given = parse_flags(["-ui", "-grpc-port", "8502", "-node", "a"])
    assert given.values == {"node_name": "a"}
    assert [warning.split()[0] for warning in given.warnings] == ["-ui", "-grpc-port"]


def test_every_fault_of_a_command_line_is_listed() -> None:
    with pytest.raises(RequestError) as caught:
        parse_flags(["-nope", "-http-port=x", "-server=maybe", "stray", "-node"])
    assert caught.value.text.splitlines() == [
        "flag provided but not defined: -nope; did you mean -node?",
        "invalid value 'x' for flag -http-port: it must be a whole number",
        "invalid boolean value 'maybe' for -server",
        "quorate agent takes no arguments, only flags: stray",
        "flag needs an argument: -node",
    ]


def test_the_help_names_every_flag_that_does_something() -> None:
    text = agent.help()
    shown = {name for name, (_, about) in FLAGS.items() if about}
    hidden = {*FLAGS, *UNUSED_SWITCHES.split(), *UNUSED_VALUES.split()} - shown
    assert [name for name in shown if f"--{name} " not in text] == []
    assert [name for name in hidden if f"--{name} " in text] == []
    assert len(shown) > 15
    assert {"encrypt", "serf-lan-port", "ui"} <= hidden
