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
import gc
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from structlog.typing import FilteringBoundLogger

from quorate.agent.entries import AgentEntries
from quorate.agent.files import ConfigSources
from quorate.agent.listeners import Listeners
from quorate.agent.logs import Logs
from quorate.agent.process import AgentProcess
from quorate.agent.settings import AgentSettings, ConfigError, settings_of
from quorate.agent.starting import (
    StartError,
    cannot_listen,
    data_directory,
    pid_file,
    startup_block,
)
from quorate.base.effects import OLD_COPY, Halt
from quorate.base.errors import InvariantError, QuorateError, StorageError
from quorate.base.versions import QUORATE_VERSION
from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.http.config import HttpConfig
from quorate.net.listening import first_listener
from quorate.runtime import descriptors
from quorate.runtime.datadir import is_blank, renew_datadir
from quorate.runtime.mapfile import STEP_BYTES
from quorate.runtime.server import NodeServer, ServerSettings, start_server
from quorate.runtime.storage import StorageSettings
from quorate.runtime.wal import WalSettings
from quorate.wire.journal import Layout

EXIT_START = 1
EXIT_HALTED = 3
EXIT_BUG = 70
EXIT_DISK = 74

_ADVICE = "Nothing was started. quorate agent -h lists the flags"
_ADVICE_DATA_DIR = "; -dev needs no data_dir"

STOP_S = 9.0
"""How long a clean stop may take; then the node ends as by a crash, and recovers at its start."""

DEV_SEGMENT_BYTES = 4 * 1024 * 1024
DEV_TABLES_BYTES = 16 * 1024 * 1024
FILES_MIN = 64
"""Fewer do not suffice for a node, its reserve and a client; the event loop aborts then."""

FILES_WANTED = 4096
"""Below this limit of open files a node logs a warning."""


class OldCopyError(Exception):
    """The data directory is an old copy: the node may continue under a new id only.

    Its arguments are the addresses of the other members.
    """


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
    try:
        connections_max = min(settings.http.connections_max, _raise_limit_of_files(log))
        with data_directory(settings) as data_dir:
            http = msgspec.structs.replace(
                settings.http, spool_dir=str(data_dir), connections_max=connections_max
            )
            settings = msgspec.structs.replace(settings, http=http, dns=_within(settings.dns, http))
            return _run_nodes(AgentProcess(sources, settings, logs, warnings), data_dir)
    except (StartError, StorageError) as error:
        return _refused(str(error))
    except InvariantError as error:
        return _exit_code(error, log)


def _within(dns: DnsConfig, http: HttpConfig) -> DnsConfig:
    """The limits of DNS, so that its sockets leave most file descriptors to HTTP."""
    share = max(1, http.connections_max // 8)
    return msgspec.structs.replace(
        dns,
        connections_max=min(dns.connections_max, share),
        queries_forwarded_max=min(dns.queries_forwarded_max, share),
    )


def _run_nodes(process: AgentProcess, data_dir: Path) -> int:
    """Run a node; then another, under a new id, if its data directory proves to be an old copy."""
    for is_new in (False, True):
        try:
            return uvloop.run(_serve(process, data_dir))
        except OldCopyError as old:
            if is_new:  # a directory that was just created: it is in the log
                break
            kept = renew_datadir(data_dir)
            process.logs.log.warning("starting again under a new id", set_aside=str(kept))
            # It may only join: its cluster exists, so it bootstraps none.
            join = tuple(dict.fromkeys((*process.settings.join, *old.args)))
            process = process.joining(join)
    return EXIT_HALTED


def _refused(text: str) -> int:
    sys.stderr.write(f"==> {text}\n")
    return EXIT_START


def _raise_limit_of_files(log: FilteringBoundLogger) -> int:
    """Raise the limit of open files as far as possible; returns how many clients may use.

    Raises:
        StartError: It is too low for a node.
    """
    before, limit = descriptors.raise_limit()
    if limit < FILES_MIN:
        raise StartError(
            f"only {limit} files may be open, and a node needs {FILES_MIN}: raise the limit "
            "(LimitNOFILE, ulimit -Hn)"
        )
    descriptors.RESERVE.fill()
    if limit != before:
        log.info("limit of open files", limit=limit, was=before)
    if limit < FILES_WANTED:
        log.warning("few files may be open: raise the limit (LimitNOFILE, ulimit -Hn)", limit=limit)
    return descriptors.for_clients(limit)


async def _serve(process: AgentProcess, data_dir: Path) -> int:
    loop, settings, log = asyncio.get_running_loop(), process.settings, process.logs.log
    loop.add_signal_handler(signal.SIGINT, process.end, "leaves_on_interrupt")
    loop.add_signal_handler(signal.SIGTERM, process.end, "leaves_on_terminate")
    loop.add_signal_handler(signal.SIGHUP, process.hang_up)
    try:
        listener = first_listener(settings.bind, settings.server_port)
    except OSError as error:
        raise cannot_listen(error, settings.bind, settings.server_port, "-server-port") from error
    is_new = is_blank(data_dir)
    server = await start_server(_server_settings(settings, data_dir), listener, log)
    loop.set_exception_handler(lambda _, context: _report(server, log, context))
    listeners = Listeners(log)
    with ExitStack() as stack:
        kept_in = None if settings.is_dev else data_dir
        entries = AgentEntries(server.local, kept_in, settings, log, is_new=is_new)
        stack.callback(entries.stop)
        try:
            entries.restore(settings.definitions)
            await listeners.open(server.local, settings, process, entries.agent)
            stack.enter_context(pid_file(settings.pid_file))
        except StartError:
            await listeners.close()
            await server.close(is_clean=True)
            raise
        process.started(server, listeners, entries.agent)
        entries.start()
        _log_start(process, data_dir, server)
        await _until_stopped(process, server)
        await entries.end_probes()
        return await _stop(server, listeners, log)


def _log_start(process: AgentProcess, data_dir: Path, server: NodeServer) -> None:
    settings, logs = process.settings, process.logs
    logs.log.info(
        "running", version=QUORATE_VERSION, node=settings.node_name, id=server.member.id,
        http=settings.http_address, peers=settings.address, data=str(data_dir),
    )  # fmt: skip
    if not settings.log_json:
        status = server.local.status()
        logs.say(startup_block(settings, status, data_dir))


async def _until_stopped(process: AgentProcess, server: NodeServer) -> None:
    """Run until a signal or the node itself ends that."""
    gc.collect()
    gc.freeze()  # all objects so far live on: later collections need not visit them
    stop = asyncio.get_running_loop().create_task(process.stopping.wait())
    ends: list[asyncio.Future[Any]] = [stop, server.ended]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    process.logs.close()


def _report(server: NodeServer, log: FilteringBoundLogger, context: dict[str, Any]) -> None:
    """Log what the loop reports, without the arguments of callbacks, which hold clients' values."""
    error = context.get("exception")
    if isinstance(error, BaseException):
        server.local.report(error)
    else:
        log.warning("event loop", what=context.get("message", ""))


async def _stop(server: NodeServer, listeners: Listeners, log: FilteringBoundLogger) -> int:
    """End a node; returns the exit code.

    Raises:
        OldCopyError: It ended because its directory is an old copy.
    """
    log.info("stopping")
    members = server.local.status().configuration.members
    try:
        async with asyncio.timeout(STOP_S):
            await listeners.close()
            await server.stop()
    except TimeoutError:
        log.warning("the clean stop took too long")
        await server.close()
    if not server.ended.done():
        log.info("stopped")
        return 0
    why = server.ended.result()
    code = _exit_code(why, log)
    if isinstance(why, Halt) and why.code == OLD_COPY:
        raise OldCopyError(*(each.address for each in members if each.id != server.member.id))
    return code


def _exit_code(why: Halt | BaseException, log: FilteringBoundLogger) -> int:
    """Log why the node ended by itself; returns the exit code."""
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


def _server_settings(settings: AgentSettings, data_dir: Path) -> ServerSettings:
    is_dev = settings.is_dev
    layout = Layout(segment_bytes=DEV_SEGMENT_BYTES if is_dev else settings.wal_segment_bytes)
    wal = WalSettings(layout=layout, sync=settings.wal_sync, free_bytes_min=settings.free_bytes_min)
    tables_step_bytes = DEV_TABLES_BYTES if is_dev else STEP_BYTES
    return ServerSettings(
        data_dir, settings.node_name, settings.address, http=settings.http_address,
        join=settings.join, expect=settings.expect, is_alone=settings.is_alone, node=settings.node,
        storage=StorageSettings(wal, tables_step_bytes, settings.snapshot_log_bytes),
    )  # fmt: skip
