"""Skips are counted by reason, and in CI those that nobody allowed fail the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import skips

REPOSITORY = Path(__file__).parent.parent

MOST = skips.allowed()["not built: access control"]
SUITE = f"""
import pytest

@pytest.mark.parametrize("n", range({MOST + 1}))
def test_left_out(n: int) -> None:
    pytest.skip("not built: access control")

@pytest.mark.skipif(True, reason="the moon is full")
def test_moon() -> None: ...

def test_runs() -> None: ...
"""


def test_a_reason_is_held_against_the_first_pattern_that_fits() -> None:
    limits = {"not built: /v1/acl/*": 2, "not built: *": 1}

    assert skips.objections({"not built: /v1/acl/a": 1, "not built: /v1/acl/b": 1}, limits) == []
    assert skips.objections({"not built: /v1/acl/a": 3}, limits) == [
        "3 for 'not built: /v1/acl/*', at most 2"
    ]
    assert skips.objections({"not built: x": 1, "other": 4}, limits) == [
        "4 with the reason 'other'"
    ]


def test_the_reason_is_read_from_each_kind_of_report() -> None:
    assert skips.reason_of(("file.py", 3, "Skipped: not today")) == "not today"
    assert skips.reason_of("a text") == "a text"
    assert skips.reason_of(("file.py", 3, "Skipped: ")) == "no reason given"


def test_every_limit_is_a_number_above_zero() -> None:
    assert all(limit > 0 for limit in skips.allowed().values())


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_skip_that_is_not_allowed_is_listed_and_fails_the_run_in_ci(
    tmp_path: Path, workers: str
) -> None:
    """In a process of its own, with this project's conftest and a suite that skips."""
    (tmp_path / "test_some.py").write_text(SUITE)
    words = [
        sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider",
        "-p", "tests.conftest", f"--rootdir={tmp_path}", "-c", os.devnull, str(tmp_path),
    ]  # fmt: skip

    def run(environment: dict[str, str]) -> tuple[int, str]:
        done = subprocess.run(
            words,
            cwd=REPOSITORY,
            env={key: value for key, value in os.environ.items() if key != "CI"} | environment,
            capture_output=True,
            check=False,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    code, text = run({})
    assert code == 0, text
    assert f"{MOST + 2} skipped" in text
    assert f"    {MOST + 1} not built: access control\n    1 the moon is full" in text
    code, text = run({"CI": "1"})
    assert code == 1, text
    assert "not allowed by skips.toml: 1 with the reason 'the moon is full'" in text
    refused = f"{MOST + 1} for 'not built: access control', at most {MOST}"
    assert f"not allowed by skips.toml: {refused}" in text
