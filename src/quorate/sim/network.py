"""Network: links between hosts, and their faults.

A link is one connection: both ends learn that it is established, each may learn at another time
that it broke, and what is in flight then is lost or comes late. Within a link messages keep their
order, as with TCP, unless the seed says otherwise.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from quorate.base.errors import PeerError
from quorate.base.events import Connected, Disconnected, Event, Received
from quorate.base.ids import GroupNumber, NodeId
from quorate.base.messages import Message
from quorate.sim.world import World
from quorate.wire.frame import FrameReader, encode_frame
from quorate.wire.hello import Hello, judge_hello

_encoder = msgspec.msgpack.Encoder()


class NetworkConditions(msgspec.Struct, frozen=True):
    """How a network behaves; drawn from the seed. Times in seconds, the rest are shares."""

    delay_s: float = 0.0005
    jitter_s: float = 0.0005
    tail: float = 0.01  # of messages that take up to tail_s longer
    tail_s: float = 0.05
    loss: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0  # of messages that take up to late_s longer, off the order of their link
    late_s: float = 8.0
    is_fifo: bool = True
    is_framed: bool = False  # messages travel as bytes of `wire.frame`
    outlives_link: float = 0.0  # of messages that arrive although their link broke meanwhile
    notice_s: float = 1.0  # how long an end may take to notice that a cut link is dead
    redial_s: float = 0.3


class Rule(msgspec.Struct):
    """For scripts: what becomes of messages that match. Held ones can be delivered later."""

    matches: Callable[[str, str, Message], bool]
    is_held: bool = False
    caught: list[tuple[str, Received]] = []  # the receiver, and what it would have received


class NetworkHost(Protocol):
    """What the network needs of a host."""

    name: str
    epoch: int  # 0 while it is down

    def hello(self) -> Hello:
        """What it sends in handshakes now."""
        ...

    def wants(self, name: str) -> bool:
        """Whether it keeps a link to that host."""
        ...

    def deliver(self, epoch: int, event: Event) -> None:
        """Something happened, for that epoch of it."""
        ...


class Network:
    """All links. Hosts are known by name, an address; node ids come with each handshake."""

    def __init__(self, world: World, conditions: NetworkConditions) -> None:
        self.world = world
        self.conditions = conditions
        self.ends: dict[str, NetworkHost] = {}
        self.counts = {"sent": 0, "lost": 0, "links": 0}
        self.rules: list[Rule] = []
        self._rng = world.rng("network")
        self._links: dict[tuple[str, str], int] = {}  # (end, other end) -> link as this end sees it
        self._peers: dict[tuple[str, str], NodeId] = {}
        self._number = 0
        self._last_s: dict[tuple[str, str], float] = {}
        self._cuts: dict[tuple[str, str], int] = {}
        self._slow: dict[tuple[str, str], float] = {}

    # --- faults -------------------------------------------------------------------------------

    def cut(self, pairs: list[tuple[str, str]]) -> None:
        """From now on nothing passes from the first of each pair to the second."""
        for pair in pairs:
            self._cuts[pair] = self._cuts.get(pair, 0) + 1
        for one, other in sorted({(min(p), max(p)) for p in pairs}):
            if self.is_cut(one, other) or self.is_cut(other, one):
                for pair in ((one, other), (other, one)):
                    delay_s = self.conditions.notice_s * self._rng.random()
                    self.world.after(delay_s, self._notice, pair, self._links.get(pair, 0))

    def heal(self, pairs: list[tuple[str, str]]) -> None:
        """Undo one `cut` of these pairs."""
        for pair in pairs:
            self._cuts[pair] = max(0, self._cuts.get(pair, 0) - 1)

    def heal_all(self) -> None:
        """No cut is left, nothing is slow, messages are lost no more."""
        self._cuts.clear()
        self._slow.clear()
        self.conditions = msgspec.structs.replace(
            self.conditions, loss=0.0, duplicates=0.0, late=0.0, tail=0.0
        )

    def is_cut(self, sender: str, receiver: str) -> bool:
        """Whether this direction is cut."""
        return self._cuts.get((sender, receiver), 0) > 0

    def slow_down(self, sender: str, receiver: str, delay_s: float) -> None:
        """Everything in this direction takes so much longer; 0: no more."""
        self._slow[sender, receiver] = delay_s

    def _notice(self, pair: tuple[str, str], link: int) -> None:
        """One end of a dead link detects it, unless the path is back."""
        one, other = pair
        is_dead = self.is_cut(one, other) or self.is_cut(other, one)
        if link and self._links.get(pair) == link and is_dead:
            self._break(one, other)

    # --- links --------------------------------------------------------------------------------

    def up(self, name: str) -> None:
        """A host started: it dials, and others dial it."""
        for other in self.ends:
            if other != name:
                self.world.after(self._rng.random() * 0.05, self._dial, name, other)

    def down(self, name: str, *, is_silent: bool) -> None:
        """A host stopped. A silent stop (power) is noticed later than a closed socket."""
        for other in self.ends:
            self._links.pop((name, other), None)
            link = self._links.get((other, name), 0)
            if link:
                delay_s = self.conditions.notice_s if is_silent else self.conditions.delay_s
                self.world.after(delay_s * self._rng.random(), self._lose, other, name, link)

    def redial(self, name: str) -> None:
        """A host needs other links than before."""
        for other in self.ends:
            if other != name and (name, other) not in self._links:
                self.world.after(self._rng.random() * 0.01, self._dial, name, other)

    def close(self, one: str, other: str) -> None:
        """One end closes its link: it knows at once, the other end soon."""
        link = self._links[one, other]
        delay_s = self.conditions.delay_s * self._rng.random()
        self.world.after(0.0, self._lose, one, other, link)
        self.world.after(delay_s, self._lose, other, one, link)

    def is_linked(self, one: str, other: str) -> bool:
        """Whether this end has a link."""
        return (one, other) in self._links

    def _lose(self, one: str, other: str, link: int) -> None:
        if self._links.get((one, other)) == link:
            self._break(one, other)

    def _notice_end(self, one: str, other: str, link: int) -> None:
        """The other end has closed the link: noticed as soon as the path carries anything."""
        if self._links.get((one, other)) != link:
            return
        if self.is_cut(other, one) or self.is_cut(one, other):
            self.world.after(self.conditions.notice_s, self._notice_end, one, other, link)
        else:
            self._break(one, other)

    def _break(self, one: str, other: str) -> None:
        link = self._links.pop((one, other))
        if self._links.get((other, one)) == link:
            delay_s = self.conditions.delay_s * self._rng.random()
            self.world.after(delay_s, self._notice_end, other, one, link)
        end = self.ends[one]
        end.deliver(end.epoch, Disconnected(self._peers[one, other]))
        self.world.after(self._pause(), self._dial, one, other)

    def _pause(self) -> float:
        return self.conditions.redial_s * (0.2 + self._rng.random())

    def _dial(self, one: str, other: str) -> None:
        """Try to establish a link, and try again later if it is wanted and there is none."""
        here, there = self.ends[one], self.ends[other]
        if not here.epoch or not (here.wants(other) or there.wants(one)):
            return
        ours, theirs = (one, other), (other, one)
        link = self._links.get(ours)
        if link and self._links.get(theirs) == link:
            return
        is_open = not (self.is_cut(one, other) or self.is_cut(other, one))
        if there.epoch and is_open and self._shake(here, there):
            self._number += 1
            self.counts["links"] += 1
            hello, answer = here.hello(), there.hello()
            self._join(here, there, self._number, hello.cluster_id, answer)
            self._join(there, here, self._number, answer.cluster_id, hello)
        else:
            self.world.after(self._pause(), self._dial, one, other)

    def _shake(self, here: NetworkHost, there: NetworkHost) -> bool:
        mine, theirs = here.hello(), there.hello()
        try:
            judge_hello(mine, theirs)
            judge_hello(theirs, mine)
        except PeerError as error:  # a refused handshake is no link; tried again later
            self.world.log(f"{here.name} {there.name} refused: {error.text[:60]}")
            return False
        return True

    def _join(
        self, here: NetworkHost, there: NetworkHost, link: int, said: str, hello: Hello
    ) -> None:
        self._links[here.name, there.name] = link
        self._peers[here.name, there.name] = hello.member.id
        self._last_s.pop((here.name, there.name), None)
        delay_s = self.conditions.delay_s * self._rng.random()
        self.world.after(delay_s, self._connected, here.name, there.name, link, said, hello)

    def _connected(self, one: str, other: str, link: int, said: str, hello: Hello) -> None:
        if self._links.get((one, other)) == link:
            end = self.ends[one]
            end.deliver(end.epoch, Connected(hello.member, hello.cluster_id, said))

    # --- messages -----------------------------------------------------------------------------

    def send(
        self, sender: NetworkHost, receiver: str, message: Message, group: GroupNumber
    ) -> None:
        """Send a message of a group; without a link it is lost."""
        name, conditions = sender.name, self.conditions
        event = Received(sender.hello().member.id, message, group)
        link = self._links.get((name, receiver))
        self.counts["sent"] += 1
        rng = self._rng
        for rule in self.rules:
            if rule.matches(name, receiver, message):
                rule.caught.append((receiver, event))
                return
        if link is None or self.is_cut(name, receiver) or rng.random() < conditions.loss:
            self.counts["lost"] += 1
            return
        delay_s = self._delay(name, receiver)
        if rng.random() < conditions.late:
            late_s = delay_s + conditions.late_s * rng.random()
            self._go(name, receiver, link, event, late_s)
            return
        if conditions.is_fifo:
            due_s = max(self.world.now + delay_s, self._last_s.get((name, receiver), 0.0))
            self._last_s[name, receiver] = due_s
            delay_s = due_s - self.world.now
        self._go(name, receiver, link, event, delay_s)
        if rng.random() < conditions.duplicates:
            again_s = delay_s + rng.random() * conditions.tail_s
            self._go(name, receiver, link, event, again_s)

    def let_go(self, rule: Rule) -> None:
        """End a rule; what it held is delivered now, whatever became of the links meanwhile."""
        self.rules.remove(rule)
        for receiver, event in rule.caught if rule.is_held else []:
            end = self.ends[receiver]
            end.deliver(end.epoch, event)

    def _go(self, sender: str, receiver: str, link: int, event: Received, delay_s: float) -> None:
        epoch = self.ends[receiver].epoch
        self.world.after(delay_s, self._arrive, sender, receiver, epoch, link, event)

    def _delay(self, sender: str, receiver: str) -> float:
        conditions, rng = self.conditions, self._rng
        delay_s = conditions.delay_s + conditions.jitter_s * rng.random()
        if rng.random() < conditions.tail:
            delay_s += conditions.tail_s * rng.random()
        return delay_s + self._slow.get((sender, receiver), 0.0)

    def _arrive(self, sender: str, name: str, epoch: int, link: int, event: Received) -> None:
        end = self.ends[name]
        if not epoch or end.epoch != epoch:
            return
        if self._links.get((name, sender)) != link:
            if self._rng.random() >= self.conditions.outlives_link:
                self.counts["lost"] += 1
                return
        elif self.is_cut(sender, name):
            self.counts["lost"] += 1
            return
        data = _encoder.encode(event.message)
        self.world.trace.add(data)
        if self.conditions.is_framed:
            stream = b"".join(encode_frame(event.message, event.group))
            group, message = FrameReader().feed(stream)[0]
            event = Received(event.sender, message, group)
        if self.world.trace.listener is not None:
            self.world.log(f"{sender} -> {name} {shown(event.message)}")
        end.deliver(epoch, event)


def shown(message: Message) -> str:
    """A message as a short line."""
    return repr(message)[:160]
