"""The examples run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.client.fakes import Store, nodes_in_thread

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_counter_counts_every_addition() -> None:
    store = Store()
    with nodes_in_thread(store) as [node]:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "counter.py"), node.address],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
    assert done.stdout == "the counter stands at 100\n"


@pytest.mark.parametrize("name", ["counter", "lock", "election", "watch"])
def test_an_example_compiles_and_says_how_it_is_started(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    compile(text, name, "exec")
    assert f"python examples/{name}.py" in text
