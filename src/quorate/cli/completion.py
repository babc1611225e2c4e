"""`quorate completion`: a script that lets a shell complete commands and flags.

The script contains all names itself: completing starts no Python.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from quorate.cli.commands import NOUNS, CliCommand, command, load
from quorate.cli.output import fail, say

Words = Mapping[str, Sequence[str]]


@command("completion", "bash|zsh|fish")
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    Examples:
        quorate completion bash > ~/.local/share/bash-completion/completions/quorate
        quorate completion zsh > "${fpath[1]}/_quorate"
        quorate completion fish > ~/.config/fish/completions/quorate.fish
    """
    script = SCRIPTS.get(shell)
    if script is None:
        fail(f"Error! {shell!r} is not one of {', '.join(SCRIPTS)}")
    say(script(all_words()))


def all_words() -> dict[str, list[str]]:
    """What may follow each command: its subcommands, or its flags."""
    words: dict[str, list[str]] = {"": sorted([*NOUNS, "help"])}
    for noun in NOUNS:
        found = load(noun)
        if isinstance(found, CliCommand):
            words[noun] = _flags(found)
            continue
        words[noun] = words[f"help {noun}"] = sorted(found.commands)
        words |= {each.path: _flags(each) for each in found.commands.values()}
    words["help"] = words[""]
    words["completion"] = sorted([*words["completion"], *SCRIPTS])
    return words


def _flags(command: CliCommand) -> list[str]:
    return sorted(flag.spelled.split()[0] for flag in command.shown)


_LOOKING_UP = """\
  while :; do
  case "$typed" in
%s
  esac
  if [ -n "$after" ] || [ -z "$typed" ]; then break; fi
  case "$typed" in *" "*) typed="${typed%% *}" ;; *) typed="" ;; esac
  done"""
"""Finds what may follow the typed words, without the arguments at their end."""

_BASH = """\
_quorate() {
  local typed="" after="" word current="${COMP_WORDS[COMP_CWORD]}"
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) typed="${typed:+$typed }$word" ;; esac
  done
%s
  case "$current" in --*) ;; -?*) current="-$current" ;; esac
  COMPREPLY=($(compgen -W "$after" -- "$current"))
  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _quorate quorate"""

_ZSH = """\
#compdef quorate
_quorate() {
  local typed="" after="" word
  for word in "${(@)words[2,CURRENT-1]}"; do
    case "$word" in -*) ;; *) typed="${typed:+$typed }$word" ;; esac
  done
%s
  case "$PREFIX" in --*) ;; -?*) PREFIX="-$PREFIX" ;; esac
  compadd -- ${=after} || _files
}
if [ "${funcstack[1]}" = _quorate ]; then _quorate "$@"
else compdef _quorate quorate; fi"""


def _of_cases(script: str, words: Words) -> str:
    cases = (f'    "{path}") after="{" ".join(following)}" ;;' for path, following in words.items())
    return script % (_LOOKING_UP % "\n".join(cases))


def _fish(words: Words) -> str:
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


SCRIPTS: dict[str, Callable[[Words], str]] = {
    "bash": partial(_of_cases, _BASH),
    "zsh": partial(_of_cases, _ZSH),
    "fish": _fish,
}
"""By shell, what makes its script of `all_words`; zsh's may be in its `fpath` or be sourced."""
