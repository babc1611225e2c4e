"""`quorate agent` as a process: how fast it starts, how it ends, what it says when it can not."""

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
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
def agent(*flags: str, is_quiet: bool = False) -> Generator[subprocess.Popen[str], None, None]:
    """A running agent; one that has said so, unless it is quiet."""
    ports = f"-server-port={free_port()}", "-http-port=-1", "-dns-port=-1"
    words = [*MAIN, "agent", "-log-json", *ports, *flags]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            if not is_quiet:
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


def test_clients_may_come_by_a_socket_in_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "run" / "q.sock"
    config = tmp_path / "a.json"
    keys = {"addresses": {"http": f"unix://{path}"}, "unix_sockets": {"mode": "0600"}}
    config.write_text(json.dumps(keys))
    flags = ("-dev", f"-config-file={config}")

    def run(*words: str) -> str:
        environment = os.environ | {"CONSUL_HTTP_ADDR": f"unix://{path}"}
        return subprocess.check_output([*MAIN, *words], env=environment, text=True, timeout=HANG_S)

    with agent(*flags) as process:
        assert path.stat().st_mode & 0o777 == 0o600
        assert run("kv", "put", "a", "1") == "Success! Data written to: a\n"
        assert run("kv", "get", f"-http-addr=unix://{path}", "a") == "1\n"
        assert run("lock", "l", "echo held") == "held\n"
        text = refused(*flags, f"-server-port={free_port()}", "-http-port=-1")
        assert f"cannot listen on unix://{path}: another process listens there" in text
        process.kill()
        process.wait()
    assert path.is_socket()
    with agent(*flags) as process:  # what a killed node left is replaced
        assert run("kv", "put", "a", "1") == "Success! Data written to: a\n"
        ended(process, signal.SIGTERM)
    assert not path.exists()


def api(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """What a node answers."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_S)
    try:
        line.request(method, path)
        reply = line.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        line.close()


def command(port: int, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command line for the node with this HTTP port."""
    environment = os.environ | {"CONSUL_HTTP_ADDR": f"127.0.0.1:{port}"}
    return subprocess.run(
        [*MAIN, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def test_a_reload_changes_what_may_change_and_names_what_may_not(tmp_path: Path) -> None:
    config, port = tmp_path / "a.json", free_port()

    def write(**keys: object) -> None:
        config.write_text(json.dumps(keys))

    write(log_level="info", node_meta={"rack": "r1"})
    with agent("-dev", f"-config-file={config}", f"-http-port={port}") as process:
        said(process, "leading")
        write(
            log_level="warn",
            node_meta={"rack": "r2"},
            datacenter="dc2",
            http_config={"response_headers": {"X-New": "1"}, "block_endpoints": ["/v1/session"]},
        )
        process.send_signal(signal.SIGHUP)
        assert said(process, "needs a restart")["keys"] == "datacenter"
        deadline_s = time.monotonic() + HANG_S
        while json.loads(api(port, "/v1/agent/self")[2])["Meta"].get("rack") != "r2":
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert api(port, "/v1/agent/self")[1]["X-New"] == "1"
        assert api(port, "/v1/session/list")[0] == 403
        assert json.loads(api(port, "/v1/agent/self")[2])["Config"]["Datacenter"] == "dc1"

        write(log_level="info")
        assert command(port, "reload").stdout == "Configuration reload triggered\n"
        assert "X-New" not in api(port, "/v1/agent/self")[1]
        write(nonsense=1)
        done = command(port, "reload")
        assert done.returncode == 1
        assert "invalid config key nonsense" in done.stderr
        assert said(process, "not reloaded: nothing was changed")
        assert ended(process, signal.SIGTERM) == 0


def test_the_log_can_be_followed_at_a_level_of_its_own() -> None:
    port = free_port()
    with agent("-dev", "-log-level=err", f"-http-port={port}", is_quiet=True) as process:
        deadline_s = time.monotonic() + HANG_S
        while command(port, "kv", "put", "a", "1").returncode:
            assert time.monotonic() < deadline_s
        assert "Unknown log level: loud" in command(port, "monitor", "-log-level=loud").stderr
        environment = os.environ | {"CONSUL_HTTP_ADDR": f"127.0.0.1:{port}"}
        words = [*MAIN, "monitor", "-log-level=info", "-log-json"]
        with subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as follower:
            try:
                # Only what is said after it began to follow is seen: say something until it is.
                lines: list[str] = []
                reader = threading.Thread(target=lambda: lines.extend(follower.stdout or ()))
                reader.start()
                while not lines:
                    assert time.monotonic() < deadline_s
                    command(port, "reload")
                process.send_signal(signal.SIGTERM)
                assert follower.wait(HANG_S) == 0
                reader.join()
            finally:
                follower.kill()
        events = [json.loads(line)["event"] for line in lines]
        assert "reloaded" in events
        assert events[-1] == "the node stops"
        assert process.wait(HANG_S) == 0


def test_a_node_leaves_and_stops(tmp_path: Path) -> None:
    port = free_port()
    flags = ("-server", "-bootstrap", f"-data-dir={tmp_path}", "-bind=127.0.0.1")
    with agent(*flags, f"-http-port={port}") as process:
        said(process, "leading")
        deadline_s = time.monotonic() + HANG_S
        while command(port, "kv", "put", "a", "1").returncode:
            assert time.monotonic() < deadline_s
        done = command(port, "leave")
        assert (done.returncode, done.stdout) == (0, "Graceful leave complete\n")
        assert "It was the last member: it only stopped" in done.stderr
        assert process.wait(HANG_S) == 0
    with agent(*flags, f"-http-port={port}") as process:  # nothing was lost
        said(process, "leading")
        assert command(port, "kv", "get", "a").stdout == "1\n"


def test_the_only_voter_does_not_leave_its_learners_alone(tmp_path: Path) -> None:
    port, server_port = free_port(), free_port()
    first = ("-server", "-bootstrap", f"-data-dir={tmp_path / '1'}", "-bind=127.0.0.1", "-node=n1")
    second = ("-server", f"-data-dir={tmp_path / '2'}", "-bind=127.0.0.1", "-node=n2")
    join = f"-retry-join=127.0.0.1:{server_port}"
    with (
        agent(*first, f"-http-port={port}", f"-server-port={server_port}") as process,
        agent(*second, join),
    ):
        deadline_s = time.monotonic() + HANG_S
        while "learner" not in command(port, "cluster", "list").stdout:
            assert time.monotonic() < deadline_s
        done = command(port, "leave")
        assert done.returncode == 1
        assert "it is the only voter: give another member a vote first" in done.stderr
        assert command(port, "kv", "put", "a", "1").returncode == 0
        assert process.poll() is None


@pytest.mark.parametrize("is_kept", [False, True], ids=["closed", "nohup"])
def test_a_development_node_ends_with_its_terminal_by_default(is_kept: bool) -> None:
    ours, theirs = os.openpty()

    def begin() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        if is_kept:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    words = [
        *MAIN,
        "agent",
        "-dev",
        "-log-json",
        f"-server-port={free_port()}",
        "-http-port=-1",
        "-dns-port=-1",
    ]
    with subprocess.Popen(
        words,
        stdin=theirs,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=begin,  # noqa: PLW1509
    ) as process:
        try:
            os.close(theirs)
            said(process, "leading")
            process.send_signal(signal.SIGHUP)
            said(process, "reloaded")
            os.close(ours)  # the kernel sends SIGHUP to who leads the session
            said(process, "reloaded" if is_kept else "stopped")
            assert ended(process, signal.SIGTERM) == 0 if is_kept else process.wait(HANG_S) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("is_dev", [False, True], ids=["server", "dev"])
def test_a_node_whose_log_cannot_be_written_goes_on_or_ends_as_it_should(
    is_dev: bool, tmp_path: Path
) -> None:
    ours, theirs = os.openpty()

    def begin() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    port = free_port()
    kind = ["-dev"] if is_dev else ["-server", "-bootstrap", f"-data-dir={tmp_path / 'n1'}"]
    words = [*MAIN, "agent", *kind, f"-server-port={free_port()}", f"-http-port={port}"]
    with subprocess.Popen(
        words,
        stdin=theirs,
        stderr=theirs,
        preexec_fn=begin,  # noqa: PLW1509
    ) as process:
        try:
            os.close(theirs)
            text = b""
            while b"leading" not in text:
                text += os.read(ours, 65536)
            os.close(ours)  # the kernel sends SIGHUP to who leads the session
            if is_dev:
                assert process.wait(HANG_S) == 0
                return
            assert command(port, "kv", "put", "a", "1").returncode == 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANG_S) == 0
        finally:
            process.kill()


def test_an_address_of_another_machine_is_refused_with_what_would_help() -> None:
    assert "this machine has no such address" in refused("-dev", "-bind=192.0.2.1")
    assert "this machine has no such address" in refused(
        "-dev", "-client=192.0.2.1", f"-server-port={free_port()}"
    )


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "thesis"
    path.write_text("years of work")
    ports = f"-server-port={free_port()}", "-http-port=-1"
    assert "a file that is no socket is in the way" in refused(
        "-dev", f"-client=unix://{path}", *ports
    )
    assert path.read_text() == "years of work"


def test_a_request_for_protection_is_refused_and_named() -> None:
    text = refused("-dev", "-encrypt=d1N0MSI3zWWBgVsJN6tgtbnWY9YglR5YW/sQ1qeUth4=")
    assert "encrypt asks for encryption between nodes" in text
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


def test_the_faults_of_flags_and_files_are_reported_without_starting(tmp_path: Path) -> None:
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
