"""A node as a server: with disk, sockets and clock. Its gateways are added by the caller.

Start: open the storage, read the log into the pure node, start the log, execute the first effects,
accept peers. Stop: refuse new requests, transfer leadership, end the turns, let the log finish,
sync the tables. When the node cannot go on, `ended` is set, and it can only be closed.
"""

import asyncio
import contextlib
import random
import secrets
import socket
import time
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec
from structlog.typing import FilteringBoundLogger

from quorate.base.batches import Member, majority
from quorate.base.config import Bootstrap, NodeSettings
from quorate.base.context import OWN
from quorate.base.effects import Halt
from quorate.base.errors import QuorateError, StorageError, UnavailableError
from quorate.base.events import Persisted, SnapshotTaken, SpaceChanged
from quorate.base.ids import NodeId, Slot
from quorate.base.metrics import Metric
from quorate.base.outcomes import Outcome
from quorate.base.ports import Status
from quorate.net.connector import PLAIN, Connector
from quorate.node.detector import registration
from quorate.node.node import Node
from quorate.paxos.transfer import best_successor
from quorate.runtime.descriptors import RESERVE, open_count
from quorate.runtime.driver import Driver
from quorate.runtime.local import LocalNode
from quorate.runtime.measures import gathered
from quorate.runtime.snapshots import durable_slot
from quorate.runtime.snapshotter import SnapshotInstaller, Snapshotter
from quorate.runtime.storage import Storage, StorageSettings
from quorate.runtime.transport import Transport
from quorate.runtime.trimming import CHECK_S, HeapTrimmer, trim
from quorate.wire.hello import VERSION_MAX, VERSION_MIN, Hello, settings_shown

HOUSEKEEPING_S = 1.0
"""How often it is checked whether a snapshot is due."""

SNAPSHOT_RETRY_S = 60.0
"""After a failed snapshot, the next one is tried this much later."""

SEGMENTS_MAX = 16
"""A snapshot is taken, too, when the log has so many more files than it needs for its bytes: each
start begins one, and a node that is often started would fill the disk with nearly empty ones."""

HAND_OVER_S = 2.0
"""A stopping leader waits this long for another one."""

DRAIN_S = 3.0
"""A stopping node waits this long for its clients' commands to be applied."""

POLL_S = 0.01


class ServerSettings(msgspec.Struct, frozen=True):
    """Settings of a node and its storage.

    Attributes:
        data_dir: The data directory.
        name: The name of the node, for people.
        address: The address for peers.
        http: The address for clients; "" if there is none.
        join: Addresses of peers to contact until the members are known.
        expect: See `base.config.Bootstrap`.
        is_alone: See `base.config.Bootstrap`.
        node: See `base.config`.
        storage: See `runtime.storage`.
    """

    data_dir: Path
    name: str
    address: str
    http: str = ""
    join: tuple[str, ...] = ()
    expect: int = 0
    is_alone: bool = False
    node: NodeSettings = NodeSettings()
    storage: StorageSettings = StorageSettings()


class NodeServer:
    """A running node. Made by `start_server`.

    Attributes:
        local: The interface for gateways.
        member: This node as a member of the cluster.
        ended: Done when the node cannot go on: a Halt, or the error that ended it.
    """

    def __init__(
        self,
        settings: ServerSettings,
        storage: Storage,
        log: FilteringBoundLogger,
        connector: Connector = PLAIN,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._snapshotter = Snapshotter(storage.snapshots, storage.tables, self._post)
        self._copies = SnapshotInstaller(
            storage.snapshots, storage.tables, self._post, self._install_failed
        )
        self._shortages = RESERVE.shortages
        self._snapshot_due_s = float("-inf")
        self._log_bytes_before = 0  # what the log held when the last snapshot was done
        self._segments_before = 0  # the same, in files
        self._housekeeping: asyncio.TimerHandle | None = None
        self._heap = HeapTrimmer()
        self._trimming: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[Halt | BaseException] = self._loop.create_future()
        directory, node = storage.directory, settings.node
        self.member = Member(directory.node_id, settings.name, settings.address, settings.http)
        self._node = self._new_node()
        self._shown = settings_shown(node.cluster)
        self._transport = Transport(
            self._hello,
            join=settings.join,
            bytes_waiting_max=4 * node.limits.peer_bytes_in_flight_max,
            rng=_new_rng(),
            log=log,
            connector=connector,
        )
        self._driver = Driver(
            self._node,
            disk=storage.wal,
            links=self._transport,
            copies=self._copies,
            tick_s=node.timing.tick_s,
            clock=time.monotonic,
            log=log,
            on_end=self._on_end,
            noted=(storage.wal.stats.durations, storage.tables.durations),
        )
        self.local = LocalNode(
            self._node, self._driver, storage.tables, node, time.monotonic, self._measures
        )

    def _new_node(self) -> Node:
        settings, directory = self._settings, self._storage.directory
        return Node(
            self.member,
            directory.incarnation,
            settings.node,
            self._storage.tables,
            self._storage.wal.records(),
            _new_rng(),
            time.monotonic(),
            wall_ms=_wall_ms,
            bootstrap=Bootstrap(settings.expect, settings.is_alone, settings.join),
            snapshot=durable_slot(self._storage.snapshots),
            before=directory.known_cluster,
        )

    async def start(self, listener: socket.socket) -> None:
        """Begin to live. Blocks the loop while the log is begun.

        Raises:
            StorageError: The log could not be begun.
        """
        driver = self._driver
        for warning in self._storage.wal.warnings:
            self._log.warning("log", what=warning)
        self._storage.wal.start(
            self._loop.call_soon_threadsafe,
            lambda mark: driver.deliver(Persisted(mark)),
            driver.fail,
            lambda is_full: driver.deliver(SpaceChanged(is_full)),
        )
        self._storage.log_started()
        driver.start()
        await self._transport.start(listener, driver.deliver, driver.expedite, driver.fail)
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._keep_house)
        self._trimming = self._loop.call_later(CHECK_S, self._trim_heap)

    def cut_off(self, names: frozenset[str]) -> None:
        """See `Transport.cut_off`."""
        self._transport.cut_off(names)

    async def stop(self) -> None:
        """End cleanly: nothing acknowledged is lost, and another node leads before we go."""
        self.local.stop()
        if not self._driver.is_over:
            await self._hand_over()
            await self._until(lambda: self._node.group.origin.waiting == 0, DRAIN_S)
            self._driver.perform(self._node.stop())
            await self._until(lambda: not self._driver.is_answering, DRAIN_S)
        await self.close(is_clean=not self.ended.done())

    async def leave(self) -> QuorateError | None:
        """Have this node taken out of the configuration for good; it is to be stopped then.

        A node that is alone only has to stop. One without which fewer than a majority of the others
        would be alive stays.

        Returns:
            Why it is still a member; None if it is not, or alone.
        """
        status = self.local.status()
        me = status.configuration.member(self.member.id)
        if me is None or len(status.configuration.members) == 1:
            return None
        others = [each for each in status.configuration.voters if each.id != me.id]
        living = sum(each.id in status.healthy for each in others)
        if not others:
            text = (
                "it is the only voter: give another member a vote first "
                "(quorate cluster add NAME), or only stop it"
            )
            return UnavailableError("too_few_nodes", text)
        if living < majority(len(others)):
            text = f"without it only {living} of {len(others)} voters would be alive: no majority"
            return UnavailableError("too_few_nodes", text)
        await self._hand_over()
        left: asyncio.Future[QuorateError | None] = self._loop.create_future()
        self.local.change(OWN, "remove", me, left.set_result)
        return await left

    def register(self, node: NodeSettings, done: Callable[[QuorateError | None], None]) -> None:
        """Write the catalog's row of this node again, with other settings."""

        def applied(outcome: Outcome | QuorateError) -> None:
            done(outcome if isinstance(outcome, QuorateError) else None)

        self.local.submit(OWN, registration(self.member, node), applied)

    async def close(self, *, is_clean: bool = False) -> None:
        """Let go of everything at once."""
        self.local.stop()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        if self._trimming is not None:
            self._trimming.cancel()
        self._driver.stop()
        await self._transport.stop()
        self._snapshotter.stop()
        self._copies.close()
        self._storage.close(is_clean=is_clean)

    # --- stopping ------------------------------------------------------------------------------

    async def _hand_over(self) -> None:
        """If this node leads, have the member take over that knows most."""
        status = self.local.status()
        successor = successor_of(status, self._transport.peers)
        if successor is None:
            return
        self.local.change(OWN, "transfer", successor, lambda _: None)
        await self._until(lambda: self.local.status().role != "leader", HAND_OVER_S)

    async def _until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        driver = self._driver
        while not (is_done() or driver.is_over or time.monotonic() > deadline_s):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)  # a pure node makes no calls: it must be polled

    def _on_end(self, why: Halt | BaseException) -> None:
        """The node can not go on: keep what may explain it."""
        if isinstance(why, StorageError) and why.code == "corrupt":
            self._storage.distrust_tables()
        text = f"{why.code}: {why.reason}" if isinstance(why, Halt) else repr(why)
        with contextlib.suppress(OSError):  # the disk may be the reason
            self._driver.recorder.save(self._storage.directory.path, text)
        if not self.ended.done():
            self.ended.set_result(why)

    # --- snapshots -----------------------------------------------------------------------------

    def _keep_house(self) -> None:
        """Take a snapshot if the log grew enough; look again in a while."""
        if self._driver.is_over:
            return
        self._tell_shortage()
        now_s = time.monotonic()
        grown_bytes = self._storage.wal.log_bytes - self._log_bytes_before
        wanted_bytes = max(
            self._settings.storage.snapshot_log_bytes, self._storage.tables.used_bytes
        )
        replica = self._node.group.replica
        is_waited_for = replica is not None and replica.durable.is_snapshot_wanted
        is_due = grown_bytes > wanted_bytes or self._has_many_segments() or is_waited_for
        if is_due and now_s >= self._snapshot_due_s:
            self._snapshotter.start(self._snapshot_done, self._snapshot_failed)
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._keep_house)

    def _trim_heap(self) -> None:
        """Return memory to the system that is not used any more; look again in a while."""
        if self._driver.is_over:
            return
        if self._heap.is_due():
            with contextlib.suppress(RuntimeError):  # the system has no thread for it
                self._loop.run_in_executor(None, trim)
        self._trimming = self._loop.call_later(CHECK_S, self._trim_heap)

    def _has_many_segments(self) -> bool:
        storage = self._settings.storage
        needed = storage.snapshot_log_bytes // storage.wal.layout.segment_bytes
        segments = self._storage.wal.segments
        self._segments_before = min(self._segments_before, segments)
        return segments - self._segments_before > needed + SEGMENTS_MAX

    def _snapshot_done(self, slot: Slot) -> None:
        self._log.info("snapshot", slot=slot, bytes=self._snapshotter.bytes)
        self._driver.deliver(SnapshotTaken(slot))
        self._log_bytes_before = self._settings.storage.wal.layout.segment_bytes
        self._segments_before = self._storage.wal.segments

    def _snapshot_failed(self, error: BaseException) -> None:
        """Try again in a while, unless the tables are damaged, or a promise could be broken."""
        self._log.error("snapshot failed", why=_text_of(error))
        self._snapshot_due_s = time.monotonic() + SNAPSHOT_RETRY_S
        if isinstance(error, QuorateError):
            if error.code == "corrupt":
                self._driver.fail(error)
        elif isinstance(error, Exception):
            self._driver.report(error)
        else:
            self._driver.fail(error)

    def _install_failed(self, error: BaseException) -> None:
        """The snapshot of a peer could not be installed; log and tables are complete."""
        self._log.error("snapshot of a peer not taken in", why=_text_of(error))
        self._driver.fail(error)

    def _tell_shortage(self) -> None:
        """Say that descriptors ran out, and take the reserve back when there are some again."""
        if RESERVE.shortages != self._shortages:
            self._shortages = RESERVE.shortages
            self._log.error(
                "no file descriptor was left for the disk: raise the limit of open files "
                "(LimitNOFILE, ulimit -n)",
                open=open_count(),
                times=RESERVE.shortages,
            )
        RESERVE.refill()

    # --- small parts ---------------------------------------------------------------------------

    def _hello(self) -> Hello:
        return Hello(
            VERSION_MIN,
            VERSION_MAX,
            self._node.cluster_id,
            self.member,
            self._storage.directory.incarnation,
            self._storage.directory.nonce,
            *self._shown,
        )

    def _post(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: no callback waits any more
            self._loop.call_soon_threadsafe(function)

    def _measures(self) -> list[Metric]:
        wal, tables = self._storage.wal, self._storage.tables
        return gathered(self._node, self._driver, self._transport, wal, tables, time.monotonic())


async def start_server(
    settings: ServerSettings,
    listener: socket.socket,
    log: FilteringBoundLogger,
    *,
    cut_off: frozenset[str] = frozenset(),
    connector: Connector = PLAIN,
) -> NodeServer:
    """Start a node.

    Args:
        settings: The settings.
        listener: A bound socket for peers; closed with the node.
        log: The logger.
        cut_off: Names of peers from which nothing is received, see `Transport.cut_off`.
        connector: Makes the connections to peers.

    Raises:
        StorageError: The data directory cannot be used as it is; the text says what to do.
    """
    try:
        storage = Storage(settings.data_dir, settings.storage, log, settings.node.cluster)
    except BaseException:
        listener.close()
        raise
    try:
        server = NodeServer(settings, storage, log, connector)
        server.cut_off(cut_off)
        await server.start(listener)
    except BaseException as error:
        if isinstance(error, QuorateError) and error.code == "corrupt":
            storage.distrust_tables()
        listener.close()
        storage.close(is_clean=False)
        raise
    return server


def successor_of(status: Status, linked: Collection[NodeId]) -> Member | None:
    """Whom a stopping leader hands over to: the healthy voter that knows most, if any."""
    if status.role != "leader":
        return None
    voters = status.configuration.voters
    linked_voters = [one.id for one in voters if one.id in linked and one.id in status.healthy]
    best = best_successor({node: status.watermark_of(node) for node in linked_voters})
    return None if best is None else status.configuration.member(best)


def _text_of(error: BaseException) -> str:
    """An error in one line, without values of keys."""
    return error.text if isinstance(error, QuorateError) else type(error).__name__


def _new_rng() -> random.Random:
    """Chance that differs from process to process; nothing secret is drawn from it."""
    return random.Random(secrets.randbits(64))  # noqa: S311


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
