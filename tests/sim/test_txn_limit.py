"""What the results of one transaction may hold: the model knows it, and clients reach it."""

import pytest

from quorate.base.command import Command
from quorate.base.config import ClusterConfig, NodeSettings
from quorate.base.txn import TxnItem, TxnOp, TxnResult
from quorate.kv import modeltxn
from quorate.kv.commands import KvSet
from quorate.kv.model import keys_of
from quorate.machine.commands import Txn
from quorate.sim.cluster import Make
from quorate.sim.run import run
from quorate.sim.swarm import Plan, plan_of
from quorate.sim.workload import WorkloadProfile
from tests.sim.test_checkers import CheckedLog


def test_the_model_lets_results_be_as_large_as_the_settings_say() -> None:
    checked = CheckedLog(ClusterConfig(txn_result_bytes_max=2 * 130))
    checked.choose(KvSet(b"k", b"1"), KvSet(b"l", b"2"))
    reads: tuple[TxnOp, ...] = (TxnOp("get", b"k"), TxnOp("get", b"l"))
    assert len(outcome_of(checked, Txn(reads)).items) == 2
    reads = (TxnOp("delete", b"k"), TxnOp("get", b"m"), TxnOp("set", b"l", b"3"), *2 * reads[1:])
    faults = outcome_of(checked, Txn((*reads, TxnOp("get", b"m")))).faults
    assert [fault.op_index for fault in faults] == [1, 4], "and what follows is not tried"
    assert "exceed 260 bytes (txn_result_bytes_max)" in faults[1].what
    assert sorted(keys_of(checked.model).kv) == [b"k", b"l"]


def outcome_of(checked: CheckedLog, command: Command) -> TxnResult:
    slot = checked.choose(command)
    outcome = checked.model.outcomes[slot][0]
    assert outcome is not None
    assert isinstance(outcome.value, TxnResult)
    return outcome.value


def uncounted(_: TxnItem) -> int:
    return 0


def test_seeds_reach_the_limit_of_results() -> None:
    """With a limit that few transactions pass, a model that knows none is contradicted."""
    profile = WorkloadProfile(think_s=0.05, weights={"set": 1.0, "txn": 2.0})
    settings = NodeSettings(cluster=ClusterConfig(txn_result_bytes_max=300))
    plan = Plan(1, Make(settings=settings, profile=profile), (), 6.0)
    assert run(plan).failure == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeltxn, "_size", uncounted)
        assert "(txn_result_bytes_max)" in run(plan).failure


def test_some_seeds_have_a_small_limit() -> None:
    limits = [plan_of(seed).make.settings.cluster.txn_result_bytes_max for seed in range(100)]
    assert 10 < sum(limit < 2_000 for limit in limits) < 60
