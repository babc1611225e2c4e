"""A gateway without a network: bytes go into a connection, answers come out of its transport.

Behind it is a real machine on tables in memory; what a node does in between happens at once, or
when the test says so.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import httptools

from quorate.accounts import Account
from quorate.base import measured
from quorate.base.batches import Member
from quorate.base.command import Command
from quorate.base.config import NodeSettings
from quorate.base.context import PLAIN, RequestContext
from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.ids import NO_BALLOT, NodeId
from quorate.base.metrics import Histogram, Metric
from quorate.base.outcomes import Outcome
from quorate.base.ports import Done, Status
from quorate.domains import DOMAINS
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.context import Context
from quorate.gateways.http.route import Route
from quorate.gateways.http.routes import ROUTES
from quorate.gateways.http.server import ConsulApi
from quorate.gateways.http.sharing import shared
from quorate.httpserver.connection import Connection
from quorate.httpserver.headercache import HeaderCache
from quorate.httpserver.listener import Served
from quorate.httpserver.request import Request
from quorate.httpserver.slices import SliceQueue
from quorate.machine.domains import Domains
from quorate.machine.watches import Watches
from quorate.node.detector import registration
from tests.unit.machine.lab import ANN, INITIAL, Lab, fired

CLUSTER = "8d3f3a44-0a3b-4b0e-9d4e-3c1f6b6f2a11"
ME = Member(ANN, "Ann", "10.0.0.1:8300", "10.0.0.1:8500")
BOB = Member(NodeId("bob"), "Bob", "10.0.0.2:8300", "10.0.0.2:8500")


class FakeWatch:
    def __init__(self, watches: Watches, watch_id: int) -> None:
        self._watches = watches
        self._id = watch_id

    def cancel(self) -> None:
        self._watches.remove(self._id)


class FakeLocal:
    """Fills `base.ports.Local`.

    `refusal` answers everything that needs a quorum; while `is_held`, such questions wait.
    """

    def __init__(self, *, with_node: bool = True, domains: Domains = DOMAINS) -> None:
        self.lab = Lab(with_node=with_node, domains=domains)
        self.now_s = 100.0
        self.refusal: QuorateError | None = None
        self.removal: UnavailableError | None = None
        self.is_held = False
        self.is_asked = asyncio.Event()  # something is held
        self.held: list[Callable[[], None]] = []
        self.submitted: list[Command] = []
        self.faults: list[BaseException] = []
        self.urgent: list[bool] = []
        self.contexts: list[RequestContext] = []  # of what was asked
        self.reads = 0
        self.changes: list[tuple[str, Member]] = []
        self.watches = Watches()
        self.leader: Member | None = ME
        self.last_contact_s = 0.0
        self.voters: tuple[Member, ...] = (ME,)
        self.healthy = frozenset({ANN})
        self.reason = ""

    @property
    def tables(self) -> Any:
        return self.lab.tables

    @property
    def unindexed_changes(self) -> int:
        return self.lab.machine.unindexed_changes

    def submit(
        self, context: RequestContext, command: Command, done: Done, *, urgent: bool = False
    ) -> None:
        self.submitted.append(command)
        self.urgent.append(urgent)
        self.contexts.append(context)

        def step() -> None:
            done(self.refusal or self.apply(command))

        self._later(step)

    def register(self, *members: Member) -> None:
        """Members register themselves, as nodes do when they find a leader."""
        for member in members:
            self.apply(registration(member, NodeSettings(meta={"zone": member.name})))

    def apply(self, command: Command) -> Outcome:
        """Apply a command, and wake who waits for what it changed."""
        outcome = self.lab.outcomes(command)[0]
        for fire in fired(self.watches, self.lab.changed_subjects):
            cast(Callable[[], None], fire)()
        return outcome

    def read(self, context: RequestContext, done: Callable[[int | QuorateError], None]) -> None:
        self.reads += 1
        self.contexts.append(context)
        self._later(lambda: done(self.refusal or self.lab.machine.log_time_ms))

    def watch(
        self, context: RequestContext, subjects: Sequence[bytes], fire: Callable[[], None]
    ) -> FakeWatch:
        self.contexts.append(context)
        return FakeWatch(self.watches, self.watches.add(subjects, fire))

    def status(self) -> Status:
        machine = self.lab.machine
        configuration = INITIAL.__class__(1, 0, self.voters)
        return Status(
            ME, CLUSTER, "leader", self.leader, self.last_contact_s, self.leader is not None,
            NO_BALLOT,
            machine.applied, machine.applied, machine.index, machine.log_time_ms, machine.digest,
            configuration, self.healthy, {}, self.reason,
        )  # fmt: skip

    def change(
        self,
        context: RequestContext,
        verb: str,
        member: Member,
        done: Callable[[QuorateError | None], None],
    ) -> None:
        self.contexts.append(context)
        self.changes.append((verb, member))
        self._later(lambda: done(self.refusal))

    def report(self, error: BaseException, context: RequestContext = PLAIN) -> str:
        self.contexts.append(context)
        self.faults.append(error)
        return f"fault{len(self.faults)}"

    def metrics(self) -> list[Metric]:
        durations = Histogram()
        durations.observe(0.0005)
        durations.observe(60.0)
        return [
            measured.LOOP_TURNS_TOTAL.of(3),
            measured.LOOP_LAG_MAX_SECONDS.of(0.25),
            measured.IS_LEADER.of(True),
            measured.APPLY_SECONDS.of(durations),
            measured.ROLE.by_label({"leader": 1.0, "learner": 0.0}),
        ]

    def release(self) -> None:
        """Let what was held go on, oldest first."""
        self.is_held = False
        held, self.held = self.held, []
        for step in held:
            step()

    def _later(self, step: Callable[[], None]) -> None:
        if self.is_held:
            self.held.append(step)
            self.is_asked.set()
        else:
            step()


class FakeTimer:
    def __init__(self, delay_s: float, step: Callable[[], None]) -> None:
        self.delay_s = delay_s
        self.step = step
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class FakeTransport:
    """What a connection writes to."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.written: list[bytes] = []
        self.is_closed = False
        self.is_aborted = False
        self.is_paused = False
        self.has_eof = False
        self.unsent_bytes = 0

    def get_extra_info(self, name: str) -> object:
        return (self.host, 12345) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_eof = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class GatewayHarness:
    """A gateway with one connection; fills `connection.Listener`."""

    def __init__(
        self,
        config: HttpConfig | None = None,
        *,
        with_node: bool = True,
        domains: Domains = DOMAINS,
        routes: Sequence[Route] = ROUTES,
        slices: SliceQueue | None = None,
        local: FakeLocal | None = None,
    ) -> None:
        self.config = HttpConfig() if config is None else config
        self.tick = 1
        self.is_stopping = False
        self.is_full = False
        self.waiting: list[Served] = []  # for memory
        self.local = FakeLocal(with_node=with_node, domains=domains) if local is None else local
        self.timers: list[FakeTimer] = []
        common = shared(self.config)
        at_once = SliceQueue(lambda step: step())  # so that answers are there
        self.slices = at_once if slices is None else slices
        common = common._replace(slices=self.slices)
        self.context = Context(self.local, self.config, self._call_later, common)
        self.application = ConsulApi(self.context, routes)
        self.header_cache = HeaderCache(self.application.remembered_body_bytes_max)
        self.handle: Callable[[Request], None] = self.application.handle
        self.connect()

    def connect(self) -> None:
        """A new connection takes the place of the one there was."""
        self.transport = FakeTransport()
        self.connection = Connection(self)
        self.connection.connection_made(cast(Any, self.transport))

    def _call_later(self, delay_s: float, step: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(delay_s, step))
        return self.timers[-1]

    def admit(self, connection: Served, host: str) -> Account | None:
        return None if self.is_full else self.context.shared.budget.enter(host)

    def forget(self, connection: Served, account: Account) -> None:
        self.context.shared.budget.leave(account)

    def wait_for_memory(self, connection: Served) -> None:
        self.waiting.append(connection)

    def note_spent(self) -> None:
        self.context.shared.budget.counters.requests_refused += 1

    def go_on(self, step: Callable[[], None]) -> None:
        step()

    # --- asking --------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Bytes arrive."""
        self.connection.data_received(data)

    def ask(self, method: str, target: str, body: bytes = b"", *headers: str) -> Reply:
        """One whole request; its answer, which must be there at once."""
        self.post(method, target, body, *headers)
        (reply,) = self.replies()
        return reply

    def ask_anew(self, method: str, target: str) -> Reply:
        """The same on a connection of its own."""
        self.connect()
        return self.ask(method, target)

    def post(self, method: str, target: str, body: bytes = b"", *headers: str) -> None:
        """One whole request."""
        self.send(request(method, target, body, *headers))

    def replies(self) -> list[Reply]:
        """The answers that were written since the last call."""
        data = b"".join(self.transport.written)
        self.transport.written.clear()
        return parsed(data)


async def until(holds: Callable[[], object]) -> None:
    """Let the loop and its threads work until something holds."""
    while not holds():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)


def request(method: str, target: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Collector:
    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.found: list[Reply] = []
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.found.append(Reply(self.parser.get_status_code(), self._headers, self._body))
        self._headers, self._body = {}, b""


def parsed(data: bytes) -> list[Reply]:
    """Whole answers, in order."""
    collector = _Collector()
    if data:
        collector.parser.feed_data(data)
    return collector.found
