"""The command `quorate`: runs a command; its result is the exit code."""

import errno
import os
import sys
from collections.abc import Sequence

from quorate.base.errors import QuorateError
from quorate.cli.commands import HELP, NOUNS, CommandGroup, UsageError, load, overview

EXIT_ERROR = 1
EXIT_UNKNOWN_COMMAND = 127
EXIT_INTERRUPTED = 130

_ABOUT = "A fault-tolerant store for services, with Consul's API, on Multi-Paxos."
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_VERSION = {"-v", "-version", "--version"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    _open_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(words)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
    except QuorateError as error:
        sys.stderr.write(f"Error: {error.text}\n")
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.partition(".")[0] == "quorate":
            raise
        sys.stderr.write(
            f"quorate: this command needs the server's parts ({name} is missing); install them: "
            "pip install 'quorate[server]', in a clone: pip install '.[server]'\n"
        )
    except BrokenPipeError:  # the reader of the output has closed it
        _drop_output()
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        _drop_output()
        sys.stderr.write(f"quorate: writing the output: {(error.strerror or '').lower()}\n")
    return EXIT_ERROR


def _open_streams() -> None:
    """Give each standard stream that is closed the null device.

    Else the next file that is opened would get its number, and whatever a library writes there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null == number:
                os.set_inheritable(null, True)
            else:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _drop_output() -> None:
    """What is not written yet is not written when the process ends, either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _main(words: list[str]) -> int:
    if words and words[0] in _VERSION:
        words = ["version", *words[1:]]
    elif words and words[0] == "help":
        words = [*(word for word in words[1:] if word != "help"), "-h"]
    if words and words[0] in NOUNS:
        load(words[0]).run(words[1:])
        sys.stdout.flush()
        return 0
    if words and words[0] in HELP:
        sys.stdout.write(f"{_help()}\n")
        return 0
    sys.stderr.write(f"{_explained(words) if words else _help()}\n")
    return EXIT_UNKNOWN_COMMAND


def _help() -> str:
    return overview("", _ABOUT, NOUNS | {"help": "Explain a command."})


def _explained(words: list[str]) -> str:
    """The message for an unknown command."""
    word = words[0]
    if word.startswith("-"):
        example = "agent -dev" if word.lstrip("-") == "dev" else f"COMMAND {word} …"
        text = f"{word} stands before the command; flags come after: quorate {example}"
    else:
        from quorate.cli.guidance import advice

        loaded = {noun: load(noun) for noun in NOUNS}
        groups = {
            noun: app.commands for noun, app in loaded.items() if isinstance(app, CommandGroup)
        }
        meant = advice(words, NOUNS, groups)
        known = f"Commands: {', '.join(NOUNS)}"
        text = f"quorate has no command {word!r}\n{meant or known}"
    return f"{text}\n`quorate help` explains the commands."


if __name__ == "__main__":
    sys.exit(main())
