"""The command line starts fast because it imports little."""

import subprocess
import sys

import pytest

HEAVY = {"pydantic", "rich", "uvloop", "lmdb", "structlog", "prometheus_client"}


def imported_by(words: list[str]) -> set[str]:
    """Top-level packages that a command imports when nobody listens where it asks."""
    script = (
        "import sys\nfrom quorate.cli.main import main\n"
        f"main({words!r})\n"
        "print('MODULES', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    line = next(line for line in said.stdout.splitlines() if line.startswith("MODULES"))
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "words",
    [
        ["kv", "get", "-http-addr=127.0.0.1:9", "key"],
        ["kv", "put", "-http-addr=127.0.0.1:9", "-flags=1", "key", "value"],
        ["members", "-http-addr=127.0.0.1:9"],
        ["version"],
    ],
)
def test_a_small_command_imports_nothing_heavy(words: list[str]) -> None:
    assert imported_by(words) & HEAVY == set()


MAIN = "import sys; from quorate.cli.main import main; sys.exit(main())"


def shell(redirections: str, *words: str) -> tuple[int, bytes, bytes]:
    """Run a command with these redirections of a shell: exit code, output, errors."""
    line = f'exec "$0" "$@" {redirections}'
    command = ["/bin/sh", "-c", line, sys.executable, "-c", MAIN, *words]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_nobody(closed: str) -> None:
    code, _, said = shell(closed, "version")
    assert (code, said) == (0, b"")


def test_no_file_takes_the_number_of_a_closed_stream() -> None:
    """A library that writes to stderr would write into it."""
    script = (
        "import os\nfrom quorate.cli.main import main\n"
        "assert main(['version']) == 0\n"
        "file = os.open('/', os.O_RDONLY)\n"
        "assert file > 2, file\n"
        "assert [os.get_inheritable(each) for each in range(3)] == [True] * 3"
    )
    line = 'exec "$0" "$@" <&- >&- 2>&-'
    subprocess.run(["/bin/sh", "-c", line, sys.executable, "-c", script], check=True)


def test_output_that_finds_no_space_is_an_error() -> None:
    code, _, said = shell("> /dev/full", "version")
    assert (code, said) == (1, b"quorate: writing the output: no space left on device\n")


def test_a_node_that_may_open_too_few_files_says_so() -> None:
    line = 'ulimit -n 20; exec "$0" "$@"'
    command = ["/bin/sh", "-c", line, sys.executable, "-c", MAIN, "agent", "-dev"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("==> only 20 files may be open, and a node needs 64: ")
