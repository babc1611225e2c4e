"""Definitions of services and checks in configuration files."""

import json
from pathlib import Path

import pytest

from quorate.agent.settings import ConfigError, settings_of
from quorate.cli.agent import parse_flags
from quorate.localstate.configured import ConfiguredService, Definitions
from quorate.monitoring.definitions import SECOND_NS
from tests.unit.agent.test_settings import read, refused

HCL = """
service {
  name = "web"
  port = 80
  tags = ["a", "b"]
  tagged_addresses { lan { address = "10.0.0.1"  port = 81 } }
  meta = { rack = "r1" }
  enable_tag_override = true
  check {
    id = "http"
    http = "http://127.0.0.1/health"
    interval = "10s"
    tls_skip_verify = true
    header { X-A = ["1"] }
  }
}
services {
  id = "db-1"
  name = "db"
  checks = [{ ttl = "5s" }, { ttl = "6s", name = "second" }]
}
check { id = "disk"  name = "Disk"  ttl = "1m"  notes = "free space" }
check { id = "db"  name = "Db"  service_id = "db-1"  ttl = "1m"  status = "passing" }
"""


def hcl(folder: Path, text: str, flags: str = "-dev") -> tuple[Definitions, list[str]]:
    path = folder / "f.hcl"
    path.write_text(text)
    settings, warnings = settings_of(parse_flags([*flags.split(), f"-config-file={path}"]))
    return settings.definitions, warnings


def named(definitions: Definitions) -> dict[str, ConfiguredService]:
    return {each.service.id: each for each in definitions.services}


def test_blocks_of_hcl_define_services_and_checks(tmp_path: Path) -> None:
    found, warnings = hcl(tmp_path, HCL)
    web, db = named(found)["web"], named(found)["db-1"]
    assert (web.service.port, web.service.tags, web.service.meta) == (
        80, ("a", "b"), {"rack": "r1"},
    )  # fmt: skip
    assert web.service.enable_tag_override
    assert web.service.tagged_addresses["lan"].port == 81
    (check,) = web.checks
    assert (check.id, check.name, check.http) == (
        "http", "Service 'web' check", "http://127.0.0.1/health",
    )  # fmt: skip
    assert check.interval_ns == 10 * SECOND_NS
    assert check.tls_skip_verify
    assert check.header == {"X-A": ("1",)}
    assert [each.id for each in db.checks] == ["service:db-1:1", "service:db-1:2"]
    assert [each.name for each in db.checks] == ["Service 'db' check", "second"]
    assert [(each.id, each.service_id, each.status) for each in found.checks] == [
        ("disk", "", ""),
        ("db", "db-1", "passing"),
    ]
    assert not any(each.is_embedded for each in found.checks)
    assert warnings == []


MESH = """
service {
  name = "px"
  kind = "connect-proxy"
  port = 7
  proxy {
    destination_service_name = "web"
    upstreams { destination_name = "db"  local_bind_port = 9 }
    config { some_key = 1 }
    expose { paths { path = "/x"  listener_port = 1 } }
  }
  locality { region = "r" }
}
service {
  name = "multi"
  ports { name = "a"  port = 1  default = true }
  ports { name = "b"  port = 2 }
}
"""


def test_proxies_and_named_ports_are_defined_as_over_http(tmp_path: Path) -> None:
    found = named(hcl(tmp_path, MESH)[0])
    assert json.loads(found["px"].service.proxy) == {
        "DestinationServiceName": "web",
        "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9}],
        "Config": {"some_key": 1},
        "Expose": {"Paths": [{"Path": "/x", "ListenerPort": 1}]},
    }
    assert found["px"].service.locality == ("r", "")
    multi = found["multi"].service
    assert (multi.port, [each.name for each in multi.ports]) == (1, ["a", "b"])


def test_several_files_add_to_each_other_in_json_with_any_spelling(tmp_path: Path) -> None:
    settings, warnings = read(
        tmp_path,
        "-dev",
        a={
            "service": {
                "Name": "web", "EnableTagOverride": True,
                "Check": {"DeregisterCriticalServiceAfter": "1h", "TTL": "5s"},
            },
            "checks": [{"Name": "one", "ttl": "5s"}],
        },
        b={
            "services": [{"name": "api", "enableTagOverride": True}, {"name": "db"}],
            "service": {"name": "web", "port": 81},
            "check": {"name": "two", "serviceId": "api", "ttl": "5s", "token": "ignored"},
        },
    )  # fmt: skip
    found = settings.definitions
    assert [each.service.name for each in found.services] == ["web", "api", "db", "web"]
    assert found.services[0].checks[0].deregister_after_ns == 3600 * SECOND_NS
    assert found.services[1].service.enable_tag_override
    assert [each.id for each in found.checks] == ["one", "two"]
    assert warnings == ["the service 'web' is defined more than once: the last definition counts"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            {"services": [{"name": "x", "check": {"ttl": "1m", "interval": "1s"}}]},
            'service "x": check "": Interval and TTL cannot both be specified',
        ),
        ({"check": {"name": "c"}}, 'check "c": TTL must be > 0 for TTL checks'),
        ({"service": {"port": 1}}, 'Failed to register service "": Service name missing'),
        ({"checks": [{"ttl": "1m"}]}, "Failed to register check '': CheckID missing"),
        (
            {"service": {"name": "x", "socket_path": "/a", "port": 1}},
            "1 error occurred:\n\t* service x cannot have both socket path /a and address/port\n\n",
        ),
        (
            {"service": {"name": "x", "meta": {"bad key": "v"}}},
            (
                "1 error occurred:\n\t* invalid meta for service x: "
                "Couldn't load metadata pair ('bad key', 'v'): Key contains invalid characters\n\n"
            ),
        ),
        (
            {"service": {"name": "x", "weights": {"passing": 0}}},
            (
                "1 error occurred:\n\t* Invalid weight definition for service x: "
                "Passing must be greater than 0\n\n"
            ),
        ),
        (
            {"check": {"id": "c", "name": "d", "ttl": "soon"}},
            (
                '1 error occurred:\n\t* check[c].ttl: invalid duration: "soon": '
                'time: invalid duration "soon"\n\n'
            ),
        ),
        (
            {"service": {"name": "x", "port": "80"}},
            (
                '1 error occurred:\n\t* service "x": '
                "cannot unmarshal string into field Port of type int\n\n"
            ),
        ),
        (
            {"service": {"name": "x", "address": "0.0.0.0"}},
            'Failed to register service "x": Invalid service address',
        ),
        (
            {
                "service": {"name": "x", "prot": 1, "check": {"tll": "1m"}},
                "checks": [{"name": "y", "ttl": "1m", "servic": "x"}],
            },
            (
                "failed to parse f.json: 3 errors occurred:\n"
                "\t* invalid config key service.prot\n"
                "\t* invalid config key service.check.tll\n"
                "\t* invalid config key checks[0].servic\n\n"
            ),
        ),
        (
            {"service": "web"},
            (
                "failed to parse f.json: 1 error occurred:\n"
                "\t* service must be a block, or a list of blocks\n\n"
            ),
        ),
    ],
)
def test_a_wrong_definition_stops_the_start_in_consuls_words(
    tmp_path: Path, content: dict[str, object], text: str
) -> None:
    assert refused(tmp_path, "-dev", f=content).startswith(text)


def test_a_service_without_a_name_passes_validation_as_in_consul(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text('{"services": [{"name": ""}]}')
    sources = parse_flags(["-dev", f"-config-file={path}"])
    settings, _ = settings_of(sources, is_lenient=True)
    assert settings.definitions.services == ()
    with pytest.raises(ConfigError, match="Service name missing"):
        settings_of(sources)


def test_programs_of_configured_checks_need_a_setting_of_their_own(tmp_path: Path) -> None:
    def allowed(flags: str, **content: bool) -> tuple[bool, bool]:
        settings, _ = read(tmp_path, f"-dev {flags}", f=content)
        return settings.runs_scripts, settings.runs_local_scripts

    assert allowed("") == (False, False)
    assert allowed("-enable-local-script-checks") == (False, True)
    assert allowed("-enable-script-checks") == (True, True)
    assert allowed("-enable-script-checks", enable_local_script_checks=False) == (True, False)
