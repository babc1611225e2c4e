"""What all requests of one node's clients share while they are carried out."""

from quorate.accounts import Accounts
from quorate.base.context import RequestContext
from quorate.base.ports import Rng
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluations
from quorate.serving.ports import Backend, CallLater, Slices


class Serving:
    """The node as its clients are served.

    Args:
        backend: The node.
        call_later: Has something done later.
        slices: Takes long work.
        evaluations: What readers share.
        chance: Spreads the ends of long waits.
        accounts: Of the callers, whatever protocol they use: it holds memory for a caller only from
            the account of that caller.

    Attributes:
        backend, call_later, slices, evaluations, chance, accounts: See above.
        submit: The backend's: nothing stands between a command and the log.
        confirm: The backend's `read`, likewise.
        fresh_s: The tables are at least as new as what the cluster had at this time of the
            backend's clock: when the last confirmed read was asked for.
    """

    def __init__(
        self,
        backend: Backend,
        call_later: CallLater,
        slices: Slices,
        evaluations: Evaluations,
        chance: Rng,
        accounts: Accounts | None = None,
    ) -> None:
        self.backend = backend
        self.call_later = call_later
        self.slices = slices
        self.evaluations = evaluations
        self.chance = chance
        self.accounts = Accounts() if accounts is None else accounts
        self.submit = backend.submit
        self.confirm = backend.read
        self.fresh_s = float("-inf")
        self._reader = Reader(backend.tables)
        self._version = backend.tables.version

    def reader(self) -> Reader:
        """Reads of the current state; use it within one call, do not keep it."""
        tables = self.backend.tables
        if tables.version != self._version:
            self._reader = Reader(tables)
            self._version = tables.version
        return self._reader

    def note_fresh(self, asked_s: float) -> None:
        """A read point that was asked for then has come, and is applied."""
        self.fresh_s = max(self.fresh_s, asked_s)

    def may_read(self, context: RequestContext) -> bool:
        """Whether a read with this context may be answered from these tables, unconfirmed.

        Raises:
            UnavailableError: `removed`: it might, but they are not kept up any more.
        """
        if not context.is_stale:
            return False
        self.check_kept_up()
        return self.backend.now_s - self.fresh_s <= context.age_s_max

    def check_kept_up(self) -> None:
        """Refuse to read tables that are not kept up any more.

        Raises:
            UnavailableError: `removed`: this node belongs to the cluster no more.
        """
        removal = self.backend.removal
        if removal is not None:
            raise removal
