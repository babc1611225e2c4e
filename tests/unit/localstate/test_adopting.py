"""What an older version registered in the catalog alone becomes part of the local state."""

import pytest

from quorate.base.context import PLAIN
from quorate.base.errors import UnavailableError
from quorate.catalog.commands import CatalogRegister, ServiceDeregister
from quorate.catalog.fields import SERVER_SERVICE, Check
from quorate.catalog.tables import check_of, instance_of
from quorate.localstate.agent import FULL_S
from quorate.localstate.pending import check_key, service_key
from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from tests.unit.localstate.stage import NODE, Stage, service, ttl


def old_rows(stage: Stage, *names: str, checks: tuple[Check, ...] = ()) -> None:
    """Rows as an older version left them: nobody has them in a local state."""
    for name in names:
        stage.local.apply(CatalogRegister(NODE, service=service(name, port=80)))
    if checks:
        stage.local.apply(CatalogRegister(NODE, checks=checks))


def names(stage: Stage) -> list[str]:
    return sorted(stage.agent.state.services)


def is_there(stage: Stage, name: str) -> bool:
    return instance_of(stage.reader().rows, NODE, name) is not None


def status(stage: Stage, check: str) -> str | None:
    row = check_of(stage.reader().rows, NODE, check)
    return None if row is None else row.status


def test_rows_without_entries_become_entries_before_anything_is_compared() -> None:
    stage, counts = Stage(), list[int]()
    old_rows(
        stage, "web", "api", SERVER_SERVICE,
        checks=(
            Check("of-web", "of web", WARNING, output="slow", service_id="web", type="http"),
            Check("of-node", "of the node", PASSING),
        ),
    )  # fmt: skip
    index = stage.reader().index
    stage.agent.start(counts.append)
    stage.advance(3 * FULL_S)
    assert (counts, names(stage)) == ([4], ["api", "web"])
    assert [is_there(stage, name) for name in ("web", "api", SERVER_SERVICE)] == [True] * 3
    assert [status(stage, name) for name in ("of-web", "of-node", "serfHealth")] == [
        WARNING, PASSING, PASSING,
    ]  # fmt: skip
    assert set(stage.disk) == {
        service_key("web"), service_key("api"), check_key("of-web"), check_key("of-node"),
    }  # fmt: skip
    assert stage.reader().index == index  # nothing in the catalog changed
    row = check_of(stage.reader().rows, NODE, "of-web")
    assert row is not None
    assert (row.type, row.output) == ("http", "slow")


def test_without_adoption_the_same_rows_are_removed() -> None:
    stage = Stage()
    old_rows(stage, "web")
    stage.agent.start()
    stage.advance(1)
    assert not is_there(stage, "web")


def test_what_was_adopted_comes_back_from_its_files_and_is_adopted_only_once() -> None:
    before, counts = Stage(), list[int]()
    old_rows(before, "web", checks=(Check("c", "c", WARNING, service_id="web", type="x"),))
    before.agent.start(counts.append)
    before.advance(1)
    after = Stage(disk=before.disk)
    old_rows(after, "foreign")  # came later: nobody registered it here
    for kind in ("service", "check"):
        for key in [key for key in after.disk if key[0] == kind]:
            after.take(after.disk[key])
    after.agent.restored()
    after.agent.start()
    after.advance(1)
    assert (names(after), is_there(after, "web"), is_there(after, "foreign")) == (
        ["web"],
        True,
        False,
    )
    assert status(after, "c") == WARNING


def test_many_rows_are_adopted_in_pieces() -> None:
    stage, counts = Stage(), list[int]()
    many = [f"s{number:03}" for number in range(300)]
    old_rows(stage, *many)
    stage.agent.start(counts.append)
    assert counts == []  # not all in one turn
    stage.advance(1)
    assert (counts, names(stage)) == ([300], many)
    stage.advance(3 * FULL_S)
    assert all(is_there(stage, name) for name in many)


def test_more_rows_than_an_agent_takes_are_adopted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, counts = Stage(), list[int]()
    old_rows(stage, "a", "b", "c")
    monkeypatch.setattr("quorate.localstate.state.SERVICES_MAX", 2)
    stage.agent.start(counts.append)
    stage.advance(3 * FULL_S)
    assert (counts, names(stage)) == ([3], ["a", "b", "c"])


def test_without_a_quorum_nothing_is_adopted_and_nothing_removed_until_there_is_one() -> None:
    stage, counts = Stage(), list[int]()
    old_rows(stage, "web")
    stage.local.refusal = UnavailableError("no_quorum", "No cluster leader")
    stage.agent.start(counts.append)
    stage.advance(3 * FULL_S)
    assert (counts, is_there(stage, "web")) == ([], True)
    stage.local.refusal = None
    stage.advance(FULL_S)
    assert (counts, names(stage), is_there(stage, "web")) == ([1], ["web"], True)


def test_what_is_registered_before_the_rows_are_read_is_newer_than_they_are() -> None:
    stage, counts = Stage(), list[int]()
    old_rows(stage, "web")
    stage.local.is_held = True
    stage.agent.start(counts.append)
    stage.agent.register(PLAIN, service("web", port=8080), [ttl("c", "web")], lambda _: None)
    stage.local.release()
    stage.local.is_held = False
    stage.advance(3 * FULL_S)
    row = instance_of(stage.reader().rows, NODE, "web")
    assert row is not None
    assert row.service.port == 8080


def test_what_is_removed_before_the_rows_are_read_is_not_adopted() -> None:
    stage, counts, done = Stage(), list[int](), list[object]()
    old_rows(stage, "web", "api", checks=(Check("c", "c", PASSING),))
    stage.local.is_held = True
    stage.agent.start(counts.append)
    assert stage.agent.deregister(PLAIN, "web", done.append)
    assert stage.agent.remove_check(PLAIN, "c", done.append)
    assert not stage.agent.deregister(PLAIN, "unknown", done.append)
    assert not stage.agent.deregister(PLAIN, SERVER_SERVICE, done.append)
    assert not stage.agent.remove_check(PLAIN, "serfHealth", done.append)
    stage.local.release()
    stage.local.is_held = False
    stage.advance(3 * FULL_S)
    assert (names(stage), is_there(stage, "web"), status(stage, "c")) == (["api"], False, None)
    assert done == [None, None]
    assert not stage.agent.deregister(PLAIN, "web", done.append)


def test_an_adopted_check_follows_its_row_and_one_that_is_registered_does_not() -> None:
    stage = Stage()
    old_rows(stage, "web", checks=(Check("c", "c", PASSING, service_id="web"),))
    stage.agent.start(lambda _: None)
    stage.advance(1)
    report = Check("c", "c", CRITICAL, output="down", service_id="web")
    stage.local.apply(CatalogRegister(NODE, checks=(report,)))
    stage.advance(3 * FULL_S)
    assert (status(stage, "c"), stage.agent.state.checks["c"].status) == (CRITICAL, CRITICAL)
    stage.local.apply(ServiceDeregister(NODE, "web"))
    stage.advance(3 * FULL_S)
    assert (is_there(stage, "web"), status(stage, "c")) == (True, CRITICAL)
    stage.agent.add_check(PLAIN, ttl("c", "web", 3600), lambda _: None)
    stage.agent.heartbeat(PLAIN, "c", PASSING, "", lambda _: None)
    stage.local.apply(CatalogRegister(NODE, checks=(report,)))
    stage.advance(3 * FULL_S)
    assert status(stage, "c") == PASSING
