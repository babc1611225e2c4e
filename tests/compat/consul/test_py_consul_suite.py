"""py-consul's own suite, as far as it needs only what is built.

`scripts/py_consul.py` fetches it; the Makefile does so with the other tools.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.py_consul import SUITE
from tests import skips

VERSION = "1.22.0"  # the newest one that the suite has a name for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not SUITE.exists(), reason="scripts/py_consul.py has not fetched it"),
]

SYNC = {
    "tests/api/test_kv.py": "",
    "tests/api/test_session.py": "",
    "tests/api/test_status.py": "",
    "tests/api/test_txn.py": "",
    "tests/api/test_snapshot.py": "test_snapshot_save_and_restore",
    "tests/api/test_health.py": "test_health_node",
    "tests/api/test_agent.py": (  # not what probes port 8500, needs a sidecar or access control
        "not test_agent_checks and not test_service_multi_check and not "
        "test_agent_service_connect and not test_agent_token"
    ),
    "tests/api/test_catalog.py": "",
    "tests/api/test_event.py": "",
    "tests/api/test_config.py": "",
    "tests/api/test_discovery_chain.py": "",
    "tests/api/test_operator.py": "not test_autopilot_configuration",
}
"""Which tests of which file; "": all."""

SKIPPED = {"access control is not built": 1}
"""Why tests inside the suite may be skipped, and how many of a file."""


def run(file: str, which: str) -> None:
    chosen = f"{VERSION} and ({which})" if which else VERSION
    words = [
        sys.executable, "-m", "pytest", "-q", "-rs", "-p", "suite_plugin",
        "-o", "addopts=", "-o", "asyncio_mode=auto", "-k", chosen, file,
    ]  # fmt: skip
    done = subprocess.run(
        words,
        cwd=SUITE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    lines = re.findall(r"^SKIPPED \[(\d+)\] [^:]+(?::\d+)?: (.*)$", done.stdout, re.MULTILINE)
    assert skips.objections({reason: int(count) for count, reason in lines}, SKIPPED) == []


@pytest.mark.parametrize("file", sorted(SYNC))
def test_the_suite_of_the_client_passes(file: str) -> None:
    run(file, SYNC[file])


def test_the_suite_of_the_asyncio_client_passes() -> None:
    run("tests/test_aio.py", "")
