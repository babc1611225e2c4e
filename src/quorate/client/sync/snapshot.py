"""Snapshots: the whole state in one file."""

from pathlib import Path

from quorate.client.files import Arriving
from quorate.client.requests import Lane, Request, head, query
from quorate.client.sync.road import Road
from quorate.client.times import read_file

DEADLINE_S = 600.0  # a state of some gigabytes


class Snapshots:
    """Backups of the whole cluster."""

    def __init__(self, road: Road) -> None:
        self._road = road

    def save(self, path: str | Path, *, stale: bool = False, deadline_s: float = DEADLINE_S) -> int:
        """Write the state into a file, which appears when it is whole; an old one is replaced.

        Args:
            path: The file.
            stale: From any node, even without a leader; it may be behind.
            deadline_s: Seconds from now.

        Returns:
            The index that the state has.

        Raises:
            UnavailableError: No node could give one within the deadline.
            OSError: The file cannot be written.

        Cost: reads the whole state once; bytes go to the file as they come.
        """
        with Arriving(Path(path)) as file:
            request = Request(
                head("GET", b"/v1/snapshot", query(stale=stale)),
                lane=Lane.ALONE,
                is_repeatable=True,
                sink=file.write,
                begin=file.rewind,
            )
            reply = self._road.call(request, deadline_s, deadline_s)
            file.keep()
        return reply.index

    def restore(self, path: str | Path, *, deadline_s: float = DEADLINE_S) -> None:
        """Replace the whole state of the cluster by that of a file. What is there now is lost.

        Raises:
            RequestError: The file is no whole snapshot; nothing was changed.
            UnavailableError: Definite: it was not done, and the deadline came.
            OutcomeUnknownError: Indefinite: it may or may not have been done.
            OSError: The file cannot be read.

        Cost: holds the file in memory.
        """
        body = read_file(Path(path))
        request = Request(head("PUT", b"/v1/snapshot"), body, Lane.ALONE)
        self._road.call(request, deadline_s)
