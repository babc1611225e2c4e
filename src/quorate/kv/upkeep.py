"""Background work of the store: deletes expired lock-delays and rows of removed trees."""

from collections.abc import Generator
from itertools import islice

from quorate.base.domain import Upkeep
from quorate.base.ports import Rows, TableRows
from quorate.kv.locks import drop_delays
from quorate.kv.tables import KV_DELAY
from quorate.kv.trees import sweep_removed

LOOKED_AT_SHARE = 4
"""A sweep examines this many times as many lock-delays as the rows that it may remove."""

_DELAYS_LOOKED_AT = 100


def is_due(rows: TableRows, now_ms: int) -> bool:
    """Whether rows of a removed tree are still stored, or a lock-delay has expired."""
    if rows.removals:
        return True
    delays = islice(rows.range(KV_DELAY, b""), _DELAYS_LOOKED_AT)
    return any(int.from_bytes(until, "big") <= now_ms for _, until in delays)


def sweep(rows: Rows, rows_max: int, is_all: bool) -> Generator[None, None, int]:
    """Delete at most so many; all lock-delays are looked at, or some. Returns how many went.

    Yields whenever this turn's share of work is done.
    """
    looked_max = None if is_all else LOOKED_AT_SHARE * rows_max
    swept = yield from drop_delays(rows, rows_max, looked_max)
    swept += yield from sweep_removed(rows, rows_max - swept)
    return swept


UPKEEP = Upkeep(is_due, sweep)
