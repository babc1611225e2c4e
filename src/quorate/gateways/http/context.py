"""Context: what every handler uses, and how errors become responses."""

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from quorate.base import measured
from quorate.base.command import Command
from quorate.base.errors import QuorateError, StorageError
from quorate.base.metrics import Metric
from quorate.base.outcomes import Failure, Outcome
from quorate.base.ports import Local
from quorate.gateways.http import sharing
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.errors import LEADERLESS, HttpError, failed, http_error, spent
from quorate.gateways.http.keptreads import KeptReads
from quorate.gateways.http.params import Params
from quorate.gateways.http.process import Process
from quorate.gateways.http.responses import Responses
from quorate.gateways.http.sharing import Shared
from quorate.httpserver.request import Request
from quorate.httpserver.traffic import Traffic
from quorate.localstate.agent import LocalAgent
from quorate.serving.evaluations import Evaluated
from quorate.serving.ports import CallLater, Timer
from quorate.serving.serving import Serving

DEFAULT_LINES = (
    b"X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\n"
    b"X-Consul-Query-Backend: blocking-query\r\n"
)
"""The headers of a default read about the leader."""

_STALE_LINES = (
    b"X-Consul-Knownleader: %b\r\nX-Consul-Lastcontact: %d\r\n"
    b"X-Consul-Query-Backend: blocking-query\r\n"
)
_READS = (b"GET", b"HEAD", b"OPTIONS")
_CHANCE = random.Random()  # noqa: S311 - spreads timers
_STATUS_S = 0.005  # a status up to this age is shown in stale reads
_CONTACT_MS_MAX = 1_000_000_000_000


def call_in_loop(delay_s: float, step: Callable[[], None]) -> Timer:
    """Run a step later in the running loop."""
    return asyncio.get_running_loop().call_later(delay_s, step)


NO_DATACENTER = "No path to datacenter"


class Context:
    """What handlers use.

    Args:
        local, config: See below.
        call_later: Runs a step after a time.
        shared: See below; None: its own.

    Attributes:
        local: The node of this gateway.
        process: The process of the node; None: the endpoints that need it are refused.
        config: The settings.
        shared: Shared by all listeners of the node.
        responses: Sends responses.
        traffic: Counts them.
        serving: Carries out requests.
        reader: See `serving.serving.Serving.reader`.
        agent: The services and checks of this agent.
        kept: Reads that clients repeat.
    """

    def __init__(
        self,
        local: Local,
        config: HttpConfig,
        call_later: CallLater = call_in_loop,
        shared: Shared | None = None,
        process: Process | None = None,
        agent: LocalAgent | None = None,
    ) -> None:
        self.local = local
        self.process = process
        self.config = config
        self.shared = sharing.shared(config) if shared is None else shared
        self.responses = Responses(config)
        self.traffic = Traffic(())
        self.serving = Serving(
            local, call_later, self.shared.slices, self.shared.evaluations, _CHANCE,
            self.shared.budget.accounts,
        )  # fmt: skip
        self.reader = self.serving.reader
        self.agent = LocalAgent(local, call_later, _CHANCE) if agent is None else agent
        self.kept = KeptReads()
        self._contact: tuple[bool, int] = (False, 0)
        self._contact_s = float("-inf")

    def count_routes(self, traffic: Traffic) -> None:
        """Count responses by these routes."""
        self.traffic = traffic

    def reconfigure(self, config: HttpConfig) -> None:
        """Apply another configuration; requests that wait keep the old one."""
        self.config = config
        self.responses.reconfigure(config)
        self.kept.clear()

    def metrics(self) -> list[Metric]:
        """The metrics of the node and of this gateway."""
        return [
            *self._about(),
            *self.local.metrics(),
            *self.traffic.metrics(),
            *self.shared.budget.metrics(),
            *(() if self.process is None else self.process.metrics()),
        ]

    def _about(self) -> list[Metric]:
        config = self.config
        versions = (config.version, config.consul_version)
        return [measured.BUILD_INFO.by_labels([(versions, 1)])]

    def fail(self, request: Request, error: BaseException) -> None:
        """Respond with an error; an unexpected exception is logged, and answered as internal.

        Raises:
            StorageError: After the response: the node must be notified of damaged tables.
        """
        if isinstance(error, HttpError):
            self.responses.error(request, error)
            return
        if isinstance(error, QuorateError):
            reason = self.local.status().reason if error.code in LEADERLESS else ""
            self.responses.error(request, http_error(error, reason))
            if isinstance(error, StorageError) and error.code == "corrupt":
                raise error
            return
        fault = self.local.report(error, request.context)
        is_read = request.method in _READS
        text = f"internal error {fault}: the log of this node has more under that id"
        if not is_read:
            text += "; whether the request took effect is not known"
        code = "local" if is_read else "outcome_unknown"
        self.responses.error(request, HttpError(500, text, code=code, is_definite=is_read))

    def guarded(self, request: Request, step: Callable[[], None]) -> None:
        """Run a step of a handler; what it raises becomes the response."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - it is answered, and raised again if it is ours
            self.fail(request, error)

    def when_wanted(self, request: Request, step: Callable[[], None]) -> None:
        """Run a step that makes a long response, as `guarded`, but not before it can be sent.

        It is refused instead if the memory limit of its client, or of all, is reached.
        """
        if request.is_wanted():
            self._make_long(request, step)
        else:
            request.postpone(partial(self._make_long, request, step))

    def _make_long(self, request: Request, step: Callable[[], None]) -> None:
        if request.is_spent:
            self.refuse_spent(request)
        else:
            self.guarded(request, step)

    def refuse_spent(self, request: Request) -> None:
        """Respond that a memory limit is reached."""
        self.shared.budget.note_refused()
        self.fail(request, spent())

    def submit(
        self,
        request: Request,
        command: Command,
        then: Callable[[Outcome], None],
        *,
        prefix: str = "",
        urgent: bool = False,
    ) -> None:
        """Submit a command; its outcome is passed on, an error or failure is the response.

        Args:
            request: The request that asks for it.
            command: The command.
            then: Gets an outcome that is no failure.
            prefix: Is put before the text of a failure.
            urgent: See `base.ports.Submit.submit`.
        """

        def done(outcome: Outcome | QuorateError) -> None:
            self.submitted(request, outcome, then, prefix)

        self.serving.submit(request.context, command, done, urgent=urgent)

    def submitted(
        self,
        request: Request,
        outcome: Outcome | QuorateError,
        then: Callable[[Outcome], None],
        prefix: str = "",
    ) -> None:
        """Process an outcome, see `submit`."""
        if isinstance(outcome, QuorateError):
            self.fail(request, outcome)
        elif isinstance(outcome.value, Failure):
            self.fail(request, failed(outcome.value, prefix))
        else:
            self._go_on(request, outcome, then)

    def _go_on(self, request: Request, outcome: Outcome, then: Callable[[Outcome], None]) -> None:
        """The command took effect: errors from here on are indefinite."""
        try:
            then(outcome)
        except QuorateError as error:
            late = HttpError(500, error.text, code="outcome_unknown", is_definite=False)
            self.responses.error(request, late)
            if isinstance(error, StorageError) and error.code == "corrupt":
                raise
        except Exception as error:  # noqa: BLE001 - it is answered
            self.fail(request, error)

    def send_shared(
        self, request: Request, found: Evaluated, shown: Callable[[], Any], lines: bytes
    ) -> None:
        """Send a result as JSON, encoded once for all requests that share it.

        Args:
            request: The request to answer.
            found: The result of the evaluation.
            shown: Makes the value that is encoded.
            lines: Further header lines.
        """
        responses = self.responses
        asked = responses.asks_pretty(request)

        def encode() -> bytes:
            return responses.encoded(shown(), asked=asked)

        body = found.body(asked, encode)
        responses.send(request, body, lines=lines)

    def contact(self) -> tuple[bool, int]:
        """Whether a leader is known, and the milliseconds since the last contact with it."""
        now_s = self.local.now_s
        if now_s - self._contact_s > _STATUS_S:
            status = self.local.status()
            contact_ms = int(min(status.last_contact_s * 1000, _CONTACT_MS_MAX))
            self._contact = (status.leader is not None, contact_ms)
            self._contact_s = now_s
        return self._contact

    def stale_lines(self) -> bytes:
        """The headers of a stale read about the leader."""
        knows, contact_ms = self.contact()
        return _STALE_LINES % (b"true" if knows else b"false", contact_ms)

    def check_datacenter(self, params: Params) -> None:
        """Refuse a request for another datacenter.

        Raises:
            HttpError: 500: the query names another one.
        """
        name = params.text("datacenter") or params.text("dc")
        if name and name.lower() != self.config.datacenter:
            raise HttpError(500, NO_DATACENTER)


def check_enterprise(request: Request, params: Params) -> None:
    """Refuse namespaces and partitions; empty names are accepted.

    Raises:
        HttpError: 400: one is named.
    """
    if params:
        for name, words in (("ns", "Namespaces"), ("partition", "Partitions")):
            if params.text(name):
                text = (
                    f'Invalid query parameter: "{name}" - {words} are a Consul Enterprise feature'
                )
                raise HttpError(400, text)
    for header, value in request.headers:
        if len(header) == 18 and value:  # both have this length
            _check_header(header)


def _check_header(name: bytes) -> None:
    found = _ENTERPRISE.get(name.lower())
    if found is not None:
        header, feature = found
        raise HttpError(
            400, f'Invalid header: "{header}" - {feature} are a Consul Enterprise feature'
        )


_ENTERPRISE = {
    b"x-consul-namespace": ("X-Consul-Namespace", "Namespaces"),
    b"x-consul-partition": ("X-Consul-Partition", "Partitions"),
}
