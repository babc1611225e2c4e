"""`quorate watch` and `quorate services` against a node."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_agent import MAIN, agent, free_port, said
from tests.integration.test_dns import HOST, register
from tests.limits import HANG_S

pytestmark = pytest.mark.integration

APPEND = "import sys; print(sys.stdin.read().replace(chr(10), ' '), flush=True)"


def quorate(port: int, *words: str) -> str:
    command = [*MAIN, *words, f"-http-addr={HOST}:{port}"]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=HANG_S)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_handler_sees_services_come_and_go(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "web.hcl"
    file.write_text('service {\n  name = "web"\n  port = 80\n}\n')
    with agent("-dev", f"-http-port={port}") as process:
        said(process, "leading")
        flags = f"-http-addr={HOST}:{port}", "-type=service", "-service=web", "-shell=false"
        words = [*MAIN, "watch", *flags, "--", sys.executable, "-c", APPEND]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watch:
            lines = watch.stdout
            assert lines is not None
            try:
                assert json.loads(lines.readline()) == []
                quorate(port, "services", "register", str(file))
                [instance] = json.loads(lines.readline())
                assert instance["Service"]["Port"] == 80
                register(port, Name="other")
                assert quorate(port, "catalog", "services") == "consul\nother\nweb\n"
                quorate(port, "services", "deregister", "-id=web")
                assert json.loads(lines.readline()) == []  # the other one woke nobody
            finally:
                watch.kill()
