"""Completion scripts hold the real commands."""

import subprocess

import typer

from quorate.cli.completion import bash, fish, words_after
from quorate.cli.main import app


def words() -> dict[str, list[str]]:
    return dict(words_after(typer.main.get_command(app)))


def completed(*line: str) -> list[str]:
    """What bash offers at the end of a line."""
    script = f"""
{bash(words(), is_zsh=False)}
COMP_WORDS=({" ".join(f"'{word}'" for word in line)})
COMP_CWORD={len(line) - 1}
_quorate
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return said.stdout.split()


def test_every_command_is_known() -> None:
    known = words()
    assert {"kv", "lock", "session"} <= set(known[""])
    assert {"get", "put", "delete", "export", "import", "list", "watch"} == set(known["kv"])
    assert "--recurse" in known["kv get"]


def test_bash_completes_nouns_verbs_and_flags() -> None:
    assert completed("quorate", "mem") == ["members"]
    assert completed("quorate", "kv", "del") == ["delete"]
    assert completed("quorate", "kv", "get", "--rec") == ["--recurse"]


def test_bash_completes_flags_with_one_dash_and_after_arguments() -> None:
    assert completed("quorate", "kv", "get", "-recurse", "web/", "-det") == ["--detailed"]


def test_zsh_loads_its_emulation_first() -> None:
    assert bash(words(), is_zsh=True).startswith("#compdef quorate\n")


def test_fish_gets_a_line_per_flag() -> None:
    lines = fish(words()).splitlines()
    seen = "__fish_seen_subcommand_from kv && __fish_seen_subcommand_from get"
    assert f"complete -c quorate -n '{seen}' -l recurse" in lines
