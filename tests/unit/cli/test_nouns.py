"""`quorate session`, `members` and what else talks to a node."""

import json
import re
from pathlib import Path

import pytest

from quorate.base.errors import NotFoundError, UnavailableError
from quorate.base.versions import CONSUL_VERSION, QUORATE_VERSION
from quorate.cli.commands import NOUNS, load
from quorate.cli.main import main
from quorate.client.replies import Reply
from tests.unit.cli.conftest import Run, Said
from tests.unit.cli.fakes import FakeClient


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-http-addr=h:1 kv get a", "flags come after: quorate COMMAND -http-addr=h:1 …"),
        ("-dev", "flags come after: quorate agent -dev"),
    ],
)
def test_a_flag_before_the_command_is_shown_where_it_belongs(
    run: Run, words: str, said: str
) -> None:
    answer = run(*words.split())
    assert (answer.code, answer.out) == (127, "")
    assert said in answer.err


def test_no_command_lists_all_with_what_they_do(run: Run) -> None:
    said = run()
    assert (said.code, said.out) == (127, "")
    for noun, about in NOUNS.items():
        assert [noun, *about.split()] in [line.split() for line in said.err.splitlines()]


def test_the_list_of_commands_is_the_modules_there_are() -> None:
    assert [load(noun).path for noun in NOUNS] == list(NOUNS)


@pytest.mark.parametrize("word", ["-version", "--version", "-v", "version"])
def test_the_version_has_several_spellings(run: Run, word: str) -> None:
    said = run(word)
    assert (said.code, said.err) == (0, "")
    assert re.match(r"Quorate v\d+\.\d+\.\d+\n", said.out)
    assert CONSUL_VERSION in said.out
    facts = json.loads(run("version", "-format=json").out)
    assert json.loads(run("version", "-json").out) == facts
    assert (facts["Version"], facts["ConsulVersion"]) == (QUORATE_VERSION, CONSUL_VERSION)


@pytest.mark.parametrize("words", [("help",), ("-h",), ("-help",), ("--help",)])
def test_help_lists_every_command(run: Run, words: tuple[str, ...]) -> None:
    said = run(*words)
    assert (said.code, said.err) == (0, "")
    assert all(noun in said.out for noun in NOUNS)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("help", "kv"), "Name the keys below a prefix, in order."),
        (("help", "kv", "get"), "--detailed"),
        (("help", "agent"), "-bootstrap-expect"),
        (("kv", "-h"), "Write a key."),
        (("kv", "get", "-help"), "--detailed"),
        (("lock", "--help"), "--child-exit-code"),
    ],
)
def test_help_explains_a_command(run: Run, words: tuple[str, ...], part: str) -> None:
    said = run(*words)
    assert (said.code, said.err) == (0, "")
    assert part in said.out


def test_a_group_alone_lists_its_commands_and_fails(run: Run) -> None:
    said = run("kv")
    assert (said.code, said.out) == (1, "")
    assert "Write a key." in said.err
    said = run("kv", "gte", "x")
    assert said.code == 1
    assert "get" in said.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("operator raft list-peers", "quorate cluster list"),
        ("operator raft list-peers -stale", "quorate cluster list"),
        ("operator raft remove-peer -id=x", "quorate cluster remove NODE"),
        ("operator raft transfer-leader", "quorate cluster transfer"),
        ("operator autopilot state", "quorate cluster list"),
        ("operator", "quorate cluster -h"),
        ("force-leave n1", "quorate cluster remove NODE"),
        ("join 10.0.0.1", "quorate agent -retry-join"),
        ("membres", "quorate members"),
        ("get x", "quorate kv get"),
        ("lokc", "quorate lock"),
        ("kb get colour", "quorate kv?"),
        ("get colour", "mean: quorate kv get?"),
        ("del colour", "quorate kv delete KEY"),
        ("member add n4", "quorate cluster add NODE"),
        ("member list", "quorate cluster list"),
        ("endpoint status", "quorate cluster list"),
        ("lease grant 60", "quorate session create"),
        ("move-leader 8e9e05c52164694d", "quorate cluster transfer"),
        ("acl token list", "is not part of this version"),
        ("exec uptime", "is not part of this version"),
    ],
)
def test_who_types_another_command_is_shown_where_it_is(run: Run, typed: str, meant: str) -> None:
    said = run(*typed.split())
    assert (said.code, said.out) == (127, "")
    assert meant in said.err


def test_ctrl_c_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("quorate.cli.main._main", interrupted)
    assert main(["kv"]) == 130


def test_validate_judges_files(run: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.hcl", tmp_path / "bad.json"
    good.write_text('data_dir = "/d"\ntelemetry { disable_hostname = true }\n')
    bad.write_text('{"data_dir": "/d", "nonsense": 1}')
    said = run("validate", str(good))
    assert (said.code, said.out) == (0, "Configuration is valid!\n")
    assert "telemetry.disable_hostname is not used" in said.err
    assert run("validate", "-quiet", str(good)) == Said(0, "", "")
    assert run("validate", str(bad)) == Said(
        1,
        "",
        f"Config validation failed: failed to parse {bad}: 1 error occurred:\n"
        "\t* invalid config key nonsense\n\n\n",
    )
    assert run("validate").err == "Must specify at least one config file or directory\n"
    assert "open none.json: " in run("validate", "none.json").err


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({}, "data_dir cannot be empty"),
        (
            {"datacenter": "BAD dc"},
            (
                "datacenter can only contain lowercase alphanumeric, - or _ characters. "
                'received: "bad dc"'
            ),
        ),
        ({"bootstrap_expect": 3}, "'bootstrap_expect > 0' requires 'server = true'"),
        (
            {"bootstrap": True, "server": True, "bootstrap_expect": 3},
            "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive",
        ),
        (
            {"server": True, "bootstrap_expect": -1},
            "bootstrap_expect cannot be -1. Must be greater than or equal to zero",
        ),
        (
            {"bind_addr": "nonsense"},
            "1 error occurred:\n\t* bind_addr: invalid ip address: nonsense\n\n",
        ),
        ({"log_level": "loud"}, ""),
        ({"acl": {"default_policy": "maybe"}}, ""),
        (
            {"performance": {"raft_multiplier": 11}},
            "performance.raft_multiplier cannot be 11. Must be between 1 and 10",
        ),
        (
            {"ports": {"http": 70000}},
            "1 error occurred:\n\t* ports.http: invalid port: 70000\n\n",
        ),
        (
            {"advertise_addr": "0.0.0.0"},
            "Advertise address cannot be 0.0.0.0, :: or [::]",
        ),
    ],
)
def test_validate_speaks_consuls_words(
    run: Run, tmp_path: Path, keys: dict[str, object], fault: str
) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"data_dir": "/d", **keys} if keys else {"server": True}))
    said = run("validate", str(file))
    if fault:
        assert said == Said(1, "", f"Config validation failed: {fault}\n")
    else:
        assert (said.code, said.out) == (0, "Configuration is valid!\n")


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


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        ("kv get", "quorate kv get [FLAGS] KEY"),
        ("kv put", "quorate kv put [FLAGS] KEY [VALUE]"),
        ("kv list", "quorate kv list [FLAGS] [PREFIX]"),
        ("kv watch", "quorate kv watch [FLAGS] KEY"),
        ("lock", "quorate lock [FLAGS] PREFIX COMMAND..."),
        ("session info", "quorate session info [FLAGS] ID"),
        ("cluster list", "quorate cluster list [FLAGS]"),
        ("completion", "quorate completion [FLAGS] bash|zsh|fish"),
        ("kv", "quorate kv COMMAND [FLAGS] [ARGUMENTS]"),
    ],
)
def test_the_usage_is_that_of_the_documentation(run: Run, words: str, usage: str) -> None:
    said = run("help", *words.split())
    assert said.out.splitlines()[0] == f"Usage: {usage}"
    assert re.search("<[a-z]+[>\\[ ]", said.out) is None  # as in `<list[str]>`: words of Python


def test_help_of_help_is_the_help(run: Run) -> None:
    assert run("help", "help") == run("help")
    assert "help" in run().err


def test_a_leader_that_has_nobody_to_hand_over_to_says_what_would_help(
    run: Run, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotFoundError("not_found", "POST /v1/x: cannot find peer")

    monkeypatch.setattr(client, "call", refuse, raising=False)
    said = run("cluster", "transfer")
    assert said.code == 1
    assert "no other node has a vote and is alive" in said.err


@pytest.mark.parametrize(
    ("words", "is_read", "said"),
    [
        (["n2"], False, "Success! Leader is now: n2\n"),
        ([], True, "Success! Leader is now: n2\n"),
        ([], False, "Success! Leadership transferred\n"),
    ],
)
def test_a_transfer_that_was_made_is_no_error_though_nobody_answers_after_it(
    run: Run,
    client: FakeClient,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    is_read: bool,
    said: str,
) -> None:
    is_made = False

    def call(method: str, *_: object, **__: object) -> Reply:
        nonlocal is_made
        if is_made and not is_read:
            raise UnavailableError("no_quorum", "No cluster leader")
        is_made = is_made or method == "POST"
        servers = [{"ID": "2", "Node": "n2", "Address": "a:2", "Leader": is_made}]
        return Reply(200, {}, json.dumps({"Servers": servers}).encode())

    monkeypatch.setattr(client, "call", call, raising=False)
    assert run("cluster", "transfer", *words) == (0, said, "")


def test_the_demo_refuses_a_directory_that_it_cannot_use(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n1").mkdir()
    said = run("demo", f"-directory={tmp_path}")
    assert (said.code, said.out) == (1, "")
    assert "is not empty: name an empty or a missing directory" in said.err
    (tmp_path / "file").touch()
    said = run("demo", f"-directory={tmp_path / 'file' / 'inside'}")
    assert (said.code, said.out) == (1, "")
    assert "name one that you may write to" in said.err
