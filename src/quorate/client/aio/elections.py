"""Elections: a lock whose value identifies the leader."""

from quorate.client import bodies
from quorate.client.aio.locks import AsyncLock
from quorate.client.aio.watching import WATCH_TIMEOUT_S, AsyncWatch
from quorate.client.structs import Leader


class AsyncElection(AsyncLock):
    """An election, from `client.election`; the program inside its `async with` block leads.

        async with client.election("app/leader", b"10.0.0.1:9000") as leading:
            await lead(fence=leading.fence)

    Everything in AsyncLock holds. `leader` and `observe` can be used without acquiring it.
    """

    async def leader(self, *, deadline_s: float | None = None) -> Leader | None:
        """The leader now; None if there is none."""
        return bodies.leader_of(await self._kv.get(self._plan.name, deadline_s=deadline_s))

    def observe(self, *, patience_s: float = WATCH_TIMEOUT_S) -> AsyncWatch[Leader | None]:
        """Watch the leader: now, then each change; None while there is none.

        Args:
            patience_s: It raises UnavailableError when no node has replied for so long.
        """
        return self._kv.watch_as(self._plan.name, bodies.leader, patience_s)
