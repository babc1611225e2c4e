"""The index of each read of each domain grows with every change of what it shows."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quorate.domains import DOMAINS
from quorate.machine.queries import Reader
from tests.unit.machine.lab import Lab

ACTS = [act for domain in DOMAINS.all for act in domain.simulation.acts.values()]
READS = {
    name: read
    for domain in DOMAINS.all
    for name, read in domain.simulation.queries.items()
    if read.indexed is not None
}

Seen = dict[tuple[str, bytes], tuple[Any, int]]


def seen(lab: Lab, keys: list[tuple[str, bytes]]) -> Seen:
    found: Seen = {}
    reader = Reader(lab.tables)
    for name, key in keys:
        read = READS[name]
        answer = read.answer(reader, key)
        awaited = answer.value if read.awaited is None else read.awaited(answer.value)
        found[name, key] = (awaited, answer.changed)
    return found


@given(st.integers(0, 1 << 32))
def test_what_changes_has_a_higher_index(seed: int) -> None:
    chance = Random(seed)
    lab = Lab()
    keys = sorted({(name, read.key(chance)) for name, read in READS.items() for _ in range(20)})
    before = seen(lab, keys)
    for step in range(80):
        command = ACTS[chance.randrange(len(ACTS))](chance, "ab"[step % 2])
        lab.outcomes(command)
        after = seen(lab, keys)
        for place, (value, changed) in after.items():
            old, old_changed = before[place]
            assert value == old or changed > old_changed, (command, place)
        before = after
