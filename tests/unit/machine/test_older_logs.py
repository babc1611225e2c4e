"""What a log of format 1 tells has the same effect here as where it was written.

Nodes that start with a newer version have applied different parts of such a log with the older
one. If the rest had other effects, their tables would differ and nodes would halt.

`data/format1.msgpack.gz` was written by the machine of format 1: pairs of a batch and the digest
after it, the first without a batch for the bootstrap. The batches hold sessions that end in every
way with locks held, large trees that go, alone and in a transaction, results above 16 MiB, changes
of membership, upkeep and a restore. `data/format3.msgpack.gz` was written by that of format 3:
nodes that come, go and change names, services whose definitions are JSON, checks that fail,
restores, and generations swept in pieces. `data/format5.msgpack.gz` was written by that of format
5: checks without the tags of their services, outputs without an index, nodes that take names.
"""

import gzip
from pathlib import Path

import msgspec
import pytest

from quorate.base.batches import Configuration, Member, decode_batch
from quorate.base.config import ClusterConfig
from quorate.base.ids import NodeId, Slot
from quorate.domains import DOMAINS
from quorate.machine.derived import differences
from quorate.machine.machine import Machine
from quorate.sim.tables import DictTables

DATA = Path(__file__).parent / "data"
ANN = NodeId("ann")


def recorded(name: str) -> list[tuple[bytes, int]]:
    content = gzip.decompress((DATA / name).read_bytes())
    return msgspec.msgpack.decode(content, type=list[tuple[bytes, int]])


def configuration() -> Configuration:
    return Configuration(1, 0, (Member(ANN, "ann", "ann:1"),))


@pytest.mark.parametrize("turn_units", [40, 2_048])
@pytest.mark.parametrize("name", ["format1.msgpack.gz", "format3.msgpack.gz", "format5.msgpack.gz"])
def test_every_batch_leaves_the_digest_that_it_left_there(name: str, turn_units: int) -> None:
    batches = recorded(name)
    tables = DictTables()
    machine = Machine(tables, ClusterConfig(), DOMAINS, turn_units)
    machine.bootstrap("cluster", configuration())
    digests = [machine.digest]
    for slot, (data, _) in enumerate(batches[1:], start=1):
        machine.apply(Slot(slot), data, decode_batch(data).configuration, None)
        digests.append(machine.digest)
        if slot % 10 == 0:
            assert differences(DOMAINS, tables) == []

    assert digests == [digest for _, digest in batches]
    assert machine.counters.bundles_unreadable == 0
