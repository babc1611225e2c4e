"""Snapshots: the whole state in one file."""

from pathlib import Path

from quorate.base.errors import PeerError
from quorate.client import arguments, bodies
from quorate.client.files import AtomicFile
from quorate.client.requests import ClientRequest, Lane, head, query
from quorate.client.sync.requester import Requester
from quorate.client.times import run

DEADLINE_S = 600.0  # a state of some gigabytes
PROBE_KEY = b"quorate-probe"  # need not exist


class Snapshots:
    """Backups of the whole cluster.

    Each call first reads from the cluster within the client's own `deadline_s`, so that it fails
    soon if the cluster cannot serve, not after the time that a large state may take.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._requester!r}>"

    def save(self, path: str | Path, *, stale: bool = False, deadline_s: float = DEADLINE_S) -> int:
        """Write the state into a file, which appears when it is complete; an old one is replaced.

        Args:
            path: The file.
            stale: From any node, even without a leader; it may be an older state.
            deadline_s: Seconds from now.

        Returns:
            The index of the state.

        Raises:
            UnavailableError: No node could provide it within the deadline.
            PeerError: The address serves no HTTP API of Quorate or Consul.
            OSError: The file cannot be written.

        Cost: reads the whole state once; it is written to the file as it is received.
        """
        is_stale = arguments.flag("stale", stale)
        limit_s = arguments.seconds("deadline_s", deadline_s)
        with AtomicFile(arguments.path("path", path)) as file:
            self._check(limit_s, is_stale=is_stale)
            request = ClientRequest(
                head("GET", b"/v1/snapshot", query(stale=is_stale)),
                lane=Lane.EXCLUSIVE,
                is_repeatable=True,
                sink=file.write,
                begin=file.rewind,
            )
            reply = self._requester.call(request, limit_s, limit_s, self._requester.deadline_s)
            if not reply.index:
                raise PeerError("remote", "the reply to GET /v1/snapshot is no snapshot: no index")
            run(file.commit)
        return reply.index

    def restore(self, path: str | Path, *, deadline_s: float = DEADLINE_S) -> None:
        """Replace the whole state of the cluster by that of a file. The old state is lost.

        Raises:
            RequestError: The file is no complete snapshot; nothing was changed.
            UnavailableError: Definite: it was not executed before the deadline.
            OutcomeUnknownError: Indefinite: it may or may not have been executed.
            OSError: The file cannot be read.

        Cost: holds the file in memory.
        """
        limit_s = arguments.seconds("deadline_s", deadline_s)
        body = run(arguments.path("path", path).read_bytes)
        self._check(limit_s, is_stale=False)
        request = ClientRequest(head("PUT", b"/v1/snapshot"), body, Lane.EXCLUSIVE)
        bodies.done(
            self._requester.call(request, limit_s, failing_s_max=self._requester.deadline_s)
        )

    def _check(self, limit_s: float, *, is_stale: bool) -> None:
        """Check that the cluster, or for a stale snapshot one node, answers a small read."""
        wait_s = min(limit_s, self._requester.deadline_s)
        what = query(raw=True, stale=is_stale)
        lane = Lane.LOCAL if is_stale else Lane.SHARED
        self._requester.call(
            ClientRequest(
                head("GET", b"/v1/kv/" + PROBE_KEY, what),
                lane=lane,
                is_repeatable=True,
                accepts=404,
            ),
            wait_s,
        )
