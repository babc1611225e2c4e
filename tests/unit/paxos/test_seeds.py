"""Replicas under a hostile network, by seed: see `harness`."""

import pytest

from tests.unit.paxos.harness import World


@pytest.mark.parametrize("chunk", range(10))
def test_nothing_is_chosen_twice_and_healing_brings_progress(chunk: int) -> None:
    for seed in range(chunk * 30, chunk * 30 + 30):
        world = World(3 if seed % 3 else 5, seed)
        world.run(700)
        world.heal()
        world.settle(6)
        before = world.oracle.released
        assert len(world.serving()) == 1, seed
        world.serving()[0].propose()
        world.settle(0.5)
        heights = [len(site.tables) for site in world.sites.values()]
        assert min(heights) > before, (seed, heights)
