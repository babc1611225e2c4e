"""Adopting: services and checks that an older version registered become entries of the local state.

Older versions registered services in the catalog alone. A full comparison would remove such rows,
as nobody registered them here; so the first start of this version takes them over before it
compares.

LST-10: every row of this node that the first confirmed read shows becomes an entry, unless it is
    one already, or was removed here meanwhile; `serfHealth` and the service of the servers are left
    out.
LST-11: it ends with a durable mark, and not before all entries are durable: without the mark the
    next start adopts again, with it no start ever does.
"""

from itertools import islice

from quorate.base.results import StateView
from quorate.catalog.fields import SERF_HEALTH, SERVER_SERVICE
from quorate.catalog.tables import CheckRow, checks_of_node, services_of_node
from quorate.localstate.comparing import PIECE
from quorate.localstate.entries import StoredCheck
from quorate.localstate.pending import check_key, service_key
from quorate.localstate.state import LocalState
from quorate.monitoring.checks import CRITICAL, STATUSES
from quorate.monitoring.definitions import CheckDefinition


class Adoption:
    """Takes rows of a node into its local state, in steps; each looks at the newest state.

    Attributes:
        count: Entries that were taken.
    """

    def __init__(self, state: LocalState, node: str) -> None:
        self._state = state
        self._node = node
        self._service: str | None = ""  # the last row that was looked at; None: all were
        self._check: str | None = ""
        self.count = 0

    def step(self, reading: StateView, now_s: float) -> bool:
        """Take a piece; True: everything has been taken."""
        if self._service is not None:
            self._service = self._take_services(reading, self._service)
            return False
        if self._check is not None:
            self._check = self._take_checks(reading, self._check, now_s)
        return self._check is None

    def _take_services(self, reading: StateView, after: str) -> str | None:
        last: str | None = None
        for row in islice(services_of_node(reading.rows, self._node, after), PIECE):
            last = row.service.id
            is_known = last in self._state.services or service_key(last) in self._state.pending
            if not is_known and last != SERVER_SERVICE:
                self._state.adopt(row.service)
                self.count += 1
        return last

    def _take_checks(self, reading: StateView, after: str, now_s: float) -> str | None:
        state = self._state
        last: str | None = None
        for row in islice(checks_of_node(reading.rows, self._node, after), PIECE):
            last = row.id
            is_known = last in state.checks or check_key(last) in state.pending
            is_ours = not row.service_id or row.service_id in state.services
            if not is_known and is_ours and last != SERF_HEALTH:
                state.adopt_check(adopted(row), now_s)
                self.count += 1
        return last


def adopted(row: CheckRow) -> StoredCheck:
    """The entry of a row."""
    status = row.status if row.status in STATUSES else CRITICAL
    definition = CheckDefinition(
        row.id, row.name, row.notes, status, row.service_id, adopted_type=row.type
    )
    return StoredCheck(definition, status, row.output)
