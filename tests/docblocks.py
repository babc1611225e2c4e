"""Code blocks of pages: read, and run as a reader would."""

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")


class Block(NamedTuple):
    """One code block.

    Attributes:
        heading: The last heading above it.
        language: "python", "sh", "" …
        text: Without the fences.
        line: Of its first line in the page.
    """

    heading: str
    language: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The name of the file that it is, if its first line says so."""
        found = FILE.match(self.text)
        return found[1] if found else ""

    @property
    def printed(self) -> list[str]:
        """What its prints say according to their comments."""
        return re.findall(r"^ *print\(.*\)  # (.*)$", self.text, re.MULTILINE)


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page."""
    text = page.read_text()
    found: list[Block] = []
    for match in BLOCK.finditer(text):
        headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text[: match.start()]), re.MULTILINE)
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(headings[-1] if headings else "", match[1], match[2], line))
    return found


def replaced(text: str, words: Mapping[str, str]) -> str:
    """The text with other endpoints, ports and paths."""
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def run_python(block: Block, names: dict[str, Any], words: Mapping[str, str], page: Path) -> None:
    """Run a block in a namespace, and hold what it prints against its comments.

    Raises:
        AssertionError: It prints something else.
    """
    source = "\n" * (block.line - 1) + replaced(block.text, words)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(source, str(page), "exec"), names)
    assert said.getvalue().splitlines() == block.printed, f"{page.name}:{block.line}"


def run_tests(blocks: list[Block], folder: Path) -> None:
    """Write the blocks that are files into a folder, and run pytest there.

    Raises:
        AssertionError: A test fails, or there is none.
    """
    for block in blocks:
        (folder / block.file).write_text(block.text)
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error",
            "-o", "asyncio_default_fixture_loop_scope=function", f"--rootdir={folder}",
            "-c", "/dev/null", str(folder),
        ],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
