"""The wheel, in an empty environment beside the client's two libraries."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.unit.client.fakes import Store, nodes_in_thread

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

REPOSITORY = Path(__file__).parents[2]
LIBRARIES = ("httptools", "msgspec")
PROGRAM = """
import sys
from quorate import Client
with Client(sys.argv[1]) as client:
    client.kv.put("k", "text")
    print(client.kv.read("k"))
"""


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, check=False, text=True, cwd="/")


def test_the_wheel_without_extras_is_a_client_and_a_command_that_says_what_lacks(
    tmp_path: Path,
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    home = tmp_path / "venv"
    venv.create(home)
    place = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    installed = run(
        sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "--no-deps",
        "--no-index", "--disable-pip-version-check", wheel,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    own = Path(sysconfig.get_path("platlib"))
    for library in LIBRARIES:  # what a package index would bring
        shutil.copytree(own / library, place / library)

    with nodes_in_thread(Store()) as [node]:
        used = run(home / "bin/python", "-c", PROGRAM, node.address)
    assert (used.stdout, used.stderr) == ("b'text'\n", "")
    command = run(home / "bin/quorate", "agent", "-dev")
    assert command.returncode == 1
    assert "pip install 'quorate[server]'" in command.stderr
