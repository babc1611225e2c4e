"""Services and checks of an agent over kills and restarts of its process."""

import http.client
import json
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.test_agent import agent, free_port, refused, said
from tests.limits import HANG_S

pytestmark = pytest.mark.integration

POLL_S = 0.02


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_S)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def until(port: int, path: str, is_right: Callable[[list[object]], bool]) -> None:
    """Ask until the answer is right; a node that has no leader yet answers an error."""
    end_s = time.monotonic() + HANG_S
    while True:
        status, body = ask(port, "GET", path)
        if status == 200 and is_right(json.loads(body)):
            return
        assert time.monotonic() < end_s, body
        time.sleep(POLL_S)


def in_database(path: Path, statement: str) -> list[tuple[object, ...]]:
    """Run a statement in the database of an agent that has ended."""
    with closing(sqlite3.connect(path)) as database, database:
        return database.execute(statement).fetchall()


def flags(data_dir: Path, port: int, server_port: int) -> list[str]:
    return [
        "-server", "-bootstrap", f"-data-dir={data_dir}", f"-http-port={port}",
        f"-server-port={server_port}", "-node=n1",
    ]  # fmt: skip


def test_services_come_back_after_a_kill_with_the_status_of_their_checks(tmp_path: Path) -> None:
    port = free_port()
    words = flags(tmp_path / "data", port, free_port())
    with agent(*words) as process:
        until(port, "/v1/health/node/n1", lambda found: len(found) == 1)
        for name in ("web", "api"):
            body = {"Name": name, "Check": {"TTL": "24h"}}
            assert ask(port, "PUT", "/v1/agent/service/register", body)[0] == 200
            status, found = ask(port, "GET", f"/v1/health/service/{name}")
            assert (status, len(json.loads(found))) == (200, 1)  # as soon as it is answered
        assert ask(port, "PUT", "/v1/agent/check/pass/service:web")[0] == 200
        process.send_signal(signal.SIGKILL)
        process.wait()
    database = tmp_path / "data" / "entries" / "entries.sqlite"
    damage = "INSERT INTO entries VALUES ('service', CAST('broken' AS BLOB), CAST('{' AS BLOB))"
    assert len(in_database(database, "SELECT * FROM entries WHERE kind = 'service'")) == 2
    in_database(database, damage)
    with agent(*words, is_quiet=True) as process:
        assert said(process, "a stored service or check is damaged: set aside")["id"] == "broken"
        said(process, "running")
        until(port, "/v1/health/service/web?passing", lambda found: len(found) == 1)
        until(port, "/v1/health/service/api", lambda found: len(found) == 1)
        assert json.loads(ask(port, "GET", "/v1/health/service/api?passing")[1]) == []
        own = json.loads(ask(port, "GET", "/v1/agent/services")[1])
        assert sorted(own) == ["api", "web"]
        assert ask(port, "PUT", "/v1/agent/service/deregister/web")[0] == 200
        assert json.loads(ask(port, "GET", "/v1/health/service/web")[1]) == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0
    assert len(in_database(database, "SELECT * FROM entries WHERE kind = 'service'")) == 1


def test_services_that_an_older_version_registered_are_kept(tmp_path: Path) -> None:
    """An older version had the rows, and no folder of entries."""
    port = free_port()
    words = flags(tmp_path / "data", port, free_port())
    with agent(*words) as process:
        until(port, "/v1/health/node/n1", lambda found: len(found) == 1)
        for name in ("web", "api"):
            body = {"Name": name, "Port": 80}
            assert ask(port, "PUT", "/v1/agent/service/register", body)[0] == 200
        check = {"Name": "disk", "TTL": "24h", "Status": "warning"}
        assert ask(port, "PUT", "/v1/agent/check/register", check)[0] == 200
        process.send_signal(signal.SIGKILL)
        process.wait()
    database = tmp_path / "data" / "entries" / "entries.sqlite"
    mark = "SELECT * FROM entries WHERE kind = 'mark'"
    assert in_database(database, mark)  # a new directory has nothing to adopt
    shutil.rmtree(database.parent)
    with agent(*words, is_quiet=True) as process:
        said(process, "services and checks of an older version are kept from now on")
        until(port, "/v1/agent/services", lambda found: len(found) == 2)
        until(port, "/v1/agent/checks", lambda found: len(found) == 1)
        assert ask(port, "PUT", "/v1/agent/service/deregister/api")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0
    assert in_database(database, mark)
    with agent(*words) as process:
        until(port, "/v1/health/service/web", lambda found: len(found) == 1)
        found = json.loads(ask(port, "GET", "/v1/health/node/n1")[1])
        assert {each["CheckID"]: each["Status"] for each in found}["disk"] == "warning"
        assert list(json.loads(ask(port, "GET", "/v1/agent/services")[1])) == ["web"]
        assert json.loads(ask(port, "GET", "/v1/health/service/api")[1]) == []


def test_checks_are_probed_and_decide(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    words = flags(tmp_path / "data", port, free_port())
    script = tmp_path / "state"
    script.write_text("exit 0")
    with agent(*words, "-enable-script-checks") as process:
        until(port, "/v1/health/node/n1", lambda found: len(found) == 1)
        url = f"http://127.0.0.1:{port}/v1/status/leader"
        checks = [
            {"HTTP": url, "Interval": "1s"},
            {"TCP": f"127.0.0.1:{port}", "Interval": "1s"},
            {"Args": ["sh", str(script)], "Interval": "1s"},
        ]
        body: dict[str, object] = {"Name": "web", "Checks": checks}
        assert ask(port, "PUT", "/v1/agent/service/register", body)[0] == 200
        body = {"Name": "copy", "Check": {"AliasService": "web"}}
        assert ask(port, "PUT", "/v1/agent/service/register", body)[0] == 200
        for name in ("web", "copy"):
            until(port, f"/v1/health/service/{name}?passing", lambda found: len(found) == 1)
        script.write_text("exit 2")
        for name in ("web", "copy"):
            until(port, f"/v1/health/service/{name}?passing", lambda found: not found)
        script.write_text("exit 0")
        until(port, "/v1/health/service/copy?passing", lambda found: len(found) == 1)
        gone = {"Name": "gone", "TCP": f"127.0.0.1:{other}", "Interval": "1s", "Status": "passing"}
        assert ask(port, "PUT", "/v1/agent/check/register", gone)[0] == 200
        until(port, "/v1/health/service/web?passing", lambda found: not found)  # of the node
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0
    with agent(*words) as process:  # without scripts
        until(port, "/v1/health/node/n1", lambda found: len(found) >= 1)
        until(port, "/v1/health/service/web?passing", lambda found: not found)
        denied = {"Name": "s", "Args": ["true"], "Interval": "1s"}
        status, text = ask(port, "PUT", "/v1/agent/check/register", denied)
        assert (status, b"Scripts are disabled" in text) == (500, True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0


def test_definitions_of_files_come_change_and_go_with_reloads_and_restarts(tmp_path: Path) -> None:
    folder, port = tmp_path / "conf.d", free_port()
    folder.mkdir()
    words = [*flags(tmp_path / "data", port, free_port()), f"-config-dir={folder}"]
    web = 'service { name = "web"  port = %d  check { ttl = "24h" } }\n'
    (folder / "a.hcl").write_text(web % 80 + 'check { name = "disk"  ttl = "24h" }')
    (folder / "b.json").write_text('{"services": [{"name": "api", "id": "api-1", "port": 81}]}')

    def ids() -> list[str]:
        return sorted(json.loads(ask(port, "GET", "/v1/agent/services")[1]))

    with agent(*words) as process:
        until(port, "/v1/health/service/web", lambda found: len(found) == 1)
        until(port, "/v1/health/service/api?passing", lambda found: not found)  # the node's check
        for check in ("service:web", "disk"):
            assert ask(port, "PUT", f"/v1/agent/check/pass/{check}")[0] == 200
        until(port, "/v1/health/service/web?passing", lambda found: len(found) == 1)
        assert ask(port, "PUT", "/v1/agent/service/register", {"Name": "own"})[0] == 200
        (folder / "a.hcl").write_text(web % 82 + 'check { name = "disk"  ttl = "24h" }')
        (folder / "b.json").write_text("{}")
        assert ask(port, "PUT", "/v1/agent/reload")[0] == 200
        assert ids() == ["own", "web"]
        until(port, "/v1/health/service/api", lambda found: not found)
        on_port = "/v1/health/service/web?passing&filter=Service.Port==82"
        until(port, on_port, lambda found: len(found) == 1)  # its checks went on
        (folder / "b.json").write_text('{"check": {"name": "x", "ttl": "1m", "service_id": "no"}}')
        status, text = ask(port, "PUT", "/v1/agent/reload")
        assert (status, b'ServiceID "no" does not exist' in text) == (500, True)
        (folder / "b.json").write_text('{"service": {"name": "new"}}')
        process.send_signal(signal.SIGHUP)
        until(port, "/v1/health/service/new", lambda found: len(found) == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0
    (folder / "b.json").write_text("{}")
    with agent(*words) as process:
        until(port, "/v1/health/service/web", lambda found: len(found) == 1)
        until(port, "/v1/health/service/new", lambda found: not found)
        assert ids() == ["own", "web"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0


def test_a_definition_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "f.hcl"
    path.write_text('check { name = "c"  args = ["true"]  interval = "1s" }')
    ports = f"-http-port={free_port()}", f"-server-port={free_port()}", "-dns-port=-1"
    text = refused("-dev", *ports, f"-config-file={path}")
    assert "Failed to register check 'c': Scripts are disabled on this agent" in text
