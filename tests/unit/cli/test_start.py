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
