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
    shell: Annotated[
        Shell, typer.Argument(metavar="bash|zsh|fish", help="Which shell.", show_default=False)
    ],
) -> None:
    """Print the completion script of a shell."""
    from quorate.cli.main import app as top

    words = all_words(typer.main.get_command(top))
    scripts = {Shell.BASH: bash, Shell.FISH: fish, Shell.ZSH: zsh}
    say(scripts[shell](words))


def all_words(top: Any) -> dict[str, list[str]]:
    """What may follow each command; the flags of `agent`, which has a parser of its own, too."""
    from quorate.cli.agentflags import FLAGS

    words = dict(words_after(top))
    words[""] = sorted([*words[""], "help"])
    words["agent"] = sorted(f"--{name}" for name in (*FLAGS, "help"))
    words["help"] = words[""]
    verbs = [path.split() for path in words if " " in path]
    for noun in sorted({noun for noun, _ in verbs}):
        words[f"help {noun}"] = [verb for above, verb in verbs if above == noun]
    words["completion"] = sorted([*words["completion"], *Shell])
    return words


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


def bash(words: Mapping[str, Sequence[str]]) -> str:
    """The script for bash."""
    return "\n".join(
        [
            "_quorate() {",
            '  local typed="" after="" word current="${COMP_WORDS[COMP_CWORD]}"',
            '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            '    case "$word" in -*) ;; *) typed="${typed:+$typed }$word" ;; esac',
            "  done",
            *_looking_up(words),
            '  case "$current" in --*) ;; -?*) current="-$current" ;; esac',
            '  COMPREPLY=($(compgen -W "$after" -- "$current"))',
            '  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))',
            "}",
            "complete -F _quorate quorate",
        ]
    )


def zsh(words: Mapping[str, Sequence[str]]) -> str:
    """The script for zsh, as a file of its `fpath` or to be sourced."""
    return "\n".join(
        [
            "#compdef quorate",
            "_quorate() {",
            '  local typed="" after="" word',
            '  for word in "${(@)words[2,CURRENT-1]}"; do',
            '    case "$word" in -*) ;; *) typed="${typed:+$typed }$word" ;; esac',
            "  done",
            *_looking_up(words),
            '  case "$PREFIX" in --*) ;; -?*) PREFIX="-$PREFIX" ;; esac',
            "  compadd -- ${=after} || _files",
            "}",
            'if [ "${funcstack[1]}" = _quorate ]; then _quorate "$@"',
            "else compdef _quorate quorate; fi",
        ]
    )


def _looking_up(words: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines that find what may follow what was typed; arguments at its end are dropped."""
    cases = [f'    "{path}") after="{" ".join(following)}" ;;' for path, following in words.items()]
    return [
        "  while :; do",
        '  case "$typed" in',
        *cases,
        "  esac",
        '  if [ -n "$after" ] || [ -z "$typed" ]; then break; fi',
        '  case "$typed" in *" "*) typed="${typed% *}" ;; *) typed="" ;; esac',
        "  done",
    ]


def fish(words: Mapping[str, Sequence[str]]) -> str:
    """The script for fish."""
    top = " ".join(words[""])
    lines = [
        f"complete -c quorate -f -n __fish_use_subcommand -a '{top}'",
        f"complete -c quorate -f -n '__fish_seen_subcommand_from help' -a '{top}'",
    ]
    for path, following in words.items():
        nouns = path.split()
        if not nouns or nouns[0] == "help":
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
