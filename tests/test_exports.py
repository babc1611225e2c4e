"""What is exported, what is documented and what is there are the same names."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs/api/python.md"
PUBLIC_MODULES = ("quorate", "quorate.client", "quorate.testing")
ROOT_NAMES_MAX = 45
HEAVY = ("httptools", "lmdb", "prometheus_client", "rich", "structlog", "uvloop")


def exported(module_name: str) -> list[str]:
    """`__all__` of a module; empty while it exports nothing."""
    names: list[str] = getattr(importlib.import_module(module_name), "__all__", [])
    return names


def documented(text: str) -> dict[str, list[str]]:
    """The names in the first column of the table below each heading that names a module."""
    found: dict[str, list[str]] = {}
    module = ""
    for line in text.splitlines():
        if heading := re.match(r"## `([\w.]+)`", line):
            module = heading[1]
            found[module] = []
        elif line.startswith("## "):
            module = ""
        elif (row := re.match(r"\| `(\w+)", line)) and module:
            found[module].append(row[1])
    return found


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_exports_are_there_sorted_and_documented(module: str) -> None:
    names = exported(module)
    reality = importlib.import_module(module)

    assert [name for name in names if not hasattr(reality, name)] == []
    assert names == sorted(names)
    assert sorted(documented(PAGE.read_text()).get(module, [])) == names


def test_the_page_documents_no_other_module() -> None:
    assert set(documented(PAGE.read_text())) <= set(PUBLIC_MODULES)


def test_the_root_stays_small() -> None:
    assert len(exported("quorate")) <= ROOT_NAMES_MAX


@pytest.mark.parametrize("module", ["quorate", "quorate.client"])
def test_importing_the_client_loads_no_server_library(module: str) -> None:
    """In a process of its own, for this one has loaded everything already."""
    program = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout.split() == []


def test_a_client_that_chooses_nothing_loads_no_strategies() -> None:
    program = "import sys; from quorate import AsyncClient, Client; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert [each for each in done.stdout.split() if each.startswith("quorate.balancing")] == []


def test_the_reader_of_the_page_sees_names_below_their_module() -> None:
    page = "## `quorate`\n\n| Name | For |\n|---|---|\n| `Client` | x |\n## `quorate.client`\n"
    assert documented(page) == {"quorate": ["Client"], "quorate.client": []}


def test_clusters_without_the_server_say_what_to_install() -> None:
    """In a process of its own, in which the server's libraries cannot be imported."""
    program = (
        "import sys; sys.modules['uvloop'] = None\n"
        "import quorate.testing\n"
        "try: quorate.testing.Cluster\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert "uvloop is missing): pip install 'quorate[server]'" in done.stdout
