"""A seed gives the same trace in every process, whatever hashes of strings are there."""

import subprocess
from collections.abc import Sequence

import pytest

from quorate.sim import twice
from quorate.sim.__main__ import main


def test_a_handful_of_seeds_gives_the_same_traces_in_two_processes() -> None:
    assert twice.differing(0, 6, 2, 8.0) == []


def test_a_trace_that_depends_on_the_process_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: Sequence[str], **options: dict[str, str]) -> object:
        first, seeds = int(command[3]), int(command[4])
        spoilt = f"spoilt by {options['env']['PYTHONHASHSEED']}"
        lines = [f"{n} {spoilt if n == 3 else 'equal'}" for n in range(first, first + seeds)]
        return subprocess.CompletedProcess(command, 0, "\n".join(lines), "")

    monkeypatch.setattr(subprocess, "run", run)

    for jobs in (1, 2, 4):
        assert main(["--seed", "0", "--seeds", "5", "--twice", "--jobs", str(jobs)]) == 1
        assert "seed 3 differs" in capsys.readouterr().out
    assert main(["--seed", "4", "--seeds", "5", "--twice"]) == 0
    assert "seeds 4 to 8 have the same trace" in capsys.readouterr().out
