"""`quorate agent` as a process: how fast it starts, how it ends, what it says when it can not."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.limits import HANG_S

pytestmark = pytest.mark.integration

MAIN = [sys.executable, "-c", "import sys; from quorate.cli.main import main; sys.exit(main())"]
START_S = 1.5  # of processor time, until a development node leads


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def refused(*flags: str) -> str:
    """What an agent says that does not start; its exit code must be 1."""
    done = subprocess.run(
        [*MAIN, "agent", *flags], capture_output=True, check=False, text=True, timeout=HANG_S
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@contextmanager
def agent(*flags: str) -> Generator[subprocess.Popen[str], None, None]:
    """A running agent that has said so."""
    words = [*MAIN, "agent", "-log-json", f"-server-port={free_port()}", "-http-port=-1", *flags]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            said(process, "running")
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str], event: str) -> dict[str, object]:
    """Read the log up to the line with this event."""
    lines: Iterable[str] = process.stderr or ()
    for line in lines:
        fields: dict[str, object] = json.loads(line)
        if fields["event"] == event:
            return fields
    raise AssertionError(f"the agent ended without saying {event!r}")


def processor_s(pid: int) -> float:
    """The processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def ended(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    said(process, "stopped")
    return process.wait(HANG_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_development_node_leads_at_once_and_stops_cleanly(number: signal.Signals) -> None:
    with agent("-dev") as process:
        said(process, "leading")
        assert processor_s(process.pid) < START_S
        assert ended(process, number) == 0


def test_a_development_node_leaves_nothing_behind(tmp_path: Path) -> None:
    os.environ["TMPDIR"] = str(tmp_path)
    try:
        with agent("-dev") as process:
            assert len(list(tmp_path.iterdir())) == 1
            ended(process, signal.SIGTERM)
    finally:
        del os.environ["TMPDIR"]
    assert list(tmp_path.iterdir()) == []


def test_a_used_directory_is_refused_and_names_its_user(tmp_path: Path) -> None:
    with agent("-server", "-bootstrap", f"-data-dir={tmp_path}", "-bind=127.0.0.1") as process:
        said(process, "leading")
        text = refused(
            "-server", f"-data-dir={tmp_path}", f"-server-port={free_port()}", "-retry-join=a:1"
        )
        assert f"used by process {process.pid}" in text
        assert ended(process, signal.SIGTERM) == 0


def test_a_pid_file_lives_as_long_as_the_process(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with agent("-dev", f"-pid-file={path}") as process:
        assert path.read_text() == f"{process.pid}\n"
        ended(process, signal.SIGTERM)
    assert not path.exists()


def test_a_pid_file_has_its_folders_made_and_a_second_start_leaves_it_alone(tmp_path: Path) -> None:
    path, data = tmp_path / "run" / "deep" / "pid", tmp_path / "data"
    flags = ("-server", "-bootstrap", f"-data-dir={data}", "-bind=127.0.0.1", f"-pid-file={path}")
    with agent(*flags) as process:
        said(process, "leading")
        assert "used by process" in refused(*flags, f"-server-port={free_port()}", "-http-port=-1")
        assert path.read_text() == f"{process.pid}\n"
        ended(process, signal.SIGTERM)
    assert not path.exists()


def test_a_pid_file_may_lie_in_the_new_data_directory(tmp_path: Path) -> None:
    path = tmp_path / "data" / "pid"
    with agent("-server", "-bootstrap", f"-data-dir={path.parent}", f"-pid-file={path}") as process:
        assert path.read_text() == f"{process.pid}\n"
        ended(process, signal.SIGTERM)


def test_a_pid_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "pid"
    ports = f"-server-port={free_port()}", "-http-port=-1"
    assert f"cannot write the pid file {path}" in refused("-dev", f"-pid-file={path}", *ports)


def test_a_wish_for_protection_is_refused_and_named() -> None:
    text = refused("-dev", "-https-port=8501")
    assert "ports.https asks for TLS" in text
    assert "Nothing was started" in text


def test_a_folder_of_hcl_and_templates_are_understood(tmp_path: Path) -> None:
    (tmp_path / "consul.hcl").write_text(
        'node_name = "from-hcl"\nbind_addr = "{{ GetInterfaceIP \\"lo\\" }}"\n'
    )
    (tmp_path / "notes.txt").write_text("")
    words = [*MAIN, "agent", "-dev", "-log-json", "-http-port=-1", f"-config-dir={tmp_path}"]
    port = free_port()
    with subprocess.Popen(
        [*words, f"-server-port={port}"], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            lines: Iterable[str] = process.stderr or ()
            assert json.loads(next(iter(lines)))["event"] == (
                f"{tmp_path / 'notes.txt'} is not read: its name must end in one of .hcl, .json, "
                ".toml, or -config-format be given"
            )
            running = said(process, "running")
            assert (running["node"], running["peers"]) == ("from-hcl", f"127.0.0.1:{port}")
        finally:
            process.kill()


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = refused("-dev", f"-server-port={port}")
    assert f"port {port} on 127.0.0.1 is in use" in text


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    text = refused("-server", f"-data-dir={tmp_path}", f"-server-port={free_port()}")
    assert "is no data directory of Quorate" in text
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_directory_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    content = '{"format": 99, "id": "a", "incarnation": 1, "created": ""}'
    (tmp_path / "node.json").write_text(content)
    text = refused("-server", f"-data-dir={tmp_path}", f"-server-port={free_port()}")
    assert "newer version" in text
    assert (tmp_path / "node.json").read_text() == content


def test_the_faults_of_flags_and_files_are_told_without_starting(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"servr": true}')
    assert "invalid config key servr" in refused("-dev", f"-config-file={path}")
    assert "flag provided but not defined: -nope" in refused("-nope")
    assert "data_dir cannot be empty" in refused("-server")


def test_a_killed_node_goes_on_where_it_was(tmp_path: Path) -> None:
    flags = ("-server", "-bootstrap", f"-data-dir={tmp_path}", "-bind=127.0.0.1")
    with agent(*flags) as process:
        said(process, "leading")
        process.kill()
        process.wait()
    with agent(*flags) as process:
        said(process, "leading")
        assert ended(process, signal.SIGTERM) == 0
    assert json.loads((tmp_path / "node.json").read_text())["incarnation"] == 2
    assert json.loads((tmp_path / "tables.json").read_text())["state"] == "clean"
