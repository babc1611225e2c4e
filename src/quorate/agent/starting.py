"""Starting an agent: its sockets and files, why they cannot be used, and what it prints first."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

from quorate.agent.settings import UNIX, AgentSettings
from quorate.base.ports import Status
from quorate.base.versions import CONSUL_VERSION, QUORATE_VERSION
from quorate.runtime.addresses import join_address


class StartError(Exception):
    """The node cannot start; the text says what to do."""


def cannot_listen(error: OSError, host: str, port: int, flag: str) -> StartError:
    """The error of an address that cannot be used, with the flag that sets its port."""
    why, where = error.strerror or str(error), f"{host}, port {port}"
    if host.startswith(UNIX):
        return StartError(f"cannot listen on {host}: {why}")
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"port {port} on {host} is in use by another process: stop that one, or choose "
            f"another port with {flag}"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return StartError(f"no permission to listen on {where}: choose one above 1023 with {flag}")
    if error.errno == errno.EADDRNOTAVAIL:
        why = (
            "this machine has no such address; `ip addr` lists those that it has. 0.0.0.0 means "
            "all of them"
        )
    return StartError(f"cannot listen on {where}: {why}")


@contextlib.contextmanager
def data_directory(settings: AgentSettings) -> Generator[Path]:
    """The data directory; a temporary one if none is configured."""
    if settings.data_dir is not None:
        yield settings.data_dir
        return
    with tempfile.TemporaryDirectory(prefix="quorate-dev-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@contextlib.contextmanager
def pid_file(path: Path | None) -> Generator[None]:
    """Write the process id to a file while the body runs; missing folders are created.

    To be entered when the node has its data directory and its ports: a second node started by
    mistake fails on those, and must not change the file of the first.

    Raises:
        StartError: It cannot be written.
    """
    if path is None:
        yield
        return
    own = f"{os.getpid()}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(own)
    except OSError as error:
        raise StartError(f"cannot write the pid file {path}: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it has been removed
            if path.read_text() == own:
                path.unlink()


def startup_block(settings: AgentSettings, status: Status, data_dir: Path) -> str:
    """The lines that an agent prints for people when it has started."""
    port = settings.http_port
    served = ", ".join(
        host if host.startswith(UNIX) else join_address(host, port or 0)
        for host in settings.clients
        if port is not None or host.startswith(UNIX)
    )
    voters = status.configuration.voter_ids
    members = sorted(status.configuration.members, key=lambda member: member.name)
    names = (f"{each.name}{'' if each.id in voters else ' (learner)'}" for each in members)
    kept = "" if settings.data_dir is not None else " (temporary: it goes with this process)"
    rows = [
        ("Version", f"{QUORATE_VERSION} (HTTP API of Consul {CONSUL_VERSION})"),
        ("Node", f"{settings.node_name} ({status.node.id})"),
        ("Datacenter", settings.node.datacenter),
        ("HTTP", served or "none"),
        ("Server port", settings.address),
        ("Data directory", f"{data_dir}{kept}"),
        ("Cluster", status.cluster_id or "none yet"),
        ("Members", ", ".join(names) or "none yet"),
    ]
    if settings.join:
        rows.append(("Joins", ", ".join(settings.join)))
    if status.reason:
        rows.append(("State", status.reason))
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:>{width}}: {value}" for name, value in rows]
    return "\n".join(["==> Quorate agent running", *lines, "==> Log:"])
