"""Context: what every handler works with, and how errors become answers wherever they arise."""

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
from quorate.gateways.http.answers import Answers
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.errors import LEADERLESS, HttpError, failed, http_error, spent
from quorate.gateways.http.params import Params
from quorate.gateways.http.process import Process
from quorate.gateways.http.sharing import Shared
from quorate.httpserver.request import Request
from quorate.httpserver.traffic import Traffic
from quorate.serving.evaluations import Evaluated
from quorate.serving.ports import CallLater, Timer
from quorate.serving.serving import Serving

DEFAULT_LINES = (
    b"X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\n"
    b"X-Consul-Query-Backend: blocking-query\r\n"
)
"""What a default read says of the leader."""

_STALE_LINES = (
    b"X-Consul-Knownleader: %b\r\nX-Consul-Lastcontact: %d\r\n"
    b"X-Consul-Query-Backend: blocking-query\r\n"
)
_READS = (b"GET", b"HEAD", b"OPTIONS")
_CHANCE = random.Random()  # noqa: S311 - spreads timers
_STATUS_S = 0.005  # a status this old is still told to readers of stale data
_HEARD_MS_MAX = 1_000_000_000_000


def call_in_loop(delay_s: float, step: Callable[[], None]) -> Timer:
    """Have the running loop do something later."""
    return asyncio.get_running_loop().call_later(delay_s, step)


NO_DATACENTER = "No path to datacenter"


class Context:
    """What a handler may use.

    Args:
        local, config: See below.
        call_later: Has something done later.
        shared: See below; None: its own.

    Attributes:
        local: The node this gateway lives on.
        process: The process that the node is; None if there is none that could be asked.
        config: Limits and spelling.
        shared: What all listeners of the node have in common.
        answers: Sends answers.
        traffic: Counts them.
        serving: Carries out what is asked.
        reader: See `serving.serving.Serving.reader`.
    """

    def __init__(
        self,
        local: Local,
        config: HttpConfig,
        call_later: CallLater = call_in_loop,
        shared: Shared | None = None,
        process: Process | None = None,
    ) -> None:
        self.local = local
        self.process = process
        self.config = config
        self.shared = sharing.shared(config) if shared is None else shared
        self.answers = Answers(config)
        self.traffic = Traffic(())
        self.serving = Serving(
            local, call_later, self.shared.slices, self.shared.evaluations, _CHANCE
        )
        self.reader = self.serving.reader
        self._contact: tuple[bool, int] = (False, 0)
        self._contact_s = float("-inf")

    def count_routes(self, traffic: Traffic) -> None:
        """Answers are counted by these routes."""
        self.traffic = traffic

    def reconfigure(self, config: HttpConfig) -> None:
        """From now on go by another configuration; requests that wait keep what they began with."""
        self.config = config
        self.answers.reconfigure(config)

    def metrics(self) -> list[Metric]:
        """What the node and this gateway count and measure."""
        return [
            *self._about(),
            *self.local.metrics(),
            *self.traffic.metrics(),
            *self.shared.budget.metrics(),
        ]

    def _about(self) -> list[Metric]:
        config = self.config
        versions = (config.version, config.consul_version)
        return [measured.BUILD_INFO.by_labels([(versions, 1)])]

    def fail(self, request: Request, error: BaseException) -> None:
        """Answer with an error; what is none of ours is logged, and answered as internal.

        Raises:
            StorageError: After the answer: the node must learn that its tables are damaged.
        """
        if isinstance(error, HttpError):
            self.answers.error(request, error)
            return
        if isinstance(error, QuorateError):
            reason = self.local.status().reason if error.code in LEADERLESS else ""
            self.answers.error(request, http_error(error, reason))
            if isinstance(error, StorageError) and error.code == "corrupt":
                raise error
            return
        fault = self.local.report(error, request.context)
        is_read = request.method in _READS
        text = f"internal error {fault}: the log of this node has more under that id"
        if not is_read:
            text += "; whether the request took effect is not known"
        code = "local" if is_read else "outcome_unknown"
        self.answers.error(request, HttpError(500, text, code=code, is_definite=is_read))

    def guarded(self, request: Request, step: Callable[[], None]) -> None:
        """Do a step of a handler; whatever it raises becomes the answer."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - it is answered, and raised again if it is ours
            self.fail(request, error)

    def when_wanted(self, request: Request, step: Callable[[], None]) -> None:
        """Do a step that makes a long answer, as `guarded`, but not before it can leave.

        It is refused instead if too much is held for its client already.
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
        """Answer that too much is held for the client, or for all."""
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
        """Have a command applied, then go on with its outcome; an error or refusal is answered.

        Args:
            request: Who asked for it.
            command: What to apply.
            then: Gets an outcome that is no failure.
            prefix: Goes before the text of a refusal.
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
        """Go on with an outcome, see `submit`."""
        if isinstance(outcome, QuorateError):
            self.fail(request, outcome)
        elif isinstance(outcome.value, Failure):
            self.fail(request, failed(outcome.value, prefix))
        else:
            self._go_on(request, outcome, then)

    def _go_on(self, request: Request, outcome: Outcome, then: Callable[[Outcome], None]) -> None:
        """The command took effect: what fails from now on is not definite."""
        try:
            then(outcome)
        except QuorateError as error:
            late = HttpError(500, error.text, code="outcome_unknown", is_definite=False)
            self.answers.error(request, late)
            if isinstance(error, StorageError) and error.code == "corrupt":
                raise
        except Exception as error:  # noqa: BLE001 - it is answered
            self.fail(request, error)

    def send_shared(
        self, request: Request, found: Evaluated, shown: Callable[[], Any], lines: bytes
    ) -> None:
        """Send an answer as JSON, encoded once for all who get this very one.

        Args:
            request: To whom.
            found: As it was evaluated.
            shown: Makes what is encoded of it.
            lines: Further header lines.
        """
        answers = self.answers
        asked = answers.asks_pretty(request)

        def encode() -> bytes:
            return answers.encoded(shown(), asked=asked)

        body = found.body(asked, encode)
        answers.send(request, body, lines=lines)

    def contact(self) -> tuple[bool, int]:
        """Whether a leader is known, and how many milliseconds ago it was heard."""
        now_s = self.local.now_s
        if now_s - self._contact_s > _STATUS_S:
            status = self.local.status()
            heard_ms = int(min(status.heard_s * 1000, _HEARD_MS_MAX))
            self._contact = (status.leader is not None, heard_ms)
            self._contact_s = now_s
        return self._contact

    def stale_lines(self) -> bytes:
        """What a stale read says of the leader."""
        knows, heard_ms = self.contact()
        return _STALE_LINES % (b"true" if knows else b"false", heard_ms)

    def check_datacenter(self, params: Params) -> None:
        """Refuse what is meant for another datacenter.

        Raises:
            HttpError: 500: it is.
        """
        name = params.text("datacenter") or params.text("dc")
        if name and name.lower() != self.config.datacenter:
            raise HttpError(500, NO_DATACENTER)


def check_enterprise(request: Request, params: Params) -> None:
    """Refuse namespaces and partitions; empty ones are let pass.

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
    words = _ENTERPRISE.get(name.lower())
    if words is not None:
        header, feature = words
        raise HttpError(
            400, f'Invalid header: "{header}" - {feature} are a Consul Enterprise feature'
        )


_ENTERPRISE = {
    b"x-consul-namespace": ("X-Consul-Namespace", "Namespaces"),
    b"x-consul-partition": ("X-Consul-Partition", "Partitions"),
}
