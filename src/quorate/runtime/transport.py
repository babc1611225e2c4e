"""Transport: links to the other members, kept up, and messages over them.

Every node dials every member that it has no link with, and, until it knows the members, every
address that it was configured to join. So a restarted node is connected at once, whoever dials
first. Two nodes that dial each other at the same time get two links; both then keep the one that
the lower id dialed, without a message about it. Of two links dialed by the same end the newer one
counts: the other is one that its dialer knows to be closed.

Nothing here blocks: what a peer does not read is kept up to a limit, then its link is closed. What
was sent on a link that breaks may be lost; the node sends again what matters.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
from structlog.typing import FilteringBoundLogger

from quorate.base.batches import Configuration, Member
from quorate.base.errors import PeerError, violated
from quorate.base.events import Connected, Disconnected, Event, Received
from quorate.base.ids import GROUP, GroupNumber, NodeId
from quorate.base.messages import Message
from quorate.base.ports import Rng
from quorate.net.connector import PLAIN, Connector
from quorate.runtime.dialing import Dialer
from quorate.runtime.link import Link
from quorate.wire.frame import encode_frame
from quorate.wire.hello import Hello, judge_hello

UNIDENTIFIED_MAX = 64
"""Accepted connections without a finished handshake, at once; each further one costs another its
place: the oldest of the host that has most. So connections that send nothing exclude no others."""

LINKS_MAX = 256
"""Links at once; more are refused."""

OUTSIDERS_BYTES_MAX = 64 * 1024 * 1024
"""So much may have come of unfinished messages of peers that are no members, together."""

STUCK_S = 5.0
"""A peer that takes nothing for this long while we have much to say loses its link."""

STOP_S = 1.0
"""Peers get this long to take what was written before a stop."""

ISOLATED_S = 5.0
"""After this long without a link it is logged; then after twice as long, and so on."""

ISOLATED_MAX_S = 600.0
"""It says so at least this often."""

COMPLAINTS_MAX = 1000
"""So many different complaints are remembered, not to be made twice."""

_LEFT_UNFINISHED = "it is no member, and left a message unfinished while others needed the space"


class TransportCounters(msgspec.Struct):
    """Since this transport was made."""

    sent: int = 0
    encoded: int = 0
    received: int = 0
    unsent: int = 0
    connected: int = 0
    disconnected: int = 0
    refused: int = 0
    dropped_slow: int = 0
    dials: int = 0


class _Dialing(NamedTuple):
    dialer: Dialer
    task: asyncio.Task[None]


class Transport:
    """All links of one node.

    Args:
        hello: Makes the Hello of this node; called for each connection.
        join: Addresses to dial until the members are known, and when all links are lost.
        bytes_waiting_max: What one peer may owe us before its link is dropped.
        rng: Chance for pauses.
        log: The logger.
        connector: Makes the connections.
    """

    def __init__(
        self,
        hello: Callable[[], Hello],
        *,
        join: Iterable[str],
        bytes_waiting_max: int,
        rng: Rng,
        log: FilteringBoundLogger,
        connector: Connector = PLAIN,
    ) -> None:
        self._hello = hello
        self._join = tuple(dict.fromkeys(join))
        self._bytes_waiting_max = bytes_waiting_max
        self._rng = rng
        self._connector = connector
        self._log = log
        self._deliver: Callable[[Event], None] = _nowhere
        self._on_received: Callable[[], None] = _nowhere
        self._on_failure: Callable[[BaseException], None] = _nowhere
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._open: dict[Link, None] = {}  # every connection; a dict keeps the order
        self._unidentified: dict[Link, str] = {}  # the host of each accepted one, oldest first
        self._links: dict[NodeId, Link] = {}
        self._members: dict[str, Member] = {}  # by address, without this node
        self._member_ids: frozenset[NodeId] = frozenset()
        self._unfinished: dict[Link, None] = {}  # of no members; who began first is first
        self._dialings: dict[str, _Dialing] = {}
        self._dirty: dict[Link, None] = {}
        self._encoded: tuple[Message, GroupNumber, list[bytes]] | None = None
        self._cut_off: frozenset[str] = frozenset()
        self._complaints: set[str] = set()
        self._own_addresses: set[str] = set()
        self._is_configured = False
        self._is_stopped = False
        self._isolated_s = ISOLATED_S
        self._isolated: asyncio.TimerHandle | None = None
        self.counters = TransportCounters()

    # --- start and stop --------------------------------------------------------------------------

    async def start(
        self,
        listener: socket.socket,
        deliver: Callable[[Event], None],
        on_received: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Accept connections, and begin to dial.

        Args:
            listener: A bound socket; closed with this.
            deliver: Takes events, at once.
            on_received: Called when all that came from a peer in one piece was delivered.
            on_failure: Gets unexpected errors.
        """
        self._deliver, self._on_received, self._on_failure = deliver, on_received, on_failure
        self._server = await self._connector.serve(lambda: Link(self), listener)
        self._redial()
        self._isolated = self._loop.call_later(self._isolated_s, self._report_isolation)

    async def stop(self) -> None:
        """End every link; what was written is still sent, if the peers read it soon."""
        self._is_stopped = True
        if self._isolated is not None:
            self._isolated.cancel()
        if self._server is not None:
            self._server.close()
        for address in list(self._dialings):
            self._stop_dialing(address)
        waiting = [link.closed for link in self._open]
        for link in list(self._open):
            link.close()
        if waiting:
            await asyncio.wait(waiting, timeout=STOP_S)
        for link in list(self._open):
            link.abort()

    @property
    def peers(self) -> tuple[NodeId, ...]:
        """The peers with an established link."""
        return tuple(self._links)

    @property
    def connections(self) -> int:
        """Open connections, those without a finished handshake included."""
        return len(self._open)

    @property
    def unfinished_bytes(self) -> int:
        """The bytes received of messages that are not complete."""
        return sum(link.held_bytes for link in self._open)

    def drop(self, peer: NodeId) -> None:
        """End the link to a peer, if there is one; it is dialed again."""
        link = self._links.get(peer)
        if link is not None:
            link.abort()

    def cut_off(self, names: frozenset[str]) -> None:
        """Receive nothing from the peers of these names, until called without them. For tests.

        What they send on a link waits, as in a network that is cut; new links to them are closed.
        """
        changed, self._cut_off = self._cut_off ^ names, names
        for link in list(self._open):
            if link.peer is not None and link.peer.member.name in changed:
                link.set_reading(link.peer.member.name not in names)

    # --- what the driver asks --------------------------------------------------------------------

    def send(self, to: NodeId, message: Message, group: GroupNumber = GROUP) -> None:
        """Collect a message of a group; `flush` sends it. Without a link it is lost."""
        link = self._links.get(to)
        if link is None:
            self.counters.unsent += 1
            return
        encoded = self._encoded
        # one for all peers is encoded once
        if encoded is None or encoded[0] is not message or encoded[1] != group:
            try:
                encoded = self._encoded = (message, group, encode_frame(message, group))
                self.counters.encoded += 1
            except PeerError as error:  # ours: better one message lost than the node
                self._complain("message not sent", error.text)
                return
        link.outbox.extend(encoded[2])
        self._dirty[link] = None
        self.counters.sent += 1

    def flush(self) -> None:
        """Write what was collected: one write per peer."""
        if not self._dirty:
            return
        dirty, self._dirty = self._dirty, {}
        self._encoded = None
        now_s = self._loop.time()
        for link in dirty:
            owed_bytes = link.flush()
            if owed_bytes > self._bytes_waiting_max:
                self._drop_slow(link, f"{owed_bytes} bytes wait for it")
            elif link.stuck_since_s is not None and now_s - link.stuck_since_s > STUCK_S:
                self._drop_slow(link, f"it took nothing for {STUCK_S:g} s")

    def configure(self, configuration: Configuration, cluster_id: str) -> None:
        """These are the members: keep links to them, and dial no others any more."""
        me = self._hello().member.id
        self._is_configured = bool(cluster_id)
        self._members = {m.address: m for m in configuration.members if m.id != me}
        self._member_ids = frozenset(member.id for member in self._members.values())
        self._redial()

    def refuse(self, peer: NodeId, why: str) -> None:
        """End the link to a peer, and log why; its address is dialed again only after a while."""
        link = self._links.get(peer)
        if link is not None:
            self.flush()  # what was written before is still sent
            link.mark_refused()
            self.on_fault(link, why)
            link.close()

    # --- called by links -------------------------------------------------------------------------

    @property
    def hello(self) -> Hello:
        """The Hello of this node."""
        return self._hello()

    def on_opened(self, link: Link) -> bool:
        """A connection is established, its handshake begun; beyond a limit an older one ends."""
        self._open[link] = None
        if not link.is_dialed:
            self._unidentified[link] = link.remote.rpartition(":")[0]
            if len(self._unidentified) > UNIDENTIFIED_MAX:
                self._end_unidentified()
        return not self._is_stopped

    def _end_unidentified(self) -> None:
        counts = Counter(self._unidentified.values())
        most = max(counts.values())
        link = next(each for each, host in self._unidentified.items() if counts[host] == most)
        del self._unidentified[link]
        link.abort()

    def judge(self, link: Link, theirs: Hello) -> bool:
        """Decide whether a link may stay, and prefer it to an older one if it is better."""
        mine = self._hello()
        if theirs.nonce == mine.nonce and theirs.member.id == mine.member.id:
            link.note_fault("it leads back to this node")
            if link.is_dialed:
                self._note_own_address(link.address)
            return False
        if theirs.member.name in self._cut_off:
            return False
        fault = self._fault(mine, theirs)
        if fault:
            link.mark_refused()
            self.on_fault(link, fault)
            return False
        peer = theirs.member.id
        link.accept(theirs)
        self._unidentified.pop(link, None)
        other = self._links.get(peer)
        if other is not None:
            if _is_kept(other, link, mine.member.id):
                return False
            other.close()
        self._links[peer] = link
        self.counters.connected += 1
        if other is None or other.peer is None or other.peer.nonce != theirs.nonce:
            self._tell("peer connected", link)  # else it is the better of two at once
        self._deliver(Connected(theirs.member, theirs.cluster_id, link.said))
        return True

    def _note_own_address(self, address: str) -> None:
        """An address leads back to this node; if all to join do, they are misconfigured."""
        self._own_addresses.add(address)
        if not self._is_configured and self._own_addresses.issuperset(self._join):
            text = (
                "every address to join (-retry-join) is this node's own: it dials nobody else, and "
                "waits until others connect to it. Give the addresses of other nodes"
            )
            self._log.warning("no other node to join", why=text, addresses=", ".join(self._join))

    def _fault(self, mine: Hello, theirs: Hello) -> str:
        peer = theirs.member.id
        is_new = peer not in self._links and peer not in self._member_ids
        if is_new and len(self._links) >= LINKS_MAX:
            return f"{LINKS_MAX} other nodes are linked already"
        link = self._links.get(peer)
        try:
            judge_hello(mine, theirs, None if link is None else link.peer)
        except PeerError as error:
            return error.text
        return ""

    def on_messages(self, link: Link, messages: Sequence[tuple[GroupNumber, Message]]) -> None:
        """Give messages to the node, each with its group."""
        if link.peer is None:
            return
        sender = link.peer.member.id
        self.counters.received += len(messages)
        for group, message in messages:
            self._deliver(Received(sender, message, group))
        self._on_received()

    def on_unfinished(self, link: Link, is_new: bool) -> None:
        """A part of a message was received: the memory of all that are no members is limited.

        A limit for each would not do: a node that was away for long, or is new, receives long
        messages from members that it does not know as such yet. They are soon complete.
        """
        if self._is_members(link):
            return
        if is_new:
            self._unfinished.pop(link, None)
        self._unfinished[link] = None
        holders = [each for each in self._unfinished if each.held_bytes]
        held_bytes = sum(each.held_bytes for each in holders)
        for each in holders:
            if held_bytes <= OUTSIDERS_BYTES_MAX:
                break
            held_bytes -= each.held_bytes
            self._unfinished.pop(each)
            each.refuse(_LEFT_UNFINISHED)

    def _is_members(self, link: Link) -> bool:
        if link.peer is None:
            return False
        peer = link.peer.member.id
        return peer in self._member_ids and self._links.get(peer) is link

    def on_fault(self, link: Link, fault: str) -> None:
        """A peer broke the protocol or was refused: logged once."""
        link.note_fault(fault)
        self.counters.refused += 1
        self._complain("peer refused", fault, address=link.remote)

    def on_closed(self, link: Link) -> None:
        """A link has ended."""
        self._open.pop(link, None)
        self._unidentified.pop(link, None)
        self._dirty.pop(link, None)
        self._unfinished.pop(link, None)
        if link.peer is None or self._links.get(link.peer.member.id) is not link:
            return
        member = link.peer.member
        del self._links[member.id]
        self.counters.disconnected += 1
        self._tell("peer disconnected", link)
        is_ours = link.is_refused or self._is_stopped
        if not link.has_received and link.is_dialed and not is_ours:
            text = "it closed the connection right after the handshake; its own log may say why"
            self._complain("refused by peer", text, peer=member.name, address=link.remote)
        self._wake_dialers()
        if not self._is_stopped:
            self._deliver(Disconnected(member.id))

    def _drop_slow(self, link: Link, why: str) -> None:
        self.counters.dropped_slow += 1
        name = link.peer.member.name if link.peer else link.remote
        self._log.warning("dropped the link of a slow peer", peer=name, why=why)
        link.abort()

    def _tell(self, what: str, link: Link) -> None:
        """Log about a link; if the node is no member, only at the level for debugging."""
        if link.peer is None:
            return
        member = link.peer.member
        is_shown = member.id in self._member_ids or not self._is_configured
        tell = self._log.info if is_shown else self._log.debug
        tell(what, peer=member.name, address=link.remote)

    def _complain(self, what: str, why: str, **fields: str) -> None:
        key = f"{what} {why} {fields.get('peer', '')}"
        if key in self._complaints:
            return
        if len(self._complaints) >= COMPLAINTS_MAX:
            self._complaints.clear()
        self._complaints.add(key)
        self._log.warning(what, why=why, **fields)

    # --- dialing ---------------------------------------------------------------------------------

    def wants(self, address: str, leads_to: NodeId | None) -> bool:
        """Whether a link to this address is missing."""
        member = self._members.get(address)
        owner = member.id if member is not None else leads_to
        if self._is_stopped or address in self._own_addresses or owner in self._links:
            return False
        is_isolated = not self._is_configured or (bool(self._members) and not self._links)
        return member is not None or (is_isolated and address in self._join)

    def is_second(self, peer: NodeId | None) -> bool:
        """Whether the other end is to dial first after a break: the one with the lower id."""
        return peer is not None and peer < self._hello().member.id

    def new_link(self, address: str) -> Link:
        """A link for a connection about to be made."""
        self.counters.dials += 1
        return Link(self, address)

    def _report_isolation(self) -> None:
        """Log the results of dialing while no link is established, at growing intervals."""
        tried = [
            f"{address}: {dialing.dialer.outcome}"
            for address, dialing in self._dialings.items()
            if dialing.dialer.outcome and address not in self._own_addresses
        ]
        if self._links or not tried:
            self._isolated_s = ISOLATED_S
        else:
            self._log.warning("no other node reached", tried="; ".join(tried))
            self._isolated_s = min(2 * self._isolated_s, ISOLATED_MAX_S)
        self._isolated = self._loop.call_later(self._isolated_s, self._report_isolation)

    def _redial(self) -> None:
        if self._is_stopped or self._server is None:
            return
        wanted = dict.fromkeys((*self._members, *self._join))
        for address in [a for a in self._dialings if a not in wanted]:
            self._stop_dialing(address)
        for address in wanted:
            if address not in self._dialings:
                dialer = Dialer(self, address, self._rng, self._connector)
                task = self._loop.create_task(dialer.run())
                task.add_done_callback(self._dialer_ended)
                self._dialings[address] = _Dialing(dialer, task)
        self._wake_dialers()

    def _wake_dialers(self) -> None:
        for dialing in self._dialings.values():
            dialing.dialer.wake.set()

    def _stop_dialing(self, address: str) -> None:
        self._dialings.pop(address).task.cancel()

    def _dialer_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)


def _is_kept(older: Link, newer: Link, me: NodeId) -> bool:
    """Whether the older of two links to a peer stays. Both ends must decide the same."""
    if older.peer is None or newer.peer is None or older.peer.nonce != newer.peer.nonce:
        return False  # the peer has restarted: the older link is closed
    if older.is_dialed == newer.is_dialed:
        return False
    return older.is_dialed == (me < newer.peer.member.id)


def _nowhere(*_: object) -> None:
    violated("a transport is started before it has links")
