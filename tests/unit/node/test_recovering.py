"""What a recovery takes over from the tables of a survivor."""

from quorate.base.config import ClusterConfig
from quorate.kv.commands import KvAcquire, KvDeleteTree, KvSet
from quorate.kv.tables import KV, KV_LOCKS
from quorate.node.recovering import rows_of, state_of
from tests.unit.machine.lab import Lab


def test_keys_of_a_removed_tree_do_not_come_back_though_their_rows_are_still_there() -> None:
    lab = Lab(settings=ClusterConfig(removals_max=2))
    session = lab.session("s")
    lab.do(*(KvSet(b"gone/%d" % number, b"v") for number in range(5)), KvSet(b"kept", b"v"))
    lab.do(KvAcquire(b"gone/0", b"v", 0, session), KvAcquire(b"held", b"v", 0, session))
    lab.do(KvDeleteTree(b"gone/"))
    assert lab.machine.expirations(lab.log_time_ms)  # a sweep is still to come

    rows = list(rows_of(lab.tables))

    assert state_of(lab.tables).index == lab.machine.index
    assert [key[1:] for key, _ in rows if key[0] == KV] == [b"held", b"kept"]
    assert [key[1:] for key, _ in rows if key[0] == KV_LOCKS] == [b"s\0held"]
