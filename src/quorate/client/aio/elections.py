"""Elections: a lock whose value says who leads."""

from quorate.client import bodies
from quorate.client.aio.locks import AsyncLock
from quorate.client.aio.watching import PATIENCE_S, AsyncWatch
from quorate.client.structs import Leader


class AsyncElection(AsyncLock):
    """An election, from `client.election`; who is inside its `async with` block leads.

        async with client.election("app/leader", b"10.0.0.1:9000") as leading:
            await lead(fence=leading.fence)

    Everything said of AsyncLock holds. `leader` and `observe` need no candidacy.
    """

    async def leader(self, *, deadline_s: float | None = None) -> Leader | None:
        """Who leads now; None if nobody does."""
        entry = await self._kv.get(self._plan.name, deadline_s=deadline_s)
        return Leader(entry.value, entry.session) if entry is not None and entry.session else None

    def observe(self, *, patience_s: float = PATIENCE_S) -> AsyncWatch[Leader | None]:
        """Follow who leads: now, then at each change; None while nobody does.

        Args:
            patience_s: It raises UnavailableError when no node answers for so long.
        """
        return self._kv.watch_as(self._plan.name, bodies.leader, patience_s)
