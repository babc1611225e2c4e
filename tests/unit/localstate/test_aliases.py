import pytest

from quorate.base.context import PLAIN
from quorate.base.errors import QuorateError
from quorate.catalog.commands import CatalogRegister, CheckUpdate, NodeDeregister
from quorate.catalog.fields import Check, NodeFields
from quorate.catalog.tables import check_of
from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from quorate.monitoring.definitions import CheckDefinition
from tests.unit.localstate.stage import NODE, Stage, service, ttl


def put(stage: Stage, name: str, *definitions: CheckDefinition) -> None:
    done: list[QuorateError | None] = []
    stage.agent.register(PLAIN, service(name), definitions, done.append)
    assert done == [None]


def alias(name: str, of: str = "", on: str = "", service: str = "") -> CheckDefinition:
    return CheckDefinition(name, name, service_id=service, alias_service=of, alias_node=on)


def beat(stage: Stage, check: str, status: str, output: str = "") -> None:
    stage.agent.heartbeat(PLAIN, check, status, output, lambda _: None)


def seen(stage: Stage, check: str) -> tuple[str, str]:
    """In the local state; the row of the catalog must say the same status."""
    state = stage.agent.state.checks[check].state
    row = check_of(stage.reader().rows, NODE, check)
    assert row is not None
    assert (row.status, row.type) == (state.status, "alias")
    return state.status, state.output


def test_an_alias_has_the_status_of_the_checks_of_its_service() -> None:
    stage = Stage()
    put(stage, "web", ttl("c1", "web"), ttl("c2", "web"))
    for check in ("c1", "c2"):
        beat(stage, check, PASSING)
    put(stage, "proxy", alias("a", "web", service="proxy"))
    assert seen(stage, "a") == (PASSING, "All checks passing.")
    beat(stage, "c2", WARNING, "hm")
    assert seen(stage, "a") == (WARNING, 'Aliased check "c2" failing: hm')
    beat(stage, "c1", CRITICAL, "broken")
    assert seen(stage, "a") == (CRITICAL, 'Aliased check "c1" failing: broken')
    for check in ("c1", "c2"):
        beat(stage, check, PASSING)
    assert seen(stage, "a") == (PASSING, "All checks passing.")
    stage.advance(11)  # both expire
    assert seen(stage, "a")[0] == CRITICAL


def test_checks_of_the_node_count_too_and_the_alias_itself_does_not() -> None:
    stage = Stage()
    put(stage, "web")
    stage.agent.add_check(PLAIN, alias("a", "web"), lambda _: None)
    assert seen(stage, "a") == (PASSING, "No checks found.")
    stage.agent.add_check(PLAIN, ttl("disk"), lambda _: None)
    assert seen(stage, "a") == (CRITICAL, 'Aliased check "disk" failing: ')
    beat(stage, "disk", PASSING)
    assert seen(stage, "a") == (PASSING, "All checks passing.")
    assert stage.agent.remove_check(PLAIN, "disk", lambda _: None)
    assert seen(stage, "a") == (PASSING, "No checks found.")


def test_an_alias_follows_the_coming_and_going_of_its_service() -> None:
    stage = Stage()
    put(stage, "proxy", alias("a", "web", service="proxy"))
    assert seen(stage, "a") == (CRITICAL, "Service web could not be found on node ")
    put(stage, "web", ttl("c", "web", status=PASSING))
    assert seen(stage, "a") == (PASSING, "All checks passing.")
    assert stage.agent.deregister(PLAIN, "web", lambda _: None)
    assert seen(stage, "a") == (CRITICAL, "Service web could not be found on node ")


def test_aliases_of_each_other_come_to_an_end() -> None:
    stage = Stage()
    put(stage, "one", alias("a", "two", service="one"))
    put(stage, "two", alias("b", "one", service="two"))
    stage.agent.add_check(PLAIN, ttl("disk"), lambda _: None)
    for status in (PASSING, CRITICAL, PASSING):
        beat(stage, "disk", status)
    assert {seen(stage, each)[0] for each in ("a", "b")} <= {PASSING, CRITICAL}
    assert len(seen(stage, "a")[1]) < 1000


def test_an_alias_of_an_alias_follows_at_once() -> None:
    stage = Stage()
    put(stage, "web", ttl("c", "web", status=PASSING))
    put(stage, "mid", alias("a", "web", service="mid"))
    put(stage, "top", alias("b", "mid", service="top"))
    assert seen(stage, "b")[0] == PASSING
    beat(stage, "c", CRITICAL)
    assert seen(stage, "b")[0] == CRITICAL


def test_an_alias_that_is_replaced_or_removed_follows_nothing() -> None:
    stage = Stage()
    put(stage, "web", ttl("c", "web", status=PASSING))
    put(stage, "proxy", alias("a", "web", service="proxy"))
    put(stage, "proxy", ttl("a", "proxy", 3600))
    beat(stage, "c", CRITICAL)
    assert stage.agent.state.checks["a"].status == PASSING
    put(stage, "proxy", alias("a", "web", service="proxy"))
    assert seen(stage, "a")[0] == CRITICAL
    assert stage.agent.deregister(PLAIN, "proxy", lambda _: None)
    beat(stage, "c", PASSING)
    assert "a" not in stage.agent.state.checks


def test_an_alias_is_back_after_a_restart() -> None:
    before = Stage()
    put(before, "web", ttl("c", "web", 3600, status=PASSING))
    put(before, "proxy", alias("a", "web", service="proxy"))
    after = Stage(disk=before.disk)
    for kind in ("service", "check"):
        for key in [key for key in after.disk if key[0] == kind]:
            after.take(after.disk[key])
    after.agent.restored()
    after.agent.start()
    after.advance(1)
    beat(after, "c", CRITICAL)
    assert seen(after, "a")[0] == CRITICAL


@pytest.mark.parametrize("of", ["db", ""])
def test_an_alias_of_another_node_follows_its_rows(of: str) -> None:
    stage = Stage()
    local = stage.local
    details = NodeFields("bob", "10.0.0.2", "dc1", {}, {})
    local.apply(CatalogRegister("Bob", details, is_member=True))
    if of:
        local.apply(CatalogRegister("Bob", service=service("db")))
    put(stage, "web", alias("a", of, "bob", "web"))
    assert seen(stage, "a") == (PASSING, "All checks passing.")  # serfHealth
    local.apply(CatalogRegister("Bob", checks=(Check("a", "A", WARNING, output="hm"),)))
    assert seen(stage, "a") == (WARNING, 'Aliased check "A" failing: hm')
    local.apply(CatalogRegister("Bob", service=service("x"), checks=(
        Check("x", "x", CRITICAL, service_id="x"),)))  # fmt: skip
    assert seen(stage, "a")[0] == WARNING  # that of another service does not count
    local.apply(CheckUpdate("Bob", "serfHealth", CRITICAL, "gone"))
    assert seen(stage, "a")[0] == CRITICAL
    local.apply(NodeDeregister("Bob"))
    if of:
        assert seen(stage, "a") == (CRITICAL, "Service db could not be found on node bob")
    assert stage.agent.deregister(PLAIN, "web", lambda _: None)
    local.apply(CatalogRegister("Bob", details, is_member=True))
    assert "a" not in stage.agent.state.checks
