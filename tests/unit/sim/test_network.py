"""The simulated network: what the ends of a link believe."""

from typing import Any

import pytest

from quorate.base.batches import Member
from quorate.base.events import Connected, Disconnected, Event, Received
from quorate.base.ids import GroupNumber, NodeId
from quorate.base.messages import ReadIndexRequest
from quorate.sim.network import Network, NetworkConditions
from quorate.sim.partitions import both
from quorate.sim.world import World
from quorate.wire.hello import VERSION_MAX, VERSION_MIN, Hello

PAIRS = both([("a", "b")])


class FakeEnd:
    """A host that records what it is given."""

    def __init__(self, network: Network, name: str) -> None:
        self.name, self.epoch = name, 1
        self.is_wanted = True
        self.received: list[type[Event]] = []
        self.events: list[Event] = []
        network.ends[name] = self

    def hello(self) -> Hello:
        member = Member(NodeId(self.name), self.name, f"{self.name}:1")
        return Hello(VERSION_MIN, VERSION_MAX, "c", member, 1, ord(self.name), "")

    def wants(self, name: str) -> bool:
        return self.is_wanted

    def deliver(self, epoch: int, event: Event) -> None:
        assert epoch == self.epoch
        self.received.append(type(event))
        self.events.append(event)


def linked(seed: int, **conditions: Any) -> tuple[World, Network, FakeEnd, FakeEnd]:
    """Two hosts with a link, which nobody would make again."""
    world = World(seed)
    network = Network(world, NetworkConditions(notice_s=1.0, **conditions))
    one, other = FakeEnd(network, "a"), FakeEnd(network, "b")
    network.up("a")
    world.run(1.0)
    assert network.is_linked("a", "b")
    assert network.is_linked("b", "a")
    one.is_wanted = other.is_wanted = False
    return world, network, one, other


def half_open(world: World, network: Network) -> bool:
    """Cut the path until one end has noticed; False if the other did in the same moment."""
    network.cut(PAIRS)
    world.run_while(lambda: all(network.is_linked(*pair) for pair in PAIRS), world.now + 2.0)
    return any(network.is_linked(*pair) for pair in PAIRS)


@pytest.mark.parametrize("seed", range(5))
def test_the_other_end_of_a_link_that_was_closed_learns_of_it_when_the_path_is_back(
    seed: int,
) -> None:
    """A socket that was closed answers with a reset, though nobody wants a link any more."""
    world, network, one, other = linked(seed)
    assert half_open(world, network)
    network.heal(PAIRS)

    world.run(world.now + 2.0)

    assert not any(network.is_linked(*pair) for pair in PAIRS)
    assert one.received == other.received == [Connected, Disconnected]


def test_a_new_link_is_not_taken_for_the_one_that_ended() -> None:
    world, network, one, other = linked(2)
    assert half_open(world, network)
    network.heal(PAIRS)
    one.is_wanted = other.is_wanted = True
    network.redial("a")
    network.redial("b")

    world.run(world.now + 5.0)

    assert all(network.is_linked(*pair) for pair in PAIRS)
    assert one.received[-1] is other.received[-1] is Connected


@pytest.mark.parametrize("is_framed", [False, True])
def test_a_message_arrives_with_its_group(is_framed: bool) -> None:
    world, network, one, other = linked(3, is_framed=is_framed)
    network.send(one, "b", ReadIndexRequest(5), GroupNumber(7))
    world.run(world.now + 1.0)
    assert other.events[-1] == Received(NodeId("a"), ReadIndexRequest(5), GroupNumber(7))
