"""The common state of all requests that one node serves."""

from quorate.accounts import Accounts
from quorate.base.context import RequestContext
from quorate.base.ports import Rng
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluations
from quorate.serving.ports import Backend, CallLater, Slices


class Serving:
    """Serves the clients of a node.

    Args:
        backend: The node.
        call_later: Schedules a call.
        slices: Runs long work.
        evaluations: Shared by readers.
        rng: Spreads the ends of long waits.
        accounts: Of the callers: a protocol holds memory for a caller only from its account.

    Attributes:
        backend, call_later, slices, evaluations, rng, accounts: See above.
        submit: The backend's.
        confirm: The backend's `read`, likewise.
        fresh_s: The tables are at least as new as the state of the cluster at this time of the
            backend's clock: when the last confirmed read was requested.
    """

    def __init__(
        self,
        backend: Backend,
        call_later: CallLater,
        slices: Slices,
        evaluations: Evaluations,
        rng: Rng,
        accounts: Accounts | None = None,
    ) -> None:
        self.backend = backend
        self.call_later = call_later
        self.slices = slices
        self.evaluations = evaluations
        self.rng = rng
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
        """The read index that was requested then has arrived, and is applied."""
        self.fresh_s = max(self.fresh_s, asked_s)

    def may_read(self, context: RequestContext) -> bool:
        """Whether a read with this context may be answered from these tables, unconfirmed.

        Raises:
            UnavailableError: `removed`: it might, but the tables are not updated any more.
        """
        if not context.is_stale:
            return False
        self.check_kept_up()
        return self.backend.now_s - self.fresh_s <= context.age_s_max

    def check_kept_up(self) -> None:
        """Refuse to read tables that are not updated any more.

        Raises:
            UnavailableError: `removed`: this node is not a member of the cluster any more.
        """
        removal = self.backend.removal
        if removal is not None:
            raise removal
