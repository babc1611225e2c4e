"""A node, a loop and callers of which a test decides each step; behind it a real machine."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from quorate.base.command import Command
from quorate.base.context import PLAIN, RequestContext
from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.outcomes import Outcome
from quorate.base.ports import Done
from quorate.base.slices import Step
from quorate.machine.queries import Reader
from quorate.machine.watches import Watches
from quorate.serving.evaluations import Evaluated, Evaluations
from quorate.serving.ports import Closable
from quorate.serving.reads import Provenance
from quorate.serving.serving import Serving
from tests.unit.machine.lab import Lab, fired

LOST = UnavailableError("no_quorum", "No cluster leader")
REMOVED = UnavailableError("removed", "this node was removed")


class Registered:
    """Fills `base.ports.WatchHandle`."""

    def __init__(self, watches: Watches, watch_id: int) -> None:
        self._watches, self._id = watches, watch_id

    def cancel(self) -> None:
        self._watches.remove(self._id)


class Alarm:
    """Fills `serving.ports.Timer`."""

    def __init__(self, delay_s: float, step: Callable[[], None]) -> None:
        self.delay_s, self.step, self.is_cancelled = delay_s, step, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Middle:
    """Fills `base.ports.Rng`."""

    def random(self) -> float:
        return 0.5

    def randrange(self, stop: int, /) -> int:
        return stop // 2


class Stage:
    """Fills `serving.ports.Backend`, and is the loop.

    Attributes:
        points: Read indexes that are requested and not there yet.
        commands: Likewise commands.
        steps: Slices that are not done.
        contexts: What each question came with.
    """

    def __init__(self) -> None:
        self.lab = Lab()
        self.tables = self.lab.tables
        self.now_s = 10.0
        self.removal: UnavailableError | None = None
        self.watches = Watches()
        self.points: list[Callable[[int | QuorateError], None]] = []
        self.commands: list[tuple[Command, Done, bool]] = []
        self.alarms: list[Alarm] = []
        self.steps: list[Step] = []
        self.contexts: list[RequestContext] = []
        self.serving = Serving(self, self.call_later, self, Evaluations(), Middle())

    def submit(
        self, context: RequestContext, command: Command, done: Done, *, urgent: bool = False
    ) -> None:
        self.contexts.append(context)
        self.commands.append((command, done, urgent))

    def read(self, context: RequestContext, done: Callable[[int | QuorateError], None]) -> None:
        self.contexts.append(context)
        self.points.append(done)

    def watch(
        self, context: RequestContext, subjects: Sequence[bytes], fire: Callable[[], None]
    ) -> Registered:
        self.contexts.append(context)
        return Registered(self.watches, self.watches.add(subjects, fire))

    def call_later(self, delay_s: float, step: Callable[[], None]) -> Alarm:
        self.alarms.append(Alarm(delay_s, step))
        return self.alarms[-1]

    def add(self, step: Step) -> None:
        """Fills `serving.ports.Slices`."""
        self.steps.append(step)

    # --- what a test does -----------------------------------------------------------------------

    def apply(self, command: Command) -> Outcome:
        """A command takes effect; who waits for it is woken."""
        outcome = self.lab.outcomes(command)[0]
        for fire in fired(self.watches, self.lab.changed_subjects):
            cast(Callable[[], None], fire)()
        return outcome

    def point(self, answer: int | QuorateError | None = None) -> None:
        """The oldest read index comes."""
        self.points.pop(0)(self.lab.machine.log_time_ms if answer is None else answer)

    def turn(self) -> None:
        """Every step of slices that is due does one piece."""
        steps, self.steps = self.steps, []
        self.steps += [step for step in steps if step()]


class Asker:
    """Fills `serving.reads.ReadCaller`, and records what it was given.

    Attributes:
        results: (value, index) of each answer.
        is_wanted: Its answer could leave.
        may_wait: It has not used up what is held for it.
    """

    def __init__(self, context: RequestContext = PLAIN, asked: bytes = b"") -> None:
        self.context = context
        self.asked = asked
        self.results: list[tuple[Any, int]] = []
        self.provenance: list[Provenance] = []
        self.errors: list[BaseException] = []
        self.postponed: list[Callable[[], None]] = []
        self.is_lost = False
        self.is_wanted = True
        self.may_wait = True
        self.on_lost: Callable[[], None] | None = None
        self.owned: Closable | None = None

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)

    def run(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - as a gateway does
            self.fail(error)

    def when_wanted(self, step: Callable[[], None]) -> None:
        if self.is_wanted:
            self.run(step)
        else:
            self.postponed.append(step)

    def conclude(self, outcome: Outcome | QuorateError, then: Callable[[Outcome], None]) -> None:
        if isinstance(outcome, QuorateError):
            self.fail(outcome)
        else:
            then(outcome)

    def begin_wait(self, on_lost: Callable[[], None]) -> bool:
        if not self.may_wait:
            self.fail(UnavailableError("overloaded", "too much"))
            return False
        self.on_lost = on_lost
        return True

    def end_wait(self) -> None:
        self.on_lost = None

    def own(self, held: Closable) -> None:
        self.owned = held

    def release(self) -> None:
        owned, self.owned = self.owned, None
        if owned is not None:
            owned.close()

    def question(self) -> bytes:
        return self.asked

    def digest(self, found: Evaluated) -> bytes:
        return repr(found.value).encode()

    def answer(self, found: Evaluated, reader: Reader, provenance: Provenance) -> None:
        answer = found.answer
        header = getattr(answer, "header", answer.changed)
        self.provenance.append(provenance)
        self.results.append((getattr(answer, "value", answer), provenance.index(reader, header)))
