"""`quorate demo` shows what it promises: nodes fail and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

MAIN = [sys.executable, "-c", "import sys; from quorate.cli.main import main; sys.exit(main())"]


def test_nothing_is_lost_and_all_copies_are_equal(tmp_path: Path) -> None:
    done = subprocess.run(
        [*MAIN, "demo", "-json", f"-directory={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["writes_lost"] == 0
    assert result["copies_equal"]
    assert len(set(result["digests"].values())) == 1
    assert len(result["digests"]) == 3
    assert result["files"] > 500
    assert result["writes_acknowledged"] > result["files"]
    assert 0 < result["longest_pause_s"] < 10
    assert result["seconds"] < 60
    for fault in ("kill -9 of the leader", "cutting the new leader", "py-consul"):
        assert fault in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_ended_takes_its_nodes_with_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    words = [*MAIN, "demo", f"-directory={tmp_path}"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as demo:
        try:
            text = ""
            while "importing" not in text:
                text = (demo.stderr and demo.stderr.readline()) or "importing: it ended"
            nodes = [int((tmp_path / name / "lock").read_text()) for name in ("n1", "n2", "n3")]
            demo.send_signal(number)
            assert demo.wait(HANG_S) == 130
        finally:
            demo.kill()
    for pid in nodes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
