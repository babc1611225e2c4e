"""Commands in containers, against a daemon that the test plays."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import uvloop

from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from quorate.monitoring.definitions import CheckDefinition
from quorate.runtime.probes.found import ProbeFinding
from tests.unit.runtime.probes.lab import check, probed, request_of

Asked = list[tuple[str, Any]]


def frame(data: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def reply(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def run(
    definition: CheckDefinition,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    code: object = 0,
    output: bytes = b"",
    create: str = "201 Created",
) -> tuple[ProbeFinding, Asked]:
    asked: Asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, body = await request_of(reader)
        verb, path, _ = line.split(" ")
        asked.append((f"{verb} {path}", json.loads(body) if body else None))
        if path.startswith("/containers/"):
            writer.write(reply(b'{"Id": "e1"}' if create[0] == "2" else b"no", create))
        elif path == "/exec/e1/start":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\n")
            for place in range(0, len(output), 3):  # frames come in pieces of any length
                writer.write(output[place : place + 3])
                await writer.drain()
        else:
            writer.write(reply(json.dumps({"ExitCode": code}).encode()))
        await writer.drain()
        writer.close()

    async def story() -> ProbeFinding:
        path = str(folder / "d.sock")
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        server = await asyncio.start_unix_server(serve, path)
        try:
            return await probed(definition)
        finally:
            server.close()

    return uvloop.run(story()), asked


def test_a_command_runs_in_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = frame(b"some ") + frame(b"", 2) + frame(b"thing\n", 2)
    found, asked = run(
        check(docker="a/b", args=("ls", "-l")), tmp_path, monkeypatch, code=1, output=output
    )
    assert found == (WARNING, "some thing\n")
    assert [path for path, _ in asked] == [
        "POST /containers/a%2Fb/exec", "POST /exec/e1/start", "GET /exec/e1/json",
    ]  # fmt: skip
    assert asked[0][1]["Cmd"] == ["ls", "-l"]


def test_a_shell_runs_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = run(check(docker="c", shell="/bin/sh", args=("a; b",)), tmp_path, monkeypatch)
    assert (found, asked[0][1]["Cmd"]) == ((PASSING, ""), ["/bin/sh", "-c", "a; b"])


@pytest.mark.parametrize("code", [None, "0", [], 2])
def test_any_other_end_is_critical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: object
) -> None:
    found, _ = run(check(docker="c", args=("a",)), tmp_path, monkeypatch, code=code)
    assert found.status == CRITICAL


def test_a_container_that_is_not_there_is_critical_and_the_answer_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, asked = run(
        check(docker="c", args=("a",)), tmp_path, monkeypatch, create="404 Not ProbeFinding"
    )
    assert found == (CRITICAL, "POST /containers/c/exec: 404 Not ProbeFinding: no")
    assert len(asked) == 1


def test_without_a_daemon_or_a_command_it_is_critical(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("unix:///no/such.sock", "tcp://127.0.0.1:1", "ssh://h"):
        monkeypatch.setenv("DOCKER_HOST", place)
        assert uvloop.run(probed(check(docker="c", args=("a",)))).status == CRITICAL
    assert "no Args" in uvloop.run(probed(check(docker="c"))).output
