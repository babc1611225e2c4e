"""A script: events of one node in the order in which they happen, and under each what it does.

```text
# A comment, up to the next event.
replica size=3 disk=slow          a new stage; `node …` for a whole node: see `stage`
n2: Prepare(2.n2, slot_first=1)   a message comes
    persist Promised(2.n2)        what it causes: written by `python -m tests.golden`
disk                              all records asked for are durable; `disk 1`: the first one
    to n2: Promise(…)
n3 up, n3 down                    a link
n2 accepts 2 to 9                 a peer votes for what this node proposed
wait 0.25                         time passes; `wait for PreVote`: until a line has that in it
propose "x"                       replica: the leader gets a batch
snapshot, state                   replica: one of the tables is durable; show what the roles hold
restart, power cut                the process is killed; or loses what was not durable too
read r1, change promote n4        node: what clients want
full, room                        node: the disk is full; it has room again
```
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quorate.base.events import SpaceChanged
from quorate.base.ids import Slot
from quorate.base.messages import Accepted
from tests.golden.stage import NodeStage, ReplicaStage, Stage
from tests.golden.text import number_of, read

INDENT = "    "
FOLDER = Path(__file__).parent


def traces() -> list[Path]:
    """All of them."""
    return sorted(FOLDER.glob("*.txt"))


def played(text: str) -> str:
    """The same script with what is caused now.

    Raises:
        ValueError: A line is no event.
    """
    return "".join(f"{line}\n" for line in _lines(text))


def labels(text: str) -> set[str]:
    """The rules that its comments name."""
    comments = [line for line in text.splitlines() if line.startswith("#")]
    return set(re.findall(r"\b[A-Z]+-?\d+\b", "\n".join(comments)))


def _lines(text: str) -> Iterator[str]:
    stage: Stage | None = None
    for line in text.splitlines():
        if line.startswith(INDENT):
            continue  # caused before; written anew
        yield line
        if not line or line.startswith("#"):
            continue
        if stage is None or line.split()[0] in ("replica", "node"):
            stage = _stage(line)
        else:
            _act(stage, line)
        for caused in stage.lines.take():
            yield INDENT + caused


def _stage(line: str) -> Stage:
    kind, *parts = line.split()
    given: dict[str, Any] = {}
    for name, _, value in (part.partition("=") for part in parts):
        given[name] = int(value) if value.isdigit() else value
    return ReplicaStage(**given) if kind == "replica" else NodeStage(**given)


def _act(stage: Stage, line: str) -> None:
    verb, _, rest = line.partition(" ")
    if verb.endswith(":"):
        stage.take_from(number_of(verb[:-1]), read(rest))
    elif re.fullmatch(r"n\d", verb):
        _act_peer(stage, number_of(verb), rest)
    elif line == "restart":
        stage.restart()
    elif line == "power cut":
        stage.power_cut()
    elif verb == "disk":
        stage.disk(int(rest) if rest else len(stage.asked))
    elif verb == "wait" and rest.startswith("for "):
        stage.wait_for(rest.removeprefix("for "))
    elif verb == "wait":
        stage.wait(float(rest))
    else:
        _act_own(stage, verb, rest)


def _act_peer(stage: Stage, number: int, what: str) -> None:
    if what == "up":
        stage.connect(number)
    elif what == "down":
        stage.disconnect(number)
    else:
        verb, first, _, last = what.split()
        if verb != "accepts":
            raise ValueError(f"no event of a peer: {what}")
        for slot in range(int(first), int(last) + 1):
            stage.take_from(number, Accepted(stage.ballot, Slot(slot)))


def _act_own(stage: Stage, verb: str, rest: str) -> None:
    """What is of one kind of stage only."""
    if isinstance(stage, ReplicaStage) and verb == "propose":
        stage.propose(read(rest))
    elif isinstance(stage, ReplicaStage) and verb == "state":
        stage.state()
    elif isinstance(stage, ReplicaStage) and verb == "snapshot":
        stage.save()
    elif isinstance(stage, NodeStage) and verb == "read":
        stage.ask(rest)
    elif isinstance(stage, NodeStage) and verb in ("full", "room"):
        stage.event(SpaceChanged(verb == "full"))
    elif isinstance(stage, NodeStage) and verb == "change":
        what, whom = rest.split()
        stage.change(what, number_of(whom))
    else:
        raise ValueError(f"no event here: {verb} {rest}")
