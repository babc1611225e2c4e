"""Completion scripts hold the real commands, and the shells understand them."""

import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from quorate.agent.keys import FLAGS
from quorate.cli.commands import NOUNS
from quorate.cli.completion import SCRIPTS, all_words
from quorate.cli.main import main

Offered = Callable[..., list[str]]


def words() -> dict[str, list[str]]:
    return all_words()


def in_bash(*line: str) -> list[str]:
    """What bash offers at the end of a line."""
    script = f"""
{SCRIPTS["bash"](words())}
COMP_WORDS=({" ".join(f"'{word}'" for word in line)})
COMP_CWORD={len(line) - 1}
_quorate
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return said.stdout.split()


def in_zsh(*line: str) -> list[str]:
    """What zsh is offered, less what does not begin as typed; its own part is replaced."""
    script = f"""
compdef() {{ : }}
compadd() {{ shift; for word in "$@"; do case $word in $PREFIX*) print -- $word ;; esac; done }}
{SCRIPTS["zsh"](words())}
words=({" ".join(f"'{word}'" for word in line)}); CURRENT={len(line)}; PREFIX='{line[-1]}'
_quorate
"""
    said = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True)
    return said.stdout.split()


def in_fish(*line: str, directory: Path) -> list[str]:
    """What fish offers at the end of a line."""
    file = directory / "quorate.fish"
    file.write_text(SCRIPTS["fish"](words()))
    script = f"source {file}; complete -C '{' '.join(line)}'"
    said = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env={"HOME": str(directory), "PATH": "/usr/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return said.stdout.split()


@pytest.fixture(params=["bash", "zsh", "fish"])
def offered(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., list[str]]:
    shell = str(request.param)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    known: dict[str, Offered] = {
        "bash": in_bash,
        "zsh": in_zsh,
        "fish": partial(in_fish, directory=tmp_path),
    }
    return known[shell]


def test_every_command_is_known() -> None:
    known = words()
    assert {*NOUNS, "help"} == set(known[""])
    assert {"get", "put", "delete", "export", "import", "list", "watch"} == set(known["kv"])
    assert "--recurse" in known["kv get"]
    assert {f"--{name}" for name, (_, about) in FLAGS.items() if about} < set(known["agent"])


def test_nouns_verbs_and_flags_are_completed(offered: Offered) -> None:
    assert offered("quorate", "mem") == ["members"]
    assert offered("quorate", "kv", "del") == ["delete"]
    assert offered("quorate", "kv", "get", "--rec") == ["--recurse"]
    assert set(offered("quorate", "kv", "")) >= {"get", "put", "delete"}


def test_the_flags_of_agent_are_completed(offered: Offered) -> None:
    assert offered("quorate", "agent", "--bootstrap-e") == ["--bootstrap-expect"]
    assert offered("quorate", "agent", "--dev", "--retry") == ["--retry-join"]


def test_help_is_completed_with_commands(offered: Offered) -> None:
    assert offered("quorate", "help", "mem") == ["members"]


def test_bash_and_zsh_complete_help_with_the_verbs_of_a_command() -> None:
    verbs = ["add", "list", "recover", "remove", "transfer"]
    assert sorted(in_bash("quorate", "help", "cluster", "")) == verbs
    if shutil.which("zsh") is not None:
        assert sorted(in_zsh("quorate", "help", "cluster", "")) == verbs


def test_flags_are_completed_after_arguments(offered: Offered) -> None:
    assert offered("quorate", "kv", "get", "--recurse", "web/", "--det") == ["--detailed"]


def test_bash_and_zsh_complete_flags_with_one_dash() -> None:
    assert in_bash("quorate", "kv", "get", "-recurse", "web/", "-det") == ["--detailed"]
    if shutil.which("zsh") is not None:
        assert in_zsh("quorate", "agent", "-boots") == ["--bootstrap", "--bootstrap-expect"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "bootstrap-expect" in capsys.readouterr().out


def test_zsh_finds_the_script_by_its_first_line() -> None:
    assert SCRIPTS["zsh"](words()).startswith("#compdef quorate\n")
