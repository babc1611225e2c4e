"""A pytest plugin: py-consul's own suite, with a development node in place of each container.

The suite starts its servers in one function of its root conftest; this puts ours in its place.
"""

import runpy
import sys
import types
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# The suite has a package `tests` of its own, so ours cannot be imported here.
started = runpy.run_path(str(Path(__file__).with_name("servers.py")))["started"]


class Container:
    """What the suite does with a container."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._stack = ExitStack()
        self.port: int = self._stack.enter_context(started(config)).port

    def logs(self) -> bytes:
        return b""

    def stop(self) -> None:
        self._stack.close()

    def remove(self) -> None: ...


def start(
    version: str,  # noqa: ARG001 - a node has one version, whatever is asked for
    acl_master_token: str | None = None,
) -> tuple[Container, int]:
    """Stands for the suite's function of the same signature."""
    if acl_master_token is not None:
        pytest.skip("access control is not built")
    container = Container({"enable_script_checks": True})
    return container, container.port


def provide_docker() -> None:
    """Let `import docker` succeed; nobody calls anything of it."""
    docker = types.ModuleType("docker")
    errors = types.ModuleType("docker.errors")
    for module, names in ((docker, ["DockerClient"]), (errors, ["APIError", "NotFound"])):
        for name in names:
            setattr(module, name, type(name, (Exception,), {}))
    sys.modules.setdefault("docker", docker)
    sys.modules.setdefault("docker.errors", errors)


provide_docker()  # now: the suite's conftest is loaded before any hook of ours


def pytest_sessionstart() -> None:
    """The suite's conftest is loaded by now."""
    sys.modules["conftest"].start_consul_container = start  # type: ignore[attr-defined]
