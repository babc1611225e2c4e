"""Cluster: real nodes with real disks and sockets, in threads of the caller's process.

    with Cluster(3) as cluster, cluster.client() as client:
        client.kv.put("colour", b"green")
        cluster.kill(cluster.leader())
        client.kv.get("colour")  # another node answers

    async with Cluster(3) as cluster, cluster.async_client() as client:
        await client.kv.put("colour", b"green")
        await cluster.kill(await cluster.leader())

It is slower than a fake, but elections, logs and restarts are those of production. The nodes do not
use the caller's event loop; the caller may block.
"""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import msgspec
from structlog.typing import FilteringBoundLogger

from quorate.base.batches import majority
from quorate.base.config import NodeSettings, local
from quorate.base.errors import NotFoundError, QuorateError, RequestError, UnavailableError
from quorate.client import AsyncClient, Client
from quorate.runtime.faultlog import silent_log
from quorate.runtime.reserved import ReservedPort
from quorate.testing.nodes import ClusterNode, made_nodes

READY_S = 60.0
"""A cluster with a running majority elects a leader long before this, on a busy machine, too."""

_POLL_S = 0.005


NodeRef = str | ClusterNode
"""A node, or its name."""


class Cluster:
    """A cluster of nodes, for synchronous programs; `async with` gives an AsyncCluster.

    It is not thread-safe: one thread at a time may use it.

    Args:
        size: How many nodes; 1 is ready soonest, 3 tolerate the failure of one.
        directory: Where they store everything; None: a temporary directory.
        settings: The settings of all nodes.
        is_durable: True: each write waits for the disk, as in production. False: writes survive
            `kill`, but not a power failure of this machine.
        log: The logger of the nodes; None: they do not log.

    Attributes:
        nodes: All nodes, running or not.

    Cost: three nodes start in 0.2 to 0.5 s, one in 0.05 s; a thread and 15 MB each.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        directory: Path | None = None,
        settings: NodeSettings | None = None,
        is_durable: bool = False,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        if size < 1:
            raise RequestError("bad_request", "a cluster has at least one node")
        self._size = size
        self._directory = directory
        self._settings = settings or local()
        self._is_durable = is_durable
        self._log = log or silent_log()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._ports: list[ReservedPort] = []
        self._groups: list[frozenset[str]] = []
        self._clients: list[Client] = []
        self._first = b""  # a snapshot of the initial state
        self.nodes: tuple[ClusterNode, ...] = ()

    # --- start and end --------------------------------------------------------------------------

    def open(self) -> None:
        """Start every node, and wait until the cluster serves.

        Raises:
            RequestError: `bad_request`: it is open.
            UnavailableError: `no_quorum`: it does not serve in time.
            StorageError: A directory cannot be used.
        """
        if self._ports:
            raise RequestError("bad_request", "this cluster is open; make one for each use")
        self._groups = []
        if self._directory is None:
            self._temporary = tempfile.TemporaryDirectory(
                prefix="quorate-cluster-", ignore_cleanup_errors=True
            )
        self._ports = [ReservedPort() for _ in range(2 * self._size)]
        directories = [self._directory_of(f"n{number}") for number in range(1, self._size + 1)]
        self.nodes = made_nodes(
            directories, self._ports, self._settings, self._log, is_durable=self._is_durable
        )
        try:
            self._start_all()
            self.wait_until_ready()
            self._first = self._first_state()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill every node, and remove their directory if it is temporary."""
        self._close_clients()
        try:
            self._end(self.nodes, is_clean=False)
        finally:
            for port in self._ports:
                port.close()
            self._ports = []
            if self._temporary is not None:
                self._temporary.cleanup()
                self._temporary = None

    def __enter__(self) -> "Cluster":
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> "AsyncCluster":
        opening = asyncio.ensure_future(asyncio.to_thread(self.open))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # a thread cannot be cancelled
            await asyncio.to_thread(self.close)
            raise
        return self.aio

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    @property
    def aio(self) -> "AsyncCluster":
        """The same cluster for asyncio."""
        return AsyncCluster(self)

    # --- clients -------------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[str]:
        """The HTTP addresses of the nodes, `host:port` each."""
        return [node.endpoint for node in self.nodes]

    def client(self, node: NodeRef | None = None) -> Client:
        """Make a client; it is closed when the cluster is closed or reset, at the latest.

        Args:
            node: The only node that it uses; None: all of them.
        """
        made = Client(self._endpoints(node))
        self._clients.append(made)
        return made

    def async_client(self, node: NodeRef | None = None) -> AsyncClient:
        """Make a client for asyncio; the caller closes it, in the event loop that used it."""
        return AsyncClient(self._endpoints(node))

    def _endpoints(self, node: NodeRef | None) -> list[str]:
        return self.endpoints if node is None else [self.node(node).endpoint]

    def _close_clients(self) -> None:
        clients, self._clients = self._clients, []
        for client in clients:
            client.close()

    # --- nodes and leader ------------------------------------------------------------------------

    def node(self, name: NodeRef) -> ClusterNode:
        """The node with this name.

        Raises:
            NotFoundError: There is none with this name.
        """
        wanted = name if isinstance(name, str) else name.name
        for node in self.nodes:
            if node.name == wanted:
                return node
        raise NotFoundError("not_found", f"no node is called {wanted!r}")

    def leader(self, timeout_s: float = READY_S) -> ClusterNode:
        """Wait until there is one leader, and return it.

        In a partitioned cluster: the leader of the largest group of running nodes.

        Raises:
            UnavailableError: `no_quorum`: not within `timeout_s`.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            leader, why = self._agreed()
            if leader is not None:
                return leader
            if time.monotonic() > deadline_s:
                raise UnavailableError("no_quorum", f"no leader within {timeout_s:g} s: {why}")
            time.sleep(_POLL_S)

    def wait_until_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until every running node that can reach the others serves clients.

        Raises:
            UnavailableError: `no_quorum`: not within `timeout_s`.
        """
        self.leader(timeout_s)

    def _agreed(self) -> tuple[ClusterNode | None, str]:
        """The leader on which all nodes of the largest group agree; or None, and their states."""
        groups = self._groups or [frozenset(node.name for node in self.nodes)]
        running = [node for node in self.nodes if node.is_running and not node.is_paused]
        running_groups = [[node for node in running if node.name in group] for group in groups]
        largest = max(running_groups, key=len)
        others = [f"{node!r} {node.failure}".rstrip() for node in self.nodes if node not in largest]
        if len(largest) < majority(self._size):
            return None, ", ".join([f"{len(largest)} of {self._size} reach each other", *others])
        try:
            statuses = {node.name: node.status for node in largest}
        except UnavailableError as error:  # it ended meanwhile: the next check excludes it
            return None, error.text
        named = {status.leader.name if status.leader else "" for status in statuses.values()}
        name = named.pop() if len(named) == 1 else ""
        leads = name in statuses and statuses[name].role == "leader"
        if leads and all(status.is_serving for status in statuses.values()):
            return self.node(name), ""
        roles = [f"{name} is {status.role}" for name, status in statuses.items()]
        return None, ", ".join([*roles, *others])

    # --- faults --------------------------------------------------------------------------------

    def kill(self, node: NodeRef) -> None:
        """End a node as `kill -9` does: without notice, and without transferring leadership.

        Raises:
            UnavailableError: `stopping`: it does not end.
        """
        self._end([self.node(node)], is_clean=False)

    def stop(self, node: NodeRef) -> None:
        """End a node cleanly: it transfers leadership, and answers pending requests.

        Raises:
            UnavailableError: `stopping`: it does not end.
        """
        self._end([self.node(node)], is_clean=True)

    def start(self, node: NodeRef) -> None:
        """Start a node that does not run, with the data on its disk.

        Returns when it listens; it may still have to catch up, see `wait_until_ready`.

        Raises:
            StorageError: Its directory cannot be used.
        """
        self.node(node).start()

    def restart(self, node: NodeRef) -> None:
        """Kill a node if it runs, and start it."""
        self.kill(node)
        self.start(node)

    def pause(self, node: NodeRef) -> None:
        """Suspend a node, as SIGSTOP does with a process.

        Its connections stay open, the system accepts new ones, and no request is answered.
        """
        self.node(node).pause()

    def resume(self, node: NodeRef) -> None:
        """Resume a paused node."""
        self.node(node).resume()

    def partition(self, *groups: NodeRef | Iterable[NodeRef]) -> None:
        """Interrupt the network between groups of nodes; clients still reach every node.

        Nothing is delivered between groups, and no connection breaks: what was sent arrives after
        `heal`, unless the nodes have closed the connection by then.

        Args:
            groups: Each a node or several. Nodes in none of them are another group. It replaces
                an earlier partition.

        Raises:
            RequestError: `bad_request`: a node is in two groups.
        """
        named = [
            frozenset(
                self.node(one).name
                for one in ([group] if isinstance(group, str | ClusterNode) else group)
            )
            for group in groups
        ]
        rest = frozenset(node.name for node in self.nodes).difference(*named)
        self._groups = [group for group in (*named, rest) if group]
        if sum(len(group) for group in self._groups) != self._size:
            self._groups = []
            raise RequestError("bad_request", "a node is in two groups")
        self._apply_cuts()

    def heal(self) -> None:
        """End every partition."""
        self._groups = []
        self._apply_cuts()

    def reset(self) -> None:
        """Return the cluster to its initial state.

        All nodes run and reach each other; there are no keys, sessions, services or lock-delays.
        Indexes continue. Clients that it has made are closed.

        A cluster that does not recover is replaced by a new one, with the same endpoints.

        Cost: some milliseconds if no node has to be started.
        """
        self._close_clients()
        self.heal()
        try:
            for node in self.nodes:
                self.resume(node)
            for node in self.nodes:
                self.start(node)
            self.wait_until_ready()
            for node in self.nodes:
                _forget_registrations(node)
            self._restore()
        except (QuorateError, OSError):
            self._replace()

    def _first_state(self) -> bytes:
        """A snapshot of the initial state, once every node is in the catalog."""
        deadline_s = time.monotonic() + READY_S
        names = {node.name for node in self.nodes}
        with Client(self.endpoints) as client:
            while not names <= _names(client.call("GET", "/v1/catalog/nodes").body):
                if time.monotonic() > deadline_s:
                    raise UnavailableError("no_quorum", "not every node is in the catalog")
                time.sleep(_POLL_S)
            return client.call("GET", "/v1/snapshot").body

    def _restore(self) -> None:
        with Client(self.endpoints) as client:
            client.call("PUT", "/v1/snapshot", self._first)

    def _replace(self) -> None:
        self._end(self.nodes, is_clean=False)
        for node in self.nodes:
            shutil.rmtree(self._directory_of(node.name), ignore_errors=True)
        self._start_all()
        self.wait_until_ready()
        self._restore()

    # --- helpers ---------------------------------------------------------------------------------

    def _start_all(self) -> None:
        for future in [node.begin() for node in self.nodes]:
            future.result()

    def _end(self, nodes: Sequence[ClusterNode], *, is_clean: bool) -> None:
        for node in nodes:
            node.end(is_clean=is_clean)
        with contextlib.ExitStack() as joins:  # all of them, even if one fails
            for node in nodes:
                joins.callback(node.join)

    def _apply_cuts(self) -> None:
        names = frozenset(node.name for node in self.nodes)
        for node in self.nodes:
            own = next((group for group in self._groups if node.name in group), names)
            node.cut_off(names - own)

    def _directory_of(self, name: str) -> Path:
        parent = self._temporary.name if self._temporary is not None else self._directory
        return Path(parent or ".") / name


class AsyncCluster:
    """A cluster for programs of asyncio: the verbs of `Cluster` as coroutines.

    `async with Cluster(3) as cluster` gives one; `Cluster.aio` does for a cluster that is open.
    The nodes run in threads of their own and are the same for all event loops.

    Args:
        cluster: The cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def nodes(self) -> tuple[ClusterNode, ...]:
        """All nodes, running or not."""
        return self._cluster.nodes

    @property
    def endpoints(self) -> list[str]:
        """Where clients reach the nodes, `host:port` each."""
        return self._cluster.endpoints

    def node(self, name: NodeRef) -> ClusterNode:
        """See `Cluster.node`."""
        return self._cluster.node(name)

    def client(self, node: NodeRef | None = None) -> Client:
        """See `Cluster.client`; its calls block."""
        return self._cluster.client(node)

    def async_client(self, node: NodeRef | None = None) -> AsyncClient:
        """See `Cluster.async_client`."""
        return self._cluster.async_client(node)

    async def leader(self, timeout_s: float = READY_S) -> ClusterNode:
        """See `Cluster.leader`."""
        return await asyncio.to_thread(self._cluster.leader, timeout_s)

    async def wait_until_ready(self, timeout_s: float = READY_S) -> None:
        """See `Cluster.wait_until_ready`."""
        await asyncio.to_thread(self._cluster.wait_until_ready, timeout_s)

    async def kill(self, node: NodeRef) -> None:
        """See `Cluster.kill`."""
        await asyncio.to_thread(self._cluster.kill, node)

    async def stop(self, node: NodeRef) -> None:
        """See `Cluster.stop`."""
        await asyncio.to_thread(self._cluster.stop, node)

    async def start(self, node: NodeRef) -> None:
        """See `Cluster.start`."""
        await asyncio.to_thread(self._cluster.start, node)

    async def restart(self, node: NodeRef) -> None:
        """See `Cluster.restart`."""
        await asyncio.to_thread(self._cluster.restart, node)

    async def pause(self, node: NodeRef) -> None:
        """See `Cluster.pause`."""
        await asyncio.to_thread(self._cluster.pause, node)

    async def resume(self, node: NodeRef) -> None:
        """See `Cluster.resume`."""
        await asyncio.to_thread(self._cluster.resume, node)

    async def partition(self, *groups: NodeRef | Iterable[NodeRef]) -> None:
        """See `Cluster.partition`."""
        await asyncio.to_thread(self._cluster.partition, *groups)

    async def heal(self) -> None:
        """See `Cluster.heal`."""
        await asyncio.to_thread(self._cluster.heal)

    async def reset(self) -> None:
        """See `Cluster.reset`."""
        await asyncio.to_thread(self._cluster.reset)


def _forget_registrations(node: ClusterNode) -> None:
    """Have an agent forget its services and checks: it would put them back into the catalog."""
    with Client(node.endpoint) as client:
        for kind in ("service", "check"):  # the checks of a service go with it
            for name in _keys(client.call("GET", f"/v1/agent/{kind}s").body):
                client.call("PUT", f"/v1/agent/{kind}/deregister/{quote(name, safe='')}")


def _keys(entries: bytes) -> list[str]:
    rows: dict[str, object] = msgspec.json.decode(entries)
    return list(rows)


def _names(catalog: bytes) -> set[str]:
    rows: list[dict[str, object]] = msgspec.json.decode(catalog)
    return {str(row["Node"]) for row in rows}
