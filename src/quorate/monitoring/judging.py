"""Failure detection by one judge: who is alive, suspect or dead, by their renewals.

A judge that stood still has received nothing, and would take everybody for dead. So it distrusts
itself first: if it is called later than it should be, its own time stands still for as long, and
every deadline moves with it. What it observes is in this time only.

A subject becomes **suspect** when phi reaches a first threshold: it gets nothing new, and one
renewal makes it alive again. It becomes **dead** when phi has reached the second threshold and it
was suspect for a while. One whose connection closed is suspect at once, and dead after a shorter
while, in which it may connect again. These are opinions of one node: what changes ownership is a
command in the log that follows from them.

Source: Dadgar, Phillips, Currey, "Lifeguard: Local Health Awareness for More Accurate Failure
    Detection" (2017), for the distrust of oneself and for suspicion before death.
"""

from enum import Enum
from typing import NamedTuple

import msgspec

from quorate.monitoring.renewals import AccrualSettings, Renewals


class Liveness(Enum):
    """What the judge thinks of a subject."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"


class JudgeSettings(msgspec.Struct, frozen=True):
    """When a subject is suspect, and when it is dead.

    With renewals each second, as by default: suspect 2.3 s after the last one, dead after 4.8 s; by
    a closed connection at once, and after 1 s.

    Attributes:
        renewals: How intervals are judged.
        phi_suspect: Nothing new is given to it from here on.
        phi_dead: It is dead from here on, if it was suspect for long enough.
        suspicion_s: That it is suspect at least.
        reconnect_s: The same after its connection closed.
        tick_s: How often `Judge.tick` is called.
        late_s: A call that is later than this was late.
        distrusts_itself: False only to show what that is for.
    """

    renewals: AccrualSettings = AccrualSettings()
    phi_suspect: float = 3.0
    phi_dead: float = 8.0
    suspicion_s: float = 2.5
    reconnect_s: float = 1.0
    tick_s: float = 0.1
    late_s: float = 0.25
    distrusts_itself: bool = True


class LivenessChange(NamedTuple):
    """A subject became alive, suspect or dead."""

    subject: str
    liveness: Liveness


class JudgeTime:
    """The time that a judge was awake.

    Args:
        tick_s: How often it is advanced, at least.
        late_s: What is later than `tick_s` by more than this is taken out.
        now_s: The time.
    """

    __slots__ = ("_late_s", "_seen_s", "_tick_s", "lost_s")

    def __init__(self, tick_s: float, late_s: float, now_s: float) -> None:
        self._tick_s = tick_s
        self._late_s = late_s
        self._seen_s = now_s
        self.lost_s = 0.0

    def advance(self, now_s: float) -> float:
        """The judge's time now. Every call says that it is awake."""
        late_s = now_s - self._seen_s - self._tick_s
        if late_s > self._late_s:
            self.lost_s += late_s
        self._seen_s = max(self._seen_s, now_s)
        return now_s - self.lost_s


class _Subject:
    """One that is judged."""

    __slots__ = ("is_closed", "liveness", "renewals", "suspect_s")

    def __init__(self, renewals: Renewals) -> None:
        self.renewals = renewals
        self.liveness = Liveness.ALIVE
        self.suspect_s = 0.0
        self.is_closed = False

    def become(self, liveness: Liveness, time_s: float) -> None:
        self.liveness = liveness
        self.suspect_s = time_s

    def close(self) -> None:
        self.is_closed = True

    def renew(self, time_s: float) -> None:
        self.is_closed = False
        if self.liveness is Liveness.DEAD:
            self.renewals.restart(time_s)
        else:
            self.renewals.renew(time_s)


class Judge:
    """Who is alive, by one node. Bounded by its subjects: 100 intervals each.

    Cost: O(1) per renewal; `tick` O(n), a comparison for each subject that is not late.

    Args:
        settings: Thresholds.
        now_s: The time.
    """

    def __init__(self, settings: JudgeSettings, now_s: float) -> None:
        self._settings = settings
        late_s = settings.late_s if settings.distrusts_itself else float("inf")
        self._time = JudgeTime(settings.tick_s, late_s, now_s)
        self._subjects: dict[str, _Subject] = {}

    @property
    def lost_s(self) -> float:
        """How long it stood still, in all."""
        return self._time.lost_s

    def add(self, subject: str, now_s: float) -> None:
        """Judge a subject from now on, as alive; one that is known already stays as it is."""
        time_s = self._time.advance(now_s)
        if subject not in self._subjects:
            self._subjects[subject] = _Subject(Renewals(self._settings.renewals, time_s))

    def remove(self, subject: str) -> None:
        """Forget a subject."""
        self._subjects.pop(subject, None)

    def liveness(self, subject: str) -> Liveness | None:
        """Of a subject; None: it is unknown."""
        known = self._subjects.get(subject)
        return None if known is None else known.liveness

    def phi(self, subject: str, now_s: float) -> float:
        """Of a subject, for people to look at; 0 if it is unknown."""
        known = self._subjects.get(subject)
        return 0.0 if known is None else known.renewals.phi(now_s - self._time.lost_s)

    def on_renewal(self, subject: str, now_s: float) -> LivenessChange | None:
        """Count a renewal. Returns the change, if it was suspect or dead; unknown: nothing."""
        time_s = self._time.advance(now_s)
        known = self._subjects.get(subject)
        if known is None:
            return None
        known.renew(time_s)
        if known.liveness is Liveness.ALIVE:
            return None
        known.become(Liveness.ALIVE, time_s)
        return LivenessChange(subject, Liveness.ALIVE)

    def on_closed(self, subject: str, now_s: float) -> LivenessChange | None:
        """Its connection was closed by the other end: suspect at once."""
        time_s = self._time.advance(now_s)
        known = self._subjects.get(subject)
        if known is None:
            return None
        known.close()
        if known.liveness is not Liveness.ALIVE:
            return None
        known.become(Liveness.SUSPECT, time_s)
        return LivenessChange(subject, Liveness.SUSPECT)

    def tick(self, now_s: float) -> list[LivenessChange]:
        """What changed by time alone. Call it each `tick_s`."""
        time_s = self._time.advance(now_s)
        changes: list[LivenessChange] = []
        for name, subject in self._subjects.items():
            liveness = self._judged(subject, time_s)
            if liveness is not subject.liveness:
                subject.become(liveness, time_s)
                changes.append(LivenessChange(name, liveness))
        return changes

    def _judged(self, subject: _Subject, time_s: float) -> Liveness:
        settings = self._settings
        if subject.liveness is Liveness.DEAD:
            return Liveness.DEAD
        renewals = subject.renewals
        if subject.liveness is Liveness.ALIVE:
            if time_s - renewals.last_s < renewals.mean_s:
                return Liveness.ALIVE
            is_suspect = renewals.phi(time_s) >= settings.phi_suspect
            return Liveness.SUSPECT if is_suspect else Liveness.ALIVE
        suspected_s = time_s - subject.suspect_s
        if subject.is_closed and suspected_s >= settings.reconnect_s:
            return Liveness.DEAD
        if suspected_s >= settings.suspicion_s and renewals.phi(time_s) >= settings.phi_dead:
            return Liveness.DEAD
        return Liveness.SUSPECT
