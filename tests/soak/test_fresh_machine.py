"""The README and the tutorial on a machine that has nothing but Python, git and a network."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docblocks import blocks

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
PATH = "/usr/local/bin:/usr/bin:/bin"


def typed(page: Path, heading: str, folder: Path) -> str:
    """Type all shell lines below a heading into one shell, with no environment to speak of."""
    script = "".join(
        block.text for block in blocks(page) if block.language == "sh" and heading in block.heading
    )
    assert script
    done = subprocess.run(
        ["env", "-i", f"HOME={folder}", f"PATH={PATH}", "sh", "-euc", script],
        cwd=folder / "quorate",
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with a copy of the repository, as git has it."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    for name in listing.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            target = tmp_path / "quorate" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return tmp_path


def test_the_readme_leads_from_nothing_to_a_demo(clone: Path) -> None:
    said = typed(ROOT / "README.md", "Install", clone)
    assert "writes lost          0" in said


def test_the_tutorial_leads_from_nothing_to_tests_that_pass(clone: Path) -> None:
    page = ROOT / "docs/tutorial.md"
    typed(page, "Install", clone)
    python = clone / "quorate/.venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "pytest"], check=True, capture_output=True)
    files = [block for block in blocks(page) if block.file]
    mine = clone / "mine"
    mine.mkdir()
    for block in files:
        (mine / block.file).write_text(block.text)
    done = subprocess.run(
        [python, "-m", "pytest"], cwd=mine, env={"PATH": os.defpath}, capture_output=True,
        check=False, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
