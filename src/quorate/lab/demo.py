"""The demo: three real nodes on this machine; one is killed, one cut off; nothing is lost."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from quorate.client.bulk import write_all
from quorate.lab.demowork import (
    Copy,
    Writing,
    library_files,
    lost,
    read_copy,
    use_own_client,
    use_py_consul,
)
from quorate.lab.launch import LaunchError, LocalCluster, NodeProcess
from quorate.lab.proxy import Partitions, ProxiedNode, process_with_socket
from quorate.runtime.reserved import HOST

FRONT = "127.0.0.2"  # where the nodes reach each other: the proxies
STEADY_S = 2.0  # of writing before, between and after the faults
DOWN_S = 2.0  # how long the killed node stays away
APART_S = 4.0  # how long a node is cut off: longer than an election takes
NOTICE_S = 0.2  # writes in flight at a fault are acknowledged within this
BACK_S = 20.0  # how long a recovery may take

Progress = Callable[[str, float | None], AbstractContextManager[Any]]


def prepare_directory(directory: Path) -> None:
    """Create the directory for the nodes, and check that it is empty and writable.

    Raises:
        LaunchError: It cannot be used, or is not empty.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        inside = next(directory.iterdir(), None)
        if inside is None:
            tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        why = error.strerror or error
        raise LaunchError(
            f"-directory {directory}: {why}: name one that you may write to"
        ) from None
    if inside is not None:
        raise LaunchError(f"{directory} is not empty: name an empty or a missing directory")


class Demo:
    """One run; with `keep`, the nodes run on until Ctrl-C at the end.

    For `progress` see `cli.output.progress`.
    """

    def __init__(self, directory: Path, progress: Progress, *, keep: bool) -> None:
        self._keep = keep
        self._progress = progress
        self._cluster = LocalCluster(directory, advertise=FRONT)
        self._nodes = self._cluster.nodes
        self._addresses = [node.address for node in self._nodes]
        ports = {node.name: node.ports.server for node in self._nodes}
        proxied = [ProxiedNode(name, (FRONT, port), (HOST, port)) for name, port in ports.items()]
        self._partitions = Partitions(proxied, self._opener_of)

    async def run(self) -> dict[str, Any]:
        """Run everything; returns the result.

        Raises:
            LaunchError: A node did not start.
            TimeoutError: The cluster did not recover in time.
            WrongAnswerError: A client got a wrong answer.
        """
        await self._partitions.start()
        try:
            with step("starting three nodes"):
                await asyncio.to_thread(self._cluster.start)
            files = await asyncio.to_thread(library_files)
            await asyncio.to_thread(self._import, files)
            with step("working with our own client: cas, a lock, a transaction"):
                await asyncio.to_thread(use_own_client, self._addresses)
            with step("working with py-consul, another client") as report:
                report(await asyncio.to_thread(use_py_consul, self._nodes[1].ports.http))
            writing = Writing(self._addresses)
            writing.start()
            await self._inject_faults(writing)
            await writing.stop()
            with step("reading everything back from every node"):
                copies = [await read_copy(address) for address in self._addresses]
            result = self._result(files, writing, copies)
            if self._keep:
                await self._wait_for_interrupt()
            return result
        finally:
            await asyncio.to_thread(self._cluster.stop)
            await self._partitions.stop()

    def _opener_of(self, address: tuple[str, int]) -> str:
        pids = {node.name: node.pid for node in self._nodes if node.is_running()}
        return process_with_socket(address, pids)

    def _import(self, files: dict[str, Path]) -> None:
        total = sum(path.stat().st_size for path in files.values())
        tell(f"importing {len(files):,} files of Python's library ({total / 1e6:.1f} MB)")
        items = ((key, path.read_bytes(), 0) for key, path in files.items())
        with self._progress("importing", len(files)) as advance:
            write_all(self._addresses, "", items, lambda: advance(1))

    async def _inject_faults(self, writing: Writing) -> None:
        """Kill a node, restart it, cut another one off, reconnect it; all under writes."""
        await asyncio.sleep(STEADY_S)
        leader = await self._leader()
        with step(f"kill -9 of the leader, {leader.name}, in mid-write") as report:
            report(await self._until_writing(writing, leader.kill))
        await asyncio.sleep(DOWN_S)
        with step(f"starting {leader.name} again"):
            leader.start()
            leader = await self._leader()
        await asyncio.sleep(STEADY_S)
        with step(f"cutting the new leader, {leader.name}, off from the others") as report:
            report(
                await self._until_writing(writing, lambda: self._partitions.cut_off(leader.name))
            )
            await asyncio.sleep(APART_S)
        with step(f"reconnecting {leader.name}"):
            self._partitions.reconnect(leader.name)
            await self._leader()
        await asyncio.sleep(STEADY_S)

    async def _until_writing(self, writing: Writing, fault: Any) -> str:
        began_s = time.monotonic()
        fault()
        await writing.acknowledged_since(began_s + NOTICE_S, 20, BACK_S)
        pause_s = writing.longest_pause_s(began_s - NOTICE_S)
        return f"writes stood still for {pause_s:.2f} s"

    async def _leader(self) -> NodeProcess:
        return await asyncio.to_thread(self._cluster.wait_for_leader, BACK_S)

    def _result(
        self, files: dict[str, Path], writing: Writing, copies: list[Copy]
    ) -> dict[str, Any]:
        digests = [copy.digest for copy in copies]
        written = writing.acknowledged | {key: path.read_bytes() for key, path in files.items()}
        return {
            "files": len(files),
            "file_bytes": sum(path.stat().st_size for path in files.values()),
            "writes_acknowledged": len(written),
            "writes_lost": len({key for copy in copies for key in lost(written, copy)}),
            "writes_unknown": len(writing.unknown),
            "longest_pause_s": round(writing.longest_pause_s(), 3),
            "copies_equal": len(set(digests)) == 1,
            "digests": dict(zip((node.name for node in self._nodes), digests, strict=True)),
        }

    async def _wait_for_interrupt(self) -> None:
        tell("the nodes run until Ctrl-C; query them:")
        for address in self._addresses:
            tell(f"  quorate members -http-addr={address}")
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        await stop.wait()


@contextmanager
def step(text: str) -> Generator[Any, None, None]:
    """Print what is done, then how long it took, and the texts that the body adds."""
    began_s = time.monotonic()
    texts: list[str] = []
    tell(f"{text} ... ", end="")
    try:
        yield texts.append
    except BaseException as error:
        is_over = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
        tell("interrupted" if is_over else "failed")
        raise
    took = f"{time.monotonic() - began_s:.1f} s"
    tell("; ".join([took, *(each for each in texts if each)]))


def tell(text: str, end: str = "\n") -> None:
    """Print progress on stderr."""
    sys.stderr.write(f"{text}{end}")
    sys.stderr.flush()
