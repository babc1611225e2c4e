"""Elections: a lock whose value says who leads."""

from quorate.client import bodies
from quorate.client.structs import Leader
from quorate.client.sync.locks import Lock
from quorate.client.sync.watching import PATIENCE_S, Watch


class Election(Lock):
    """An election, from `client.election`; who is inside its `with` block leads.

        with client.election("app/leader", b"10.0.0.1:9000") as leading:
            lead(fence=leading.fence)

    Everything said of Lock holds. `leader` and `observe` need no candidacy.
    """

    def leader(self, *, deadline_s: float | None = None) -> Leader | None:
        """Who leads now; None if nobody does."""
        entry = self._kv.get(self._plan.name, deadline_s=deadline_s)
        return Leader(entry.value, entry.session) if entry is not None and entry.session else None

    def observe(self, *, patience_s: float = PATIENCE_S) -> Watch[Leader | None]:
        """Follow who leads: now, then at each change; None while nobody does.

        Args:
            patience_s: It raises UnavailableError when no node answers for so long.
        """
        return self._kv.watch_as(self._plan.name, bodies.leader, patience_s)
