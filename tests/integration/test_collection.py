"""Every process collects the same tests under the same names: xdist refuses a run otherwise."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

# Collects as a process with another hash seed, at another time, with another process id and other
# memory addresses would. Prints a line per test.
PROGRAM = """
import sys, time
shift_s = float(sys.argv[1])
clocks = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter")}
for name, clock in clocks.items():
    setattr(time, name, lambda clock=clock: clock() + shift_s)
ns = time.time_ns
time.time_ns = lambda: ns() + int(shift_s * 1e9)
filler = [object() for _ in range(int(shift_s) % 1009)]

import pytest

class Names:
    def pytest_collection_finish(self, session):
        for item in session.items:
            sys.stdout.write(f"@{item.nodeid.encode('unicode_escape').decode()}\\n")

sys.exit(pytest.main(
    ["--collect-only", "-q", "-s", "-p", "no:cacheprovider", *sys.argv[2:]],
    plugins=[Names()],
))
"""


def collected(shift_s: float, hash_seed: str, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(shift_s), *words],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [line[1:] for line in done.stdout.splitlines() if line.startswith("@")]


def differences(*words: str) -> list[tuple[str, str]]:
    """What two processes collect differently."""
    with ThreadPoolExecutor() as pool:
        one = pool.submit(collected, 0, "1", *words)
        other = pool.submit(collected, 86_461, "4711", *words)
        first, second = one.result(), other.result()
    assert first
    assert len(first) == len(second)
    return [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]


def test_two_processes_collect_the_same_tests_in_the_same_order() -> None:
    assert differences("tests") == []


def test_a_name_that_depends_on_time_or_hash_is_seen(tmp_path: Path) -> None:
    (tmp_path / "test_odd.py").write_text(
        "import gzip, pytest\n"
        "@pytest.mark.parametrize('data', [gzip.compress(b'x'), *{b'ab', b'cd', b'ef', b'gh'}])\n"
        "def test_odd(data): ...\n"
    )
    found = differences("-c", os.devnull, str(tmp_path))
    assert "test_odd[" in found[0][0]
    assert len(found) > 1  # the bytes with a time in them, and the set in another order
