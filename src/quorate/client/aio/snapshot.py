"""Snapshots: the whole state in one file."""

from pathlib import Path

from quorate.base.errors import PeerError
from quorate.client import arguments, bodies
from quorate.client.aio.road import AsyncRoad
from quorate.client.files import Arriving
from quorate.client.requests import ClientRequest, Lane, head, query
from quorate.client.times import async_run

DEADLINE_S = 600.0  # a state of some gigabytes
PROBE_KEY = b"quorate-probe"  # need not exist


class AsyncSnapshots:
    """Backups of the whole cluster.

    Before it begins, each call reads from the cluster within the client's own `deadline_s`, so
    that a cluster that cannot serve is told soon, not after the time that a large state may take.
    """

    def __init__(self, road: AsyncRoad) -> None:
        self._road = road

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._road!r}>"

    async def save(
        self, path: str | Path, *, stale: bool = False, deadline_s: float = DEADLINE_S
    ) -> int:
        """Write the state into a file, which appears when it is whole; an old one is replaced.

        Args:
            path: The file.
            stale: From any node, even without a leader; it may be behind.
            deadline_s: Seconds from now.

        Returns:
            The index that the state has.

        Raises:
            UnavailableError: No node could give one within the deadline.
            PeerError: What answers is no HTTP API of Quorate or Consul.
            OSError: The file cannot be written.

        Cost: reads the whole state once; bytes go to the file as they come.
        """
        is_stale = arguments.flag("stale", stale)
        limit_s = arguments.seconds("deadline_s", deadline_s)
        with Arriving(arguments.path("path", path)) as file:
            await self._check(limit_s, is_stale=is_stale)
            request = ClientRequest(
                head("GET", b"/v1/snapshot", query(stale=is_stale)),
                lane=Lane.ALONE,
                is_repeatable=True,
                sink=file.write,
                begin=file.rewind,
            )
            reply = await self._road.call(request, limit_s, limit_s, self._road.deadline_s)
            if not reply.index:
                raise PeerError("remote", "the reply to GET /v1/snapshot is no snapshot: no index")
            await async_run(file.keep)
        return reply.index

    async def restore(self, path: str | Path, *, deadline_s: float = DEADLINE_S) -> None:
        """Replace the whole state of the cluster by that of a file. What is there now is lost.

        Raises:
            RequestError: The file is no whole snapshot; nothing was changed.
            UnavailableError: Definite: it was not done, and the deadline came.
            OutcomeUnknownError: Indefinite: it may or may not have been done.
            OSError: The file cannot be read.

        Cost: holds the file in memory.
        """
        limit_s = arguments.seconds("deadline_s", deadline_s)
        body = await async_run(arguments.path("path", path).read_bytes)
        await self._check(limit_s, is_stale=False)
        request = ClientRequest(head("PUT", b"/v1/snapshot"), body, Lane.ALONE)
        bodies.done(await self._road.call(request, limit_s, patience_s=self._road.deadline_s))

    async def _check(self, limit_s: float, *, is_stale: bool) -> None:
        """Have the cluster, or for a stale snapshot one node, answer something small."""
        wait_s = min(limit_s, self._road.deadline_s)
        what = query(raw=True, stale=is_stale)
        lane = Lane.LOCAL if is_stale else Lane.SHARED
        await self._road.call(
            ClientRequest(
                head("GET", b"/v1/kv/" + PROBE_KEY, what),
                lane=lane,
                is_repeatable=True,
                accepts=404,
            ),
            wait_s,
        )
