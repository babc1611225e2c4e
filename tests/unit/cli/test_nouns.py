"""`quorate session`, `members` and what else talks to a node."""

import json

import pytest

from tests.unit.cli.conftest import Run, Said


def test_a_session_is_created_listed_renewed_and_destroyed(run: Run) -> None:
    assert run("session", "create", "-name=backup", "-ttl=15s") == Said(0, "session-1\n", "")
    listed = run("session", "list").out.splitlines()
    assert listed[1].split() == ["session-1", "backup", "n1", "15s", "release"]
    assert run("session", "renew", "session-1").code == 0
    text = "Success! Destroyed session: session-1\n"
    assert run("session", "destroy", "session-1") == Said(0, text, "")
    assert run("session", "info", "session-1").code == 1


def test_a_session_is_shown_with_all_its_facts(run: Run) -> None:
    run("session", "create", "-lock-delay=0", "-behavior=delete", "-check=a", "-check=b")
    shown = dict(
        line.split(maxsplit=1) for line in run("session", "info", "session-1").out.splitlines()
    )
    assert (shown["Behavior"], shown["LockDelay"], shown["Checks"]) == ("delete", "0s", "a, b")
    assert json.loads(run("session", "info", "-json", "session-1").out)["behavior"] == "delete"


@pytest.mark.parametrize("flag", ["-ttl=soon", "-lock-delay=1x", "-behavior=keep"])
def test_a_session_with_a_wrong_flag_is_not_created(run: Run, flag: str) -> None:
    said = run("session", "create", flag)
    assert (said.code, said.out) == (1, "")
    assert run("session", "list").out.splitlines()[1:] == []


def test_members_are_listed_by_name(run: Run) -> None:
    heading, *rows = run("members").out.splitlines()
    assert heading.split()[:4] == ["Node", "Address", "Status", "Type"]
    assert [row.split()[:4] for row in rows] == [
        ["n1", "127.0.0.1:8301", "alive", "server"],
        ["n2", "127.0.0.1:8302", "failed", "server"],
    ]


def test_members_are_chosen_by_status(run: Run) -> None:
    assert "n2" not in run("members", "-status=ali.*").out
    assert run("members", "-status=left") == Said(2, "", "")
    assert run("members", "-status=(").code == 1


def test_members_are_shown_with_tags_or_as_json(run: Run) -> None:
    assert "id=1234" in run("members", "-detailed").out
    assert [each["name"] for each in json.loads(run("members", "-json").out)] == ["n1", "n2"]
    assert run("members", "-wan").out.splitlines()[1].startswith("n1.dc1 ")


def test_an_unknown_command_prints_the_known_ones(run: Run) -> None:
    said = run("nonsense")
    assert (said.code, said.out) == (127, "")
    assert "kv" in said.err


def test_lock_asks_for_a_command_and_a_sensible_limit(run: Run) -> None:
    text = "Key prefix and child command must be specified\n"
    assert run("lock", "prefix") == Said(1, "", text)
    assert run("lock") == Said(1, "", text)
    text = "Lock holder limit must be positive\n"
    assert run("lock", "-n=0", "prefix", "true") == Said(1, "", text)


def test_recover_asks_for_both_ends(run: Run) -> None:
    text = "Error! Say -data-dir for every survivor, and -into for the new directory\n"
    assert run("cluster", "recover") == Said(1, "", text)
    assert run("cluster", "recover", "-data-dir=a") == Said(1, "", text)
