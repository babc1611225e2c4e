"""The domain that CONTRIBUTING.md shows, run as it stands there: no other package knows of it."""

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest

from quorate.base.batches import Member
from quorate.base.config import ClusterConfig
from quorate.base.domain import Domain
from quorate.base.ids import NodeId, Slot
from quorate.domains import DOMAINS
from quorate.machine.domains import Domains
from quorate.machine.engine import assembled
from quorate.machine.machine import Machine
from quorate.machine.queries import Reader
from quorate.machine.snapshot import content, dump, restore_commands
from quorate.machine.watches import Watches
from quorate.node.recovering import Replayed, new_log, replayed, rows_of, state_of
from quorate.paxos.survivors import Surviving, Survivor
from quorate.sim.run import run
from quorate.sim.swarm import Plan, plan_of
from quorate.sim.tables import DictTables
from tests.docblocks import blocks
from tests.unit.gateways.harness import GatewayHarness
from tests.unit.machine.lab import Lab, fired

PAGE = Path(__file__).parent.parent / "CONTRIBUTING.md"
FILES = ("notes.py", "notes_http.py")
LINES_MAX = 100
SEEDS_MAX = 100


class Toy(NamedTuple):
    """The modules of the page, and all domains with the one of it."""

    notes: Any
    http: Any
    domains: Domains


def with_domain(domain: Domain) -> Domains:
    return assembled((*DOMAINS.all[1:], domain))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    for block in blocks(PAGE):
        if block.file in FILES:
            (tmp_path / block.file).write_text(block.text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    notes: Any = __import__("notes")
    yield Toy(notes, __import__("notes_http"), with_domain(notes.DOMAIN))
    for name in FILES:
        del sys.modules[name.removesuffix(".py")]


def test_it_is_short() -> None:
    texts = [block.text for block in blocks(PAGE) if block.file in FILES]

    assert len(texts) == len(FILES)
    assert sum(len(text.splitlines()) for text in texts) < LINES_MAX


def test_its_command_changes_its_table_and_wakes_its_watcher(toy: Toy) -> None:
    lab, watches = Lab(domains=toy.domains), Watches()
    lab.add_shadow()  # whose digest must be the same
    before = toy.notes.note_get(lab.read, "a")
    watches.add(before.subjects, "woken")

    assert lab.do(toy.notes.NoteSet("a", "hello", 500)) is True

    assert fired(watches, lab.changed_subjects) == ["woken"]
    after = toy.notes.note_get(lab.read, "a")
    assert (before.value, after.value) == (None, "hello")
    assert after.changed == after.header == lab.machine.index > before.changed
    assert dump(toy.domains, lab.tables)["NOTES"] == {b"a": (1_500, "hello")}


def test_its_timer_proposes_its_command_also_after_a_restart(toy: Toy) -> None:
    lab = Lab(domains=toy.domains)
    lab.do(toy.notes.NoteSet("a", "hello", 500), toy.notes.NoteSet("b", "later", 9_000))
    again = Machine(lab.tables, lab.settings, toy.domains)

    for machine in (lab.machine, again):
        assert machine.expirations(1_400) == []
        assert machine.expirations(1_500) == [toy.notes.NoteSet("a")]
    assert lab.do(toy.notes.NoteSet("a")) is False  # logged time is not there yet
    lab.log_time_ms = 1_500
    assert lab.do(toy.notes.NoteSet("a")) is True
    assert toy.notes.note_get(lab.read, "a").value is None


def test_a_snapshot_holds_its_rows_and_a_restore_sets_their_timers(toy: Toy) -> None:
    lab, other = Lab(domains=toy.domains), Lab(domains=toy.domains)
    lab.do(toy.notes.NoteSet("a", "hello", 500))
    other.add_shadow()

    for command in restore_commands(toy.domains, b"".join(content(toy.domains, lab.tables)), "r"):
        assert other.do(command) is not False

    answer = toy.notes.note_get(Reader(other.tables), "a")
    assert answer.value == "hello"
    assert answer.header == other.machine.index
    assert toy.notes.NoteSet("a") in other.machine.expirations(1_500)


def test_a_recovery_of_a_lost_cluster_applies_its_commands_and_keeps_its_rows(toy: Toy) -> None:
    lab, ann = Lab(domains=toy.domains), Member(NodeId("ann"), "Ann", "ann:8300")
    lab.do(toy.notes.NoteSet("a", "hello", 500))
    old = Replayed(ann, state_of(lab.tables), list(rows_of(lab.tables, toy.domains)))
    log, tables = Survivor(Slot(0), list(new_log(ann, 1, "new", old, "restore", 0))), DictTables()

    made = replayed(
        ann.id, 2, log, tables, Surviving(0, [], frozenset()), Random(1),
        cluster=ClusterConfig(), domains=toy.domains,
    )  # fmt: skip

    assert made.rows == old.rows
    assert toy.notes.note_get(Reader(tables), "a").value == "hello"


def test_its_endpoint_writes_reads_and_waits(toy: Toy) -> None:
    routes = sys.modules["quorate.gateways.http.routes"].ROUTES
    harness = GatewayHarness(domains=toy.domains, routes=(*routes, *toy.http.ROUTES))

    assert harness.ask("PUT", "/v1/note/a?ttl_ms=500", b"hello").body == b"true"
    reply = harness.ask("GET", "/v1/note/a")
    assert reply.body == b'"hello"'
    harness.post("GET", f"/v1/note/a?index={reply.headers['X-Consul-Index']}")
    assert harness.replies() == []
    harness.local.apply(toy.notes.NoteSet("a", "changed", 500))
    assert [one.body for one in harness.replies()] == [b'"changed"']


def with_model(toy: Toy, model: Callable[[Any, Any], bool]) -> Domains:
    other = msgspec.structs.replace(toy.notes.DOMAIN.simulation, model={toy.notes.NoteSet: model})
    return with_domain(msgspec.structs.replace(toy.notes.DOMAIN, simulation=other))


def plans(domains: Domains) -> Iterator[Plan]:
    """Those in which clients write notes often."""
    for seed in range(SEEDS_MAX):
        plan = plan_of(seed, 10.0, domains)
        if plan.make.profile.weights.get("note", 0.0) >= 1.0:
            yield plan


def test_the_simulator_runs_and_judges_it(toy: Toy) -> None:
    applied: list[Any] = []

    def noting(model: Any, command: Any) -> bool:
        applied.append(command)
        return bool(toy.notes.model_set(model, command))

    for plan in islice(plans(with_model(toy, noting)), 5):
        assert run(plan).failure == ""
    assert any(command.text for command in applied)
    assert any(not command.text for command in applied)  # its timers proposed these


def test_the_simulator_finds_it_wrong(toy: Toy) -> None:
    def never(_: Any, __: Any) -> bool:
        return False

    failures = (run(plan).failure for plan in islice(plans(with_model(toy, never)), 5))
    assert any("the model" in failure for failure in failures)
