"""Stage: a cluster of real processes under load, for one story about what goes wrong.

    def test_…(tmp_path: Path) -> None:
        async def story(stage: Stage) -> None:
            leader = await stage.leader()
            leader.kill()
            await stage.load.writes()
            leader.start()

        played(tmp_path, story)

When the story is over the load stops, every node that runs must have the same tables, and the
history is judged: linearizable, nothing acknowledged lost, nothing refused done.
"""

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from quorate.lab.demowork import Copy, read_copy
from quorate.lab.launch import LocalCluster, NodeProcess
from quorate.runtime.reserved import HOST
from tests.integration.load import Load
from tests.integration.wires import FRONT, Wires
from tests.limits import HANG_S

MIB = 1024 * 1024
SMALL: dict[str, object] = {"wal_segment_bytes": 2 * MIB, "free_bytes_min": 16 * MIB}
POLL_S = 0.02
SLOW_MACHINE: dict[str, object] = {"performance": {"raft_multiplier": 5}}
"""Configuration of nodes that hold on to their leader when the machine is busy with others."""

Story = Callable[["Stage"], Awaitable[None]]


class Facts(NamedTuple):
    """What a node says of itself."""

    role: str
    applied: int
    digest: str
    figures: dict[str, str]


class Stage:
    """What a story works with.

    Args:
        directory: Of everything.
        settings: The block `quorate` of every node's configuration.
        config: Other keys of it.
        is_wired: The nodes find each other over wires that can be cut.

    Attributes:
        nodes: n1, n2, n3.
        wires: Uncut, at first.
        load: Clients of all nodes; they work already when the story begins.
    """

    def __init__(
        self,
        directory: Path,
        settings: dict[str, object],
        config: dict[str, object],
        *,
        is_wired: bool,
    ) -> None:
        self.directory = directory
        self._is_wired = is_wired
        file = directory / "quorate.json"
        file.write_text(json.dumps(config | {"quorate": SMALL | settings}))
        self.cluster = LocalCluster(
            directory,
            extra=["-config-file", str(file)],
            advertise=FRONT if is_wired else HOST,
        )
        self.nodes = self.cluster.nodes
        self.wires = Wires(self.nodes)
        self.load = Load(self.endpoints)

    @property
    def endpoints(self) -> list[str]:
        """Where clients reach the nodes."""
        return [node.address for node in self.nodes]

    async def open(self) -> None:
        """Start everything, and wait until it works."""
        if self._is_wired:
            await self.wires.start()
        await asyncio.to_thread(self.cluster.start, HANG_S)
        self.load.start()
        await self.load.writes()

    async def close(self) -> None:
        """End everything, however it stands."""
        await self.load.abort()
        await asyncio.to_thread(self.cluster.stop)
        await self.wires.stop()

    # --- looking ------------------------------------------------------------------------------

    async def facts(self, node: NodeProcess) -> Facts | None:
        """What a node says of itself; None if it says nothing."""
        try:
            answer: Any = await asyncio.to_thread(node.get, "/v1/agent/self")
        except (OSError, http.client.HTTPException, ValueError):
            return None
        stats = answer["Stats"]
        figures: dict[str, str] = stats["quorate"]
        applied = int(stats["raft"]["applied_index"])
        return Facts(figures["role"], applied, figures["digest"], figures)

    async def leader(self, among: Sequence[NodeProcess] = ()) -> NodeProcess:
        """Wait for one of some nodes, or of all, to lead; of several the one that knows most."""
        found: list[tuple[int, str]] = []

        async def is_there() -> bool:
            found.clear()
            for node in among or self.nodes:
                facts = await self.facts(node) if node.is_running() else None
                if facts is not None and facts.role == "leader":
                    found.append((facts.applied, node.name))
            return bool(found)

        await self.until(is_there, "nobody leads")
        return self.node(max(found)[1])

    def node(self, name: str) -> NodeProcess:
        """A node by its name."""
        return next(node for node in self.nodes if node.name == name)

    def others(self, *nodes: NodeProcess) -> list[NodeProcess]:
        """All nodes but these."""
        return [node for node in self.nodes if node not in nodes]

    async def until(
        self, holds: Callable[[], Awaitable[bool]], what: str, patience_s: float = HANG_S
    ) -> None:
        """Wait until something holds."""
        deadline_s = time.monotonic() + patience_s
        while not await holds():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"after {patience_s:g} s: {what}\n{self.logs()}")
            await asyncio.sleep(POLL_S)

    async def says(self, node: NodeProcess, *words: str, since: int = 0) -> None:
        """Wait until a node's log holds all these words behind its first `since` bytes."""

        async def has_said() -> bool:
            text = log_of(node, since)
            return all(word in text for word in words)

        await self.until(has_said, f"{node.name} does not say {words}")

    async def ended(self, node: NodeProcess, patience_s: float = HANG_S) -> int | None:
        """Wait until a node ends by itself; return its exit code."""

        async def has_ended() -> bool:
            return not node.is_running()

        await self.until(has_ended, f"{node.name} goes on", patience_s)
        return node.exit_code

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {node.name}\n{node.log_end()}" for node in self.nodes)

    # --- acting -------------------------------------------------------------------------------

    async def start(self, node: NodeProcess) -> None:
        """Start a node, and wait until it has caught up with what was applied before."""
        node.start()
        await self.caught_up(node)

    async def caught_up(self, node: NodeProcess, patience_s: float = HANG_S) -> None:
        """Wait until a node has applied what the others have now."""
        others = [await self.facts(other) for other in self.others(node) if other.is_running()]
        goal = max((facts.applied for facts in others if facts is not None), default=1)

        async def is_there() -> bool:
            assert node.is_running(), f"{node.name} ended\n{node.log_end()}"
            facts = await self.facts(node)
            return facts is not None and facts.applied >= goal

        await self.until(is_there, f"{node.name} does not catch up to slot {goal}", patience_s)

    # --- judging ------------------------------------------------------------------------------

    async def judge(self) -> None:
        """Judge everything; the load stops."""
        await self.load.stop()
        copies = await self.copies([node for node in self.nodes if node.is_running()])
        history = self.load.history
        for copy in copies:
            assert history.lost(copy.values) == []
            assert history.undead(copy.values) == []
        assert history.not_linearizable() == []

    async def copies(self, nodes: Iterable[NodeProcess]) -> list[Copy]:
        """What some nodes have, once they have the same; at least one."""
        facts: list[Facts | None] = []
        chosen = list(nodes)

        async def are_equal() -> bool:
            facts[:] = [await self.facts(node) for node in chosen]
            slots = {each.applied for each in facts if each is not None}
            return None not in facts and len(slots) == 1

        await self.until(are_equal, "the nodes have not applied the same")
        digests = {each.digest for each in facts if each is not None}
        assert len(digests) == 1, facts
        copies = [await read_copy(node.address) for node in chosen]
        assert len({copy.digest for copy in copies}) == 1
        return copies


def played(
    directory: Path,
    story: Story,
    *,
    settings: dict[str, object] | None = None,
    config: dict[str, object] | None = None,
    is_wired: bool = False,
) -> None:
    """Play a story, and judge what came of it."""

    async def play() -> None:
        stage = Stage(directory, settings or {}, config or {}, is_wired=is_wired)
        try:
            await stage.open()
            await story(stage)
            await stage.load.writes()
            await stage.judge()
        finally:
            await stage.close()

    uvloop.run(play())


def log_of(node: NodeProcess, since: int = 0) -> str:
    """A node's log, without its first bytes."""
    return node.log.read_bytes()[since:].decode(errors="replace")
