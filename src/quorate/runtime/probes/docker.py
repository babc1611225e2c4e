"""A command in a container, run by the API of Docker.

Source: https://docs.docker.com/reference/api/engine/, Exec.
"""

import json
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

import msgspec

from quorate.monitoring.definitions import CheckDefinition
from quorate.runtime.probes.found import OutputTail, ProbeError, ProbeFinding, of_exit_code
from quorate.runtime.probes.responses import Response, request_bytes
from quorate.runtime.probes.targets import Streams, address_of, connected, connected_to_file

SOCKET = "/var/run/docker.sock"

_HEADER_BYTES = 8
_ANSWER_BYTES_MAX = 256 * 1024


class _Frames:
    """The output of a command, as it comes: frames of a header (stream, length) and a payload."""

    def __init__(self, tail: OutputTail) -> None:
        self._tail = tail
        self._header = b""
        self._left = 0

    def add(self, data: bytes) -> None:
        """Take a piece, which may end anywhere."""
        while data:
            if self._left:
                payload, data = data[: self._left], data[self._left :]
                self._left -= len(payload)
                self._tail.add(payload)
                continue
            missing = _HEADER_BYTES - len(self._header)
            self._header, data = self._header + data[:missing], data[missing:]
            if len(self._header) == _HEADER_BYTES:
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""


async def probe_docker(definition: CheckDefinition, bytes_max: int) -> ProbeFinding:
    """Run a command in a container; its exit code decides.

    Args:
        definition: Of the check.
        bytes_max: What is kept of the output.
    """
    args = definition.args
    if not args:
        raise ProbeError("the check has no Args to run in the container")
    command = [definition.shell, "-c", *args] if definition.shell else list(args)
    wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": command}
    container = quote(definition.docker, safe="")
    made = await _asked("POST", f"/containers/{container}/exec", wanted)
    run, tail = quote(str(made.get("Id", "")), safe=""), OutputTail(bytes_max)
    response = Response(_Frames(tail).add)
    await _exchanged("POST", f"/exec/{run}/start", {"Detach": False, "Tty": False}, response)
    if response.status != 200:
        raise ProbeError(f"starting the command: {response.status} {response.reason}")
    code = (await _asked("GET", f"/exec/{run}/json", None)).get("ExitCode")
    if not isinstance(code, int):
        raise ProbeError("the command has no exit code")
    return of_exit_code(code, tail.captured)


async def _asked(method: str, path: str, body: object) -> dict[str, Any]:
    """The answer of an endpoint that answers JSON."""
    tail = OutputTail(_ANSWER_BYTES_MAX)
    response = Response(tail.add)
    await _exchanged(method, path, body, response)
    if not 200 <= response.status < 300:
        raise ProbeError(f"{method} {path}: {response.status} {response.reason}: {tail.text}")
    try:
        return msgspec.json.decode(tail.text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProbeError(f"{method} {path}: the answer is no JSON object") from error


async def _exchanged(method: str, path: str, body: object, response: Response) -> None:
    data = b"" if body is None else json.dumps(body).encode()
    headers = [("Host", "docker")] + ([("Content-Type", "application/json")] if data else [])
    async with _daemon()() as streams:
        streams[1].write(request_bytes(method, path, headers, data))
        await response.read(streams)


def _daemon() -> Callable[[], AbstractAsyncContextManager[Streams]]:
    """How the daemon is reached: as DOCKER_HOST says."""
    place = os.environ.get("DOCKER_HOST", "") or f"unix://{SOCKET}"
    scheme, _, rest = place.partition("://")
    if scheme == "unix":
        return lambda: connected_to_file(rest)
    if scheme == "tcp":
        host, port = address_of(rest.rstrip("/"), "tcp")
        return lambda: connected(host, port)
    raise ProbeError(f"DOCKER_HOST: {scheme!r} is neither unix nor tcp")
