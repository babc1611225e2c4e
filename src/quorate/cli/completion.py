"""`quorate completion`: a script that lets a shell complete commands and flags.

The script holds all words itself, so that completing starts no Python.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from quorate.cli.flags import application, command
from quorate.cli.output import say

app = application("Print a script that completes commands and flags.")


class Shell(StrEnum):
    """Shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command(
    app,
    "completion",
    examples=[
        "quorate completion bash > ~/.local/share/bash-completion/completions/quorate",
        'quorate completion zsh > "${fpath[1]}/_quorate"',
        "quorate completion fish > ~/.config/fish/completions/quorate.fish",
    ],
)
def completion(
    shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)],
) -> None:
    """Print the completion script of a shell."""
    from quorate.cli.main import app as top

    words = dict(words_after(typer.main.get_command(top)))
    say(fish(words) if shell is Shell.FISH else bash(words, is_zsh=shell is Shell.ZSH))


def words_after(node: Any, path: Sequence[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """What may follow each command: names of commands below it, or its flags.

    Args:
        node: A command of typer's.
        path: The words that lead to it.

    Yields:
        The words so far, joined by spaces, and the words that may follow.
    """
    inner: Mapping[str, Any] = getattr(node, "commands", {})
    if inner:
        yield " ".join(path), sorted(inner)
        for name, child in sorted(inner.items()):
            yield from words_after(child, [*path, name])
    else:
        options = [option for each in node.params for option in each.opts]
        yield " ".join(path), sorted(each for each in options if each.startswith("-"))


def bash(words: Mapping[str, Sequence[str]], *, is_zsh: bool) -> str:
    """The script for bash; zsh runs it by its own emulation."""
    cases = [f'    "{path}") words="{" ".join(following)}" ;;' for path, following in words.items()]
    head = ["#compdef quorate", "autoload -U +X bashcompinit && bashcompinit"] if is_zsh else []
    return "\n".join(
        [
            *head,
            "_quorate() {",
            '  local path="" words="" word current="${COMP_WORDS[COMP_CWORD]}"',
            '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            '    case "$word" in -*) ;; *) path="${path:+$path }$word" ;; esac',
            "  done",
            "  while :; do",
            '  case "$path" in',
            *cases,
            "  esac",
            '  [ -n "$words" ] || [ -z "$path" ] && break',
            '  case "$path" in *" "*) path="${path% *}" ;; *) path="" ;; esac',
            "  done",
            '  case "$current" in --*) ;; -?*) current="-$current" ;; esac',
            '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
            '  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))',
            "}",
            "complete -F _quorate quorate",
        ]
    )


def fish(words: Mapping[str, Sequence[str]]) -> str:
    """The script for fish."""
    lines = ["complete -c quorate -f -n __fish_use_subcommand -a '" + " ".join(words[""]) + "'"]
    for path, following in words.items():
        nouns = path.split()
        if not nouns:
            continue
        seen = " && ".join(f"__fish_seen_subcommand_from {noun}" for noun in nouns)
        for word in following:
            if word.startswith("-"):
                name = word.lstrip("-")
                kind = "-s" if len(name) == 1 else "-l"
                lines.append(f"complete -c quorate -n '{seen}' {kind} {name}")
            else:
                names = " ".join(following)
                lines.append(
                    f"complete -c quorate -f -n '{seen}; "
                    f"and not __fish_seen_subcommand_from {names}' -a {word}"
                )
    return "\n".join(lines)
