"""One node as a process.

| Exit code | Meaning |
|---|---|
| 0 | stopped by a signal |
| 1 | not started: flags, files, addresses or the data directory are wrong |
| 3 | halted: the node must not go on, its log says why |
| 70 | a bug in Quorate |
| 74 | the disk failed |
"""

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from structlog.typing import FilteringBoundLogger

from quorate import __version__
from quorate.agent.files import ConfigSources
from quorate.agent.listeners import HttpListeners, http_config
from quorate.agent.logs import Logs
from quorate.agent.pidfile import PidFileError, pid_file
from quorate.agent.process import AgentProcess
from quorate.agent.settings import UNIX, AgentSettings, ConfigError, settings_of
from quorate.agent.startup import startup_block
from quorate.base.effects import OLD_COPY, Halt
from quorate.base.errors import InvariantError, QuorateError, StorageError
from quorate.base.versions import CONSUL_VERSION
from quorate.net.listening import first_listener
from quorate.runtime import descriptors
from quorate.runtime.body import Body, BodySettings, start_body
from quorate.runtime.datadir import renew_datadir
from quorate.runtime.home import HomeSettings
from quorate.runtime.mapfile import STEP_BYTES
from quorate.runtime.wal import WalSettings
from quorate.wire.journal import Layout

EXIT_START = 1
EXIT_HALTED = 3
EXIT_BUG = 70
EXIT_DISK = 74

_ADVICE = "Nothing was started. quorate agent -h lists the flags"
_ADVICE_DATA_DIR = "; -dev needs no data_dir"

STOP_S = 9.0
"""A clean stop takes no longer; then the node just ends, and the next start sorts it out."""

DEV_SEGMENT_BYTES = 4 * 1024 * 1024
DEV_TABLES_BYTES = 16 * 1024 * 1024
FILES_WANTED = 4096
"""With fewer open files a node says so."""


class OldCopyError(Exception):
    """The data directory is an old copy: the node may go on under a new id only.

    Its arguments are the addresses of the other members.
    """


class StartError(Exception):
    """The node can not start; the text says what to do."""


def run(sources: ConfigSources) -> int:
    """Run a node until it is stopped; returns the exit code."""
    try:
        settings, warnings = settings_of(sources)
    except ConfigError as error:
        more = _ADVICE_DATA_DIR if "data_dir cannot be empty" in str(error) else ""
        return _refused(f"{str(error).rstrip()}\n{_ADVICE}{more}.")
    logs = Logs(settings.log_level, is_json=settings.log_json)
    log = logs.log
    for warning in warnings:
        log.warning(warning)
    connections_max = _raise_limit_of_files(log)
    try:
        with _data_dir(settings) as data_dir:
            return _lives(sources, settings, data_dir, logs, connections_max)
    except (StartError, PidFileError, StorageError) as error:
        return _refused(str(error))
    except InvariantError as error:
        return _told(error, log)


def _lives(
    sources: ConfigSources,
    settings: AgentSettings,
    data_dir: Path,
    logs: Logs,
    connections_max: int,
) -> int:
    """Run a node; a second one, under a new id, if its directory turns out to be an old copy."""
    for is_new in (False, True):
        try:
            return uvloop.run(_serve(sources, settings, data_dir, logs, connections_max))
        except OldCopyError as old:
            if is_new:  # a directory that was just made: told, and nothing more to be tried
                break
            kept = renew_datadir(data_dir)
            logs.log.warning("starting again under a new id", set_aside=str(kept))
            # It may only join: what it belonged to exists, so it founds nothing.
            join = tuple(dict.fromkeys((*settings.join, *old.args)))
            settings = msgspec.structs.replace(settings, join=join, expect=0, is_alone=False)
    return EXIT_HALTED


def _refused(text: str) -> int:
    sys.stderr.write(f"==> {text}\n")
    return EXIT_START


def _raise_limit_of_files(log: FilteringBoundLogger) -> int:
    """Have as many file descriptors as the system allows; returns how many clients may take."""
    before, limit = descriptors.raise_limit()
    descriptors.RESERVE.fill()
    if limit != before:
        log.info("limit of open files", limit=limit, was=before)
    if limit < FILES_WANTED:
        log.warning("few files may be open: raise the limit (LimitNOFILE, ulimit -Hn)", limit=limit)
    return descriptors.for_clients(limit)


async def _serve(
    sources: ConfigSources,
    settings: AgentSettings,
    data_dir: Path,
    logs: Logs,
    connections_max: int,
) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    log = logs.log
    process = AgentProcess(sources, settings, logs, stopping.set)
    loop.add_signal_handler(signal.SIGINT, process.interrupt)
    loop.add_signal_handler(signal.SIGTERM, process.terminate)
    loop.add_signal_handler(signal.SIGHUP, process.hang_up)
    listener = _listener(settings.bind, settings.server_port)
    body = await start_body(_body_settings(settings, data_dir), listener, log)
    loop.set_exception_handler(lambda _, context: _report(body, log, context))
    listeners, config = HttpListeners(log), http_config(settings, data_dir, connections_max)
    try:
        await listeners.open(body.local, settings, config, process)
    except OSError as error:
        await listeners.close()
        await body.close(is_clean=True)
        raise _cannot_listen(error, listeners.host, settings.http_port or 0) from error
    process.started(body, listeners)
    try:
        with pid_file(settings.pid_file):
            _tell_start(settings, data_dir, body, logs)
            return await _run(body, listeners, stopping, logs)
    except PidFileError:
        await listeners.close()
        await body.close(is_clean=True)
        raise


def _tell_start(settings: AgentSettings, data_dir: Path, body: Body, logs: Logs) -> None:
    logs.log.info(
        "running", version=__version__, node=settings.node_name, id=body.member.id,
        http=settings.http_address, peers=settings.address, data=str(data_dir),
    )  # fmt: skip
    if not settings.log_json:
        status = body.local.status()
        logs.say(startup_block(settings, status, data_dir, __version__, CONSUL_VERSION))


async def _run(body: Body, listeners: HttpListeners, stopping: asyncio.Event, logs: Logs) -> int:
    """Be a node until a signal or the node itself ends that; returns the exit code."""
    gc.collect()
    gc.freeze()  # what is here now stays: later collections need not look at it
    stop = asyncio.get_running_loop().create_task(stopping.wait())
    ends: list[asyncio.Future[Any]] = [stop, body.ended]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    logs.close()
    return await _stop(body, listeners, logs.log)


def _report(body: Body, log: FilteringBoundLogger, context: dict[str, Any]) -> None:
    """What the loop has to tell; of a callback it would tell the arguments, which are values."""
    error = context.get("exception")
    if isinstance(error, BaseException):
        body.local.report(error)
    else:
        log.warning("event loop", what=context.get("message", ""))


async def _stop(body: Body, listeners: HttpListeners, log: FilteringBoundLogger) -> int:
    """End a node; returns the exit code.

    Raises:
        OldCopyError: It ended because its directory is an old copy.
    """
    log.info("stopping")
    members = body.local.status().configuration.members
    try:
        async with asyncio.timeout(STOP_S):
            await listeners.close()
            await body.stop()
    except TimeoutError:
        log.warning("the clean stop took too long")
        await body.close()
    if not body.ended.done():
        log.info("stopped")
        return 0
    why = body.ended.result()
    code = _told(why, log)
    if isinstance(why, Halt) and why.code == OLD_COPY:
        raise OldCopyError(*(each.address for each in members if each.id != body.member.id))
    return code


def _told(why: Halt | BaseException, log: FilteringBoundLogger) -> int:
    """Say why the node ended by itself; returns the exit code."""
    if isinstance(why, Halt):
        log.error("halted", code=why.code, why=why.reason)
        return EXIT_HALTED
    if isinstance(why, QuorateError):
        log.error("the node can not go on", code=why.code, why=why.text)
        return EXIT_DISK
    log.error(
        "a bug in Quorate stopped this node; please report it, with the newest flight-*.jsonl "
        "of its data directory",
        exc_info=why,
    )
    return EXIT_BUG


def _body_settings(settings: AgentSettings, data_dir: Path) -> BodySettings:
    is_dev = settings.is_dev
    layout = Layout(segment_bytes=DEV_SEGMENT_BYTES if is_dev else settings.wal_segment_bytes)
    wal = WalSettings(layout=layout, sync=settings.wal_sync, free_bytes_min=settings.free_bytes_min)
    tables_step_bytes = DEV_TABLES_BYTES if is_dev else STEP_BYTES
    return BodySettings(
        data_dir, settings.node_name, settings.address, http=settings.http_address,
        join=settings.join, expect=settings.expect, is_alone=settings.is_alone, node=settings.node,
        home=HomeSettings(wal, tables_step_bytes, settings.snapshot_log_bytes),
    )  # fmt: skip


def _listener(host: str, port: int) -> socket.socket:
    try:
        return first_listener(host, port)
    except OSError as error:
        raise _cannot_listen(error, host, port) from error


def _cannot_listen(error: OSError, host: str, port: int) -> StartError:
    is_unix, where = host.startswith(UNIX), f"{host}, port {port}"
    if not is_unix and error.errno == errno.EADDRINUSE:
        return StartError(
            f"port {port} on {host} is in use by another process: stop that one, or choose "
            "another port with -http-port or -server-port"
        )
    if not is_unix and error.errno in {errno.EACCES, errno.EPERM}:
        return StartError(f"no permission to listen on {where}: choose one above 1023")
    why = error.strerror or str(error)
    if not is_unix and error.errno == errno.EADDRNOTAVAIL:
        why = (
            "this machine has no such address; `ip addr` lists those that it has. 0.0.0.0 means "
            "all of them"
        )
    return StartError(f"cannot listen on {host if is_unix else where}: {why}")


@contextlib.contextmanager
def _data_dir(settings: AgentSettings) -> Generator[Path]:
    """The data directory; one of its own that goes with the process, if none was named."""
    if settings.data_dir is not None:
        yield settings.data_dir
        return
    with tempfile.TemporaryDirectory(prefix="quorate-dev-", ignore_cleanup_errors=True) as path:
        yield Path(path)
