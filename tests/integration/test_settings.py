"""Cluster settings over restarts and joins, with real directories and sockets."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from msgspec.structs import replace

from quorate.base.config import ClusterConfig, local
from quorate.base.errors import StorageError
from quorate.recovery.directories import recover
from quorate.runtime.datadir import open_datadir
from quorate.runtime.server import NodeServer, ServerSettings, start_server
from quorate.runtime.storage import StorageSettings
from quorate.runtime.wal import WalSettings
from quorate.wire.journal import Layout

pytestmark = pytest.mark.integration

SMALL = StorageSettings(WalSettings(layout=Layout(segment_bytes=4 * 1024 * 1024)), 16 * 1024 * 1024)
BEFORE, OTHER = ClusterConfig(removals_max=3), ClusterConfig(removals_max=4, alpha_slots=16)


class Log:
    """What a node logged."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.logger: Any = structlog.wrap_logger(
            structlog.PrintLogger(),
            processors=[self._note],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )

    def _note(self, _: object, __: str, line: Any) -> Any:
        self.lines.append(line)
        raise structlog.DropEvent


async def started(
    directory: Path,
    cluster: ClusterConfig,
    *,
    join: str = "",
    log: Log | None = None,
) -> NodeServer:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    settings = ServerSettings(
        directory,
        directory.name,
        f"127.0.0.1:{listener.getsockname()[1]}",
        join=(join,) if join else (),
        is_alone=not join,
        node=replace(local(), cluster=cluster),
        storage=SMALL,
    )
    return await start_server(settings, listener, (log or Log()).logger)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - a node notifies nobody of this
        await asyncio.sleep(0.01)


async def leading(directory: Path, cluster: ClusterConfig) -> NodeServer:
    """A cluster of one, which is on disk."""
    body = await started(directory, cluster)
    await until(lambda: body.local.status().role == "leader")
    return body


def stored(directory: Path) -> ClusterConfig | None:
    held = open_datadir(directory)
    held.close()
    return held.known_cluster


def test_a_node_is_not_started_under_other_values_of_fixed_settings(tmp_path: Path) -> None:
    async def script() -> None:
        await (await leading(tmp_path / "a", BEFORE)).stop()
        for _ in range(2):  # a refused start does not store what it was refused for
            with pytest.raises(StorageError, match="removals_max = 3") as refused:
                await started(tmp_path / "a", OTHER)
            assert refused.value.code == "settings"
            assert "alpha_slots = 8" in refused.value.text
            assert "now says 16, 4" in refused.value.text
        again = replace(BEFORE, window_slots=2)
        await (await leading(tmp_path / "a", again)).stop()
        assert stored(tmp_path / "a") == again

    asyncio.run(script())


def test_a_node_with_other_settings_is_refused_and_reported_which_differ(tmp_path: Path) -> None:
    async def script() -> None:
        first, log = await leading(tmp_path / "a", BEFORE), Log()
        address = first.member.address
        other = await started(tmp_path / "b", OTHER, join=address, log=log)
        refusal = "removals_max is 3 there, 4 here"
        await until(lambda: any(refusal in str(line) for line in log.lines))
        assert not other.local.status().cluster_id
        await other.stop()
        same = await started(tmp_path / "b", BEFORE, join=address)  # it belonged to no cluster
        await until(lambda: bool(same.local.status().cluster_id))
        await same.stop()
        await first.stop()

    asyncio.run(script())


def test_a_recovered_cluster_may_have_other_settings(tmp_path: Path) -> None:
    async def script() -> None:
        await (await leading(tmp_path / "a", BEFORE)).stop()
        recover([tmp_path / "a"], tmp_path / "new")
        await (await leading(tmp_path / "new", OTHER)).stop()

    asyncio.run(script())
