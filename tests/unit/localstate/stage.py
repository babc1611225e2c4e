"""A local agent on a machine in memory; what takes time happens when the test says so."""

import random
from collections.abc import Callable
from typing import Any

from quorate.catalog.fields import Service
from quorate.localstate.agent import LocalAgent
from quorate.localstate.entries import StoredService, decode_entry
from quorate.localstate.pending import Key
from quorate.localstate.ports import ProbeRefusal
from quorate.localstate.state import StateSettings
from quorate.machine.queries import Reader
from quorate.monitoring.definitions import SECOND_NS, CheckDefinition
from tests.unit.gateways.harness import FakeLocal

NODE = "Ann"


class Call:
    def __init__(self, due_s: float, step: Callable[[], None]) -> None:
        self.due_s = due_s
        self.step = step
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Stage:
    """The agent with its node, clock, files and probes."""

    def __init__(
        self,
        *,
        with_node: bool = True,
        disk: dict[Key, bytes] | None = None,
        local: FakeLocal | None = None,
    ) -> None:
        self.local = FakeLocal(with_node=with_node) if local is None else local
        self.calls: list[Call] = []
        self.disk: dict[Key, bytes] = {} if disk is None else disk
        self.is_disk_slow = False
        self.runs_local_scripts = True
        self.synced: list[Callable[[], None]] = []
        self.probes: list[tuple[CheckDefinition, Callable[[str | None, str], None]]] = []
        self.warnings: list[str] = []
        settings = StateSettings(keeps_files=True)
        self.agent = LocalAgent(
            self.local, self._later, random.Random(1), settings,
            files=self, probes=self, report=self._report,
        )  # fmt: skip

    def _report(self, text: str, **_: object) -> None:
        self.warnings.append(text)

    def _later(self, delay_s: float, step: Callable[[], None]) -> Call:
        call = Call(self.local.now_s + delay_s, step)
        self.calls.append(call)
        return call

    def write(self, key: Key, data: bytes | None) -> None:
        if data is None:
            self.disk.pop(key, None)
        else:
            decode_entry(data)
            self.disk[key] = data

    def sync(self, done: Callable[[], None]) -> None:
        if self.is_disk_slow:
            self.synced.append(done)
        else:
            done()

    def refusal(
        self, definition: CheckDefinition, *, is_configured: bool = False
    ) -> ProbeRefusal | None:
        is_refused = is_configured and definition.kind == "script" and not self.runs_local_scripts
        return ProbeRefusal("no scripts", is_by_setting=True) if is_refused else None

    def start(
        self,
        definition: CheckDefinition,
        done: Callable[[str | None, str], None],
        *,
        is_configured: bool = False,
    ) -> None:
        self.probes.append((definition, done))

    def advance(self, duration_s: float) -> None:
        """Let time pass, and what is due happen in its order."""
        end_s = self.local.now_s + duration_s
        while True:
            due = [each for each in self.calls if not each.is_cancelled and each.due_s <= end_s]
            if not due:
                break
            call = min(due, key=lambda each: each.due_s)
            self.calls.remove(call)
            self.local.now_s = max(self.local.now_s, call.due_s)
            call.step()
        self.local.now_s = end_s

    def take(self, data: bytes) -> None:
        """Restore the entry of a file."""
        stored = decode_entry(data)
        if isinstance(stored, StoredService):
            self.agent.restore(stored)
        else:
            self.agent.restore_check(stored)

    def reader(self) -> Reader:
        return Reader(self.local.tables)


def service(name: str, **fields: Any) -> Service:
    return Service(name, name, **fields)


def ttl(name: str, service: str = "", seconds: float = 10, **fields: Any) -> CheckDefinition:
    return CheckDefinition(
        name,
        name,
        service_id=service,
        ttl_ns=int(seconds * SECOND_NS),
        **fields,
    )
