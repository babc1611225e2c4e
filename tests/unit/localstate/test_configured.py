"""Entries of the configuration in the local state: applied, changed, removed."""

import pytest

from quorate.base.config import NodeSettings
from quorate.base.context import PLAIN
from quorate.base.errors import QuorateError, RequestError
from quorate.catalog.fields import Service
from quorate.catalog.tables import check_of, instance_of
from quorate.localstate.configured import ConfiguredService, Definitions
from quorate.localstate.entries import EntryOrigin
from quorate.localstate.pending import check_key, service_key
from quorate.monitoring.checks import PASSING
from quorate.monitoring.definitions import CheckDefinition
from quorate.node.detector import registration
from tests.unit.gateways.harness import ME
from tests.unit.localstate.stage import NODE, Stage, service, ttl

Done = list[QuorateError | None]
CONFIG, API = EntryOrigin.CONFIG, EntryOrigin.API


def defined(*services: Service, checks: tuple[CheckDefinition, ...] = ()) -> Definitions:
    """Services, each with the checks that are its own."""
    own = tuple(check for check in checks if not check.is_embedded)
    return Definitions(
        tuple(
            ConfiguredService(
                each, tuple(c for c in checks if c.is_embedded and c.service_id == each.id)
            )
            for each in services
        ),
        own,
    )


def within(name: str, service_id: str, **fields: float) -> CheckDefinition:
    return ttl(name, service_id, is_embedded=True, **fields)


def begun(stage: Stage, definitions: Definitions) -> Stage:
    """A start: what is on the disk is taken, and what the configuration defines."""
    for (kind, _), data in sorted(stage.disk.items()):
        if kind == "service":
            stage.take(data)
    stage.agent.take_definitions(definitions)
    for (kind, _), data in sorted(stage.disk.items()):
        if kind == "check":
            stage.take(data)
    stage.agent.restored()
    stage.agent.start()
    stage.advance(1)
    return stage


def rows(stage: Stage) -> tuple[bool, str | None]:
    """Whether `web` is in the catalog, and the status of its check `c`."""
    found = stage.reader().rows
    row = check_of(found, NODE, "c")
    return instance_of(found, NODE, "web") is not None, None if row is None else row.status


def test_what_the_configuration_defines_is_in_the_catalog_after_the_start_and_has_no_file() -> None:
    stage = begun(Stage(), defined(service("web"), checks=(within("c", "web"), ttl("alone"))))
    assert rows(stage) == (True, "critical")
    assert check_of(stage.reader().rows, NODE, "alone") is not None
    assert stage.disk == {}
    done: Done = []
    stage.agent.heartbeat(PLAIN, "c", PASSING, "well", done.append)
    assert done == [None]
    assert stage.disk == {}


def test_a_reload_that_changes_nothing_leaves_checks_and_rows_alone() -> None:
    definitions = defined(service("web"), checks=(within("c", "web"), ttl("alone")))
    stage = begun(Stage(), definitions)
    stage.agent.heartbeat(PLAIN, "c", PASSING, "", lambda _: None)
    before = {name: check.run for name, check in stage.agent.state.checks.items()}
    index = stage.reader().index
    stage.agent.reconfigure(definitions)
    stage.advance(1)
    assert {name: check.run for name, check in stage.agent.state.checks.items()} == before
    assert stage.reader().index == index


def test_a_changed_definition_keeps_the_status_of_its_check_and_leaves_others_alone() -> None:
    kept, changed = within("kept", "web"), within("c", "web")
    stage = begun(Stage(), defined(service("web"), checks=(kept, changed)))
    stage.agent.heartbeat(PLAIN, "c", PASSING, "", lambda _: None)
    run = stage.agent.state.checks["kept"].run
    new = within("c", "web", seconds=20)
    stage.agent.reconfigure(defined(service("web", port=80), checks=(kept, new)))
    stage.advance(1)
    assert rows(stage) == (True, PASSING)
    row = instance_of(stage.reader().rows, NODE, "web")
    assert row is not None
    assert row.service.port == 80
    assert stage.agent.state.checks["kept"].run == run
    assert stage.agent.state.checks["c"].definition == new


def test_what_left_the_configuration_is_removed_and_what_a_client_registered_stays() -> None:
    stage = begun(Stage(), defined(service("web"), service("api"), checks=(within("c", "web"),)))
    stage.agent.add_check(PLAIN, ttl("own", "web"), lambda _: None)
    stage.agent.reconfigure(defined(service("web")))
    stage.advance(1)
    assert rows(stage) == (True, None)
    assert instance_of(stage.reader().rows, NODE, "api") is None
    assert set(stage.agent.state.checks) == {"own"}  # of a client, for a configured service
    stage.agent.reconfigure(Definitions())
    stage.advance(1)
    assert rows(stage) == (False, None)
    assert stage.agent.state.checks == {}  # it went with its service
    assert stage.disk == {}


def test_a_definition_that_left_the_files_is_removed_at_the_next_start() -> None:
    stage = begun(Stage(), defined(service("web"), checks=(within("c", "web"),)))
    again = begun(Stage(disk=stage.disk, local=stage.local), Definitions())
    assert rows(again) == (False, None)


def test_a_client_may_replace_and_remove_what_is_configured_until_the_next_reload() -> None:
    definitions = defined(service("web"), checks=(within("c", "web"),))
    stage = begun(Stage(), definitions)
    stage.agent.register(PLAIN, service("web", port=81), [ttl("c", "web")], lambda _: None)
    assert stage.agent.state.services["web"].origin is API
    assert set(stage.disk) == {service_key("web"), check_key("c")}
    stage.agent.reconfigure(definitions)
    assert stage.agent.state.services["web"].origin is CONFIG
    assert stage.agent.state.services["web"].service.port == 0
    assert stage.agent.state.checks["c"].origin is CONFIG
    assert stage.disk == {}
    assert stage.agent.deregister(PLAIN, "web", lambda _: None)
    stage.agent.reconfigure(definitions)
    stage.advance(1)
    assert rows(stage) == (True, "critical")


def test_a_service_that_a_client_registered_stays_when_it_leaves_the_configuration() -> None:
    stage = begun(Stage(), defined(service("web")))
    stage.agent.register(PLAIN, service("web", port=81), [], lambda _: None)
    stage.agent.reconfigure(Definitions())
    assert stage.agent.state.services["web"].origin is API


def test_at_a_start_the_configuration_replaces_what_is_on_the_disk() -> None:
    old = begun(Stage(), Definitions())
    old.agent.register(PLAIN, service("web", port=81), [ttl("c", "web")], lambda _: None)
    old.agent.add_check(PLAIN, ttl("own", "web"), lambda _: None)
    stage = begun(
        Stage(disk=old.disk), defined(service("web", port=80), checks=(within("c", "web"),))
    )
    assert stage.agent.state.services["web"].service.port == 80
    assert stage.agent.state.checks["c"].origin is CONFIG
    assert set(stage.disk) == {check_key("own")}
    assert stage.agent.state.checks["own"].origin is API


def test_tags_that_others_may_override_are_not_taken_back_by_a_reload() -> None:
    definitions = defined(service("web", tags=("a",), enable_tag_override=True))
    stage = begun(Stage(), definitions)
    stage.agent.state.take_tags("web", ("b",))
    stage.agent.reconfigure(definitions)
    assert stage.agent.state.services["web"].service.tags == ("b",)


@pytest.mark.parametrize(
    ("definitions", "why"),
    [
        (
            defined(service("new"), checks=(ttl("x", "nobody"),)),
            "Failed to register check 'x': ServiceID \"nobody\" does not exist",
        ),
        (
            defined(
                service("new"),
                checks=(CheckDefinition("s", "S", args=("true",), interval_ns=10**9),),
            ),
            "Failed to register check 'S': no scripts",
        ),
    ],
)
def test_a_configuration_that_cannot_be_applied_changes_nothing(
    definitions: Definitions, why: str
) -> None:
    stage = begun(Stage(), defined(service("web"), checks=(within("c", "web"),)))
    stage.runs_local_scripts = False
    index = stage.reader().index
    with pytest.raises(RequestError) as caught:
        stage.agent.reconfigure(definitions)
    assert caught.value.text == why
    assert set(stage.agent.state.services) == {"web"}
    assert stage.reader().index == index


def test_too_many_services_are_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.localstate.configured.SERVICES_MAX", 2)
    monkeypatch.setattr("quorate.localstate.configured.CHECKS_MAX", 1)
    stage = begun(Stage(), defined(service("web")))
    for wrong in (
        defined(*map(service, "abc")),
        defined(service("web"), checks=(ttl("c"), ttl("d"))),
    ):
        with pytest.raises(RequestError, match="would have more"):
            stage.agent.reconfigure(wrong)
        assert set(stage.agent.state.services) == {"web"}


def test_a_configured_check_may_be_of_a_service_that_a_client_registered() -> None:
    stage = begun(Stage(), Definitions())
    stage.agent.register(PLAIN, service("web"), [], lambda _: None)
    stage.agent.reconfigure(Definitions(checks=(ttl("c", "web"),)))
    stage.advance(1)
    assert rows(stage) == (True, "critical")


def test_the_first_comparison_of_a_new_cluster_waits_for_the_row_of_its_node() -> None:
    stage = begun(Stage(with_node=False), defined(service("web"), checks=(within("c", "web"),)))
    assert rows(stage) == (False, None)
    stage.local.apply(registration(ME, NodeSettings()))
    stage.advance(1)
    assert rows(stage) == (True, "critical")
