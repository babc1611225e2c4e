import json
import os
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quorate.agent.files import merged
from quorate.agent.keys import FIXED, RELOADED
from quorate.agent.logs import Logs
from quorate.agent.process import AgentProcess
from quorate.agent.settings import AgentSettings, ConfigError, settings_of
from quorate.base.config import ClusterConfig, NodeSettings, Timing
from quorate.cli.agent import parse_flags
from quorate.localstate.state import StateSettings


def read(folder: Path, flags: str = "", **files: Any) -> tuple[AgentSettings, list[str]]:
    """Settings of some files (name -> keys, or text of TOML) and flags."""
    words = flags.split()
    for name, content in files.items():
        is_text = isinstance(content, str)
        path = folder / f"{name}.{'toml' if is_text else 'json'}"
        path.write_text(content if is_text else json.dumps(content))
        words += ["-config-file", str(path)]
    return settings_of(parse_flags(words))


def refused(folder: Path, flags: str = "", **files: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, flags, **files)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_development_node_needs_nothing_more(tmp_path: Path) -> None:
    settings, warnings = read(tmp_path, "-dev")
    assert settings.is_alone
    assert settings.data_dir is None
    assert (settings.bind, settings.clients, settings.http_port) == (
        "127.0.0.1",
        ("127.0.0.1",),
        8500,
    )
    assert settings.address == "127.0.0.1:8300"
    assert settings.wal_sync == "none"
    assert warnings == []


def test_a_member_of_three_is_described_by_consuls_flags(tmp_path: Path) -> None:
    settings, warnings = read(
        tmp_path,
        "-server -bootstrap-expect 3 -data-dir /d -bind 10.0.0.1 -client 0.0.0.0 "
        "-retry-join 10.0.0.2 -retry-join b.example:8310",
    )
    assert (settings.expect, settings.is_alone) == (3, False)
    assert settings.join == ("10.0.0.2:8300", "b.example:8310")
    assert settings.address == "10.0.0.1:8300"
    assert settings.http_address == "10.0.0.1:8500"
    assert settings.wal_sync == "auto"
    assert warnings == []


def test_files_merge_in_order_and_flags_win(tmp_path: Path) -> None:
    settings, _ = read(
        tmp_path,
        "-server -node flag -retry-join c:3",
        a={"node_name": "a", "datacenter": "East", "retry_join": ["a:1"], "data_dir": "/a"},
        b='node_name = "b"\nretry_join = ["b:2"]\n[ports]\nhttp = 9500\n',
    )
    assert settings.node_name == "flag"
    assert settings.node.datacenter == "east"
    assert settings.data_dir == Path("/a")
    assert settings.join == ("a:1", "b:2", "c:3")
    assert settings.http_port == 9500


def test_a_folder_is_read_in_alphabetical_order_and_what_is_not_read_is_reported(
    tmp_path: Path,
) -> None:
    (tmp_path / "2.hcl").write_text('node_name = "two"  # a comment\nretry_join = ["b:2"]')
    (tmp_path / "1.json").write_text(
        '{"node_name": "one", "log_level": "WARN", "retry_join": ["a:1"]}'
    )
    (tmp_path / "3.json").write_text(" \n")
    (tmp_path / "readme.txt").write_text("not a configuration")
    (tmp_path / "more.hcl").mkdir()
    settings, warnings = read(tmp_path, f"-dev -config-dir {tmp_path}")
    assert (settings.node_name, settings.log_level) == ("two", "warn")
    assert settings.join == ("a:1", "b:2")
    assert [warning.split()[0] for warning in warnings] == [str(tmp_path / "readme.txt")]


def test_a_folder_within_a_folder_is_reported_if_it_holds_configuration(tmp_path: Path) -> None:
    for name, file in [
        ("sub", "a.hcl"),
        ("certs", "ca.pem"),
        ("..data", "b.json"),
        ("x.json", "c"),
    ]:
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text('node_name = "inside"')
    settings, warnings = read(tmp_path, f"-dev -config-dir {tmp_path}")
    assert settings.node_name != "inside"
    assert warnings == [f"{tmp_path / 'sub'} is not read: it is a folder within one"]


@pytest.mark.parametrize("form", ["", "-config-format=hcl"])
def test_a_link_to_nothing_in_a_folder_stops_the_start_and_a_pipe_is_reported(
    tmp_path: Path, form: str
) -> None:
    os.mkfifo(tmp_path / "pipe.hcl")
    (tmp_path / "true.hcl").write_text('node_name = "n"')
    (tmp_path / "link.hcl").symlink_to("true.hcl")
    settings, warnings = read(tmp_path, f"-dev {form} -config-dir {tmp_path}")
    assert settings.node_name == "n"
    assert warnings == [f"{tmp_path / 'pipe.hcl'} is not read: it is no file"]
    (tmp_path / "lost.hcl").symlink_to("elsewhere.hcl")
    said = refused(tmp_path, f"-dev {form} -config-dir {tmp_path}")
    assert "config: Open failed on lost.hcl. " in said


@pytest.mark.parametrize("flag", ["-config-dir", "-config-file"])
def test_what_is_not_there_is_said_not_to_be_there(tmp_path: Path, flag: str) -> None:
    said = refused(tmp_path, f"{flag} {tmp_path / 'missing'}")
    assert "open missing: no such file or directory" in said


def test_a_format_that_is_given_holds_for_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text('node_name = "a"')
    (tmp_path / "b").write_text('datacenter = "b"')
    settings, warnings = read(tmp_path, f"-dev -config-format=hcl -config-dir {tmp_path}")
    assert (settings.node_name, settings.node.datacenter, warnings) == ("a", "b", [])
    assert "must be one of hcl, json, toml, not yaml" in refused(tmp_path, "-config-format yaml")


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "Connection", "Content-Type", "Date", "X-Consul-Index"],
)
def test_a_header_that_the_node_sets_itself_is_left_out_with_a_warning(
    tmp_path: Path, name: str
) -> None:
    headers = {name: "5", "X-A": "b", "Vary": "Origin"}
    block = {"http_config": {"response_headers": headers}}
    settings, warnings = read(tmp_path, "-dev", a=block)
    assert settings.http.response_headers == (("X-A", "b"), ("Vary", "Origin"))
    assert warnings == [
        f"http_config.response_headers: the node sets {name} itself; it is left out"
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("A B", "x"), ("", "x"), ("A", "x\r\nB: y"), ("A", "x\0"), ("A", "\x7f")]
)
def test_what_cannot_be_a_header_is_refused(tmp_path: Path, name: str, value: str) -> None:
    block = {"http_config": {"response_headers": {name: value}}}
    assert f"{name!r} cannot be a header" in refused(tmp_path, "-dev", a=block)


def test_blocks_of_hcl_are_blocks_however_often_they_come(tmp_path: Path) -> None:
    (tmp_path / "a.hcl").write_text(
        'node_meta { a = "1" }\nports { http = 9500 }\nports = { server = 9300 }\n'
        'http_config { response_headers { "X-A" = "b" } block_endpoints = ["/v1/snapshot"] }\n'
        "performance { raft_multiplier = 0x2 }\n"
    )
    settings, warnings = read(tmp_path, f"-dev -config-file {tmp_path / 'a.hcl'}")
    assert (settings.http_port, settings.server_port) == (9500, 9300)
    assert settings.http.response_headers == (("X-A", "b"),)
    assert settings.http.blocked_paths == ("/v1/snapshot",)
    assert settings.node.meta == {"a": "1"}
    assert settings.node.timing == Timing().scaled(2)
    assert warnings == []


@pytest.mark.parametrize(
    "keys",
    [
        {"acl": {"enabled": True}},
        {"acl": [{"enabled": True}]},
        {"acl": {"default_policy": "deny"}},
        {"acl": {"tokens": {"agent": "x"}}},
        {"acl_datacenter": "dc1"},
        {"acl_default_policy": "DENY"},
        {"acl_master_token": "x"},
        {"tls": {"defaults": {"ca_file": "ca.pem"}}},
        {"tls": {"internal_rpc": {"verify_incoming": True}}},
        {"tls": {"https": {"verify_outgoing": True}}},
        {"tls": {"grpc": {"use_auto_cert": True}}},
        {"encrypt": "d1N0MSI3zWWBgVsJN6tgtbnWY9YglR5YW/sQ1qeUth4="},
        {"encrypt_verify_incoming": True},
        {"verify_incoming": True},
        {"verify_incoming_rpc": True},
        {"verify_server_hostname": True},
        {"ca_file": "ca.pem"},
        {"ca_path": "/etc/ca"},
        {"cert_file": "c.pem"},
        {"key_file": "k.pem"},
        {"auto_encrypt": {"tls": True}},
        {"auto_encrypt": {"allow_tls": True}},
        {"auto_config": {"enabled": True}},
        {"auto_config": {"authorization": {"enabled": True}}},
        {"addresses": {"https": "0.0.0.0"}},
        {"http_config": {"allow_write_http_from": ["127.0.0.0/8"]}},
        {"serf_lan_allowed_cidrs": ["10.0.0.0/8"]},
        {"enable_agent_tls_for_checks": True},
    ],
)
def test_a_key_that_asks_for_protection_stops_the_start(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    text = refused(tmp_path, "-dev", f=keys)
    name, inner = next(iter(keys.items()))
    assert text.startswith(name)
    assert " asks for " in text
    if isinstance(inner, dict):
        first: str = next(iter(keys[name]))
        assert text.startswith(f"{name}.{first}")


@pytest.mark.parametrize(
    "keys",
    [
        {"acl": {"enabled": False, "default_policy": "deny", "tokens": {"agent": "x"}}},
        {"acl": {"default_policy": "allow", "tokens": {"agent": ""}}},
        {"acl": {}},
        {"verify_incoming": False, "verify_outgoing": False, "ca_file": "", "encrypt": ""},
        {"tls": {"defaults": {"verify_incoming": False, "ca_file": ""}, "https": {}}},
        {"auto_encrypt": {"tls": False, "allow_tls": False}},
        {"ports": {"https": 8501, "grpc_tls": 8503}},
        {"ports": {"https": -1, "grpc_tls": -1}},
        {"ports": {"https": 0}, "http_config": {"allow_write_http_from": []}},
        {"encrypt_verify_incoming": None},
    ],
)
def test_a_value_that_asks_for_nothing_is_harmless(tmp_path: Path, keys: dict[str, Any]) -> None:
    read(tmp_path, "-dev", f=keys)


def test_a_later_file_may_take_a_request_for_protection_back(tmp_path: Path) -> None:
    read(tmp_path, "-dev", a={"acl": {"enabled": True}}, b={"acl": {"enabled": False}})
    assert "acl.enabled" in refused(
        tmp_path, "-dev", a={"acl": {"enabled": False}}, b={"acl": {"enabled": True}}
    )


@pytest.mark.parametrize(
    "flags",
    [
        "-encrypt=d1N0MSI3zWWBgVsJN6tgtbnWY9YglR5YW/sQ1qeUth4=",
        "-allow-write-http-from=127.0.0.0/8",
        "-serf-lan-allowed-cidrs=10.0.0.0/8",
    ],
)
def test_a_flag_that_asks_for_protection_stops_the_start(tmp_path: Path, flags: str) -> None:
    assert "asks for" in refused(tmp_path, f"-dev {flags}")


def test_a_key_for_gossip_must_be_one(tmp_path: Path) -> None:
    assert refused(tmp_path, "-dev -encrypt short").startswith("encrypt has invalid key: ")
    assert "illegal base64" in refused(tmp_path, "-dev", f={"encrypt": "\x80"})
    reported = refused(tmp_path, "-dev -encrypt short", f={"acl": {"enabled": True}})
    assert reported.startswith("encrypt has invalid key: ")
    assert "acl.enabled asks for access control" in reported
    assert "16, 24 or 32 bytes" in refused(tmp_path, "-dev -encrypt YWJj")


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        ("h", "h:8300"),
        ("10.0.0.2", "10.0.0.2:8300"),
        ("h:8301", "h:8300"),
        ("h:9000", "h:9000"),
        ("::1", "[::1]:8300"),
        ("[::1]", "[::1]:8300"),
        ("[::1]:8301", "[::1]:8300"),
        ("[fe80::1]:7", "[fe80::1]:7"),
        (" h ", "h:8300"),
        ('{{ GetInterfaceIP "lo" }}', "127.0.0.1:8300"),
        ('{{ GetInterfaceIP "lo" }}:7', "127.0.0.1:7"),
    ],
)
def test_who_is_joined_without_a_port_uses_the_one_of_this_node(
    tmp_path: Path, given: str, joined: str
) -> None:
    settings, warnings = read(tmp_path, "-dev", f={"retry_join": [given]})
    assert settings.join == (joined,)
    assert len(warnings) == given.count(":8301")
    moved, _ = read(tmp_path, "-dev -server-port 8363", f={"retry_join": [given]})
    assert moved.join == (joined.replace(":8300", ":8363"),)


def test_consuls_gossip_port_may_be_our_server_port_or_another(tmp_path: Path) -> None:
    settings, warnings = read(tmp_path, "-dev -server-port 8301 -retry-join h:8301")
    assert (settings.join, warnings) == (("h:8301",), [])
    settings, warnings = read(
        tmp_path, "-dev -retry-join h:7946 -retry-join h:8301", f={"ports": {"serf_lan": 7946}}
    )
    assert settings.join == ("h:8300", "h:8301")


@pytest.mark.parametrize("given", ["", "h:1:2", "h:8300:8301", "[::1", "h:x"])
def test_what_is_no_address_to_join_is_refused(tmp_path: Path, given: str) -> None:
    said = refused(tmp_path, "-dev", f={"retry_join": [given]})
    assert f"retry_join: {given!r} is no address" in said


@pytest.mark.parametrize("given", ["10.0.0.1,10.0.0.2", "h:8300,g:8300", "h,"])
def test_addresses_to_join_with_a_comma_between_are_refused(tmp_path: Path, given: str) -> None:
    said = refused(tmp_path, "-dev", f={"retry_join": [given]})
    assert f"retry_join: {given!r}: addresses are given one by one" in said


def test_addresses_may_be_templates(tmp_path: Path) -> None:
    lo = '{{ GetInterfaceIP "lo" }}'
    settings, _ = read(
        tmp_path,
        "-dev",
        f={
            "bind_addr": lo,
            "advertise_addr": lo,
            "client_addr": '127.0.0.2 {{ GetAllInterfaces | include "name" "^lo$" | '
            'include "type" "IPv4" | join "address" " " }}',
        },
    )
    assert (settings.bind, settings.advertise) == ("127.0.0.1", "127.0.0.1")
    assert settings.clients == ("127.0.0.2", "127.0.0.1")
    settings, _ = read(tmp_path, "-dev", f={"addresses": {"http": lo}})
    assert settings.clients == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bind_addr", "nonsense"),
        ("bind_addr", "127.0.0.1 127.0.0.2"),
        ("bind_addr", '{{ GetInterfaceIP "none0" }}'),
        ("client_addr", "0.0.0.0 nonsense"),
        ("client_addr", ""),
        ("client_addr", "unix://relative"),
        ("advertise_addr", "0.0.0.0"),
        ("advertise_addr", "{{ GetAllInterfaces }}"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(tmp_path: Path, key: str, value: str) -> None:
    assert refused(tmp_path, "-dev", f={key: value})


def test_an_address_for_clients_may_be_a_socket_in_the_file_system(tmp_path: Path) -> None:
    settings, _ = read(
        tmp_path,
        "-dev",
        f={
            "addresses": {"http": "unix:///run/q.sock 127.0.0.1"},
            "unix_sockets": {"user": "root", "mode": "0660"},
        },
    )
    assert settings.clients == ("unix:///run/q.sock", "127.0.0.1")
    assert settings.http_address == "127.0.0.1:8500"
    assert (settings.socket.user, settings.socket.group, settings.socket.mode) == (
        "root",
        "",
        0o660,
    )
    assert "unix_sockets.mode" in refused(tmp_path, "-dev", f={"unix_sockets": {"mode": "rw"}})


def test_an_id_and_facts_for_the_api_are_checked(tmp_path: Path) -> None:
    settings, _ = read(
        tmp_path,
        "-dev -node-id 6B1C2F10-0000-4000-8000-00000000DEAD -node-meta rack:r1 -node-meta=z:a:b",
        f={"node_meta": {"rack": "r0", "zone": "z1"}},
    )
    assert settings.node.meta == {
        "rack": "r1",
        "zone": "z1",
        "z": "a:b",
        "quorate-node-id": "6b1c2f10-0000-4000-8000-00000000dead",
    }
    assert "is no UUID" in refused(tmp_path, "-dev -node-id 5")
    assert read(tmp_path, "-dev -disable-host-node-id")[1] == []
    _, [warning] = read(tmp_path, "-dev", f={"disable_host_node_id": False})
    assert warning.startswith("disable_host_node_id = false")
    said = refused(tmp_path, "-dev", f={"node_meta": {"bad key": "x"}})
    assert said.startswith(
        "node_meta invalid: Couldn't load metadata pair ('bad key', 'x'): Key contains "
    )
    assert "is reserved" in refused(tmp_path, "-dev -node-meta consul-x:1")
    assert "too long" in refused(tmp_path, "-dev", f={"node_meta": {"a": "x" * 513}})
    many = {f"k{number}": "x" for number in range(65)}
    assert "more than 64" in refused(tmp_path, "-dev", f={"node_meta": many})


def test_unknown_keys_are_fatal_in_consuls_words_and_all_are_named(tmp_path: Path) -> None:
    text = refused(tmp_path, "-dev", f={"servr": True, "ports": {"htp": 1}, "node_name": "a"})
    assert text == (
        "failed to parse f.json: 2 errors occurred:\n"
        "\t* invalid config key servr\n"
        "\t* invalid config key ports.htp\n\n"
    )


def test_keys_of_parts_that_are_not_there_are_ignored_with_a_warning(tmp_path: Path) -> None:
    settings, warnings = read(
        tmp_path,
        "-dev",
        f={
            "acl": {"enabled": False, "down_policy": "extend-cache"},
            "telemetry": {"prometheus_retention_time": "60s", "statsd_address": ""},
            "node_name": None,
            "ui_config": [{"enabled": True}],
            "domain": "",
        },
    )
    assert settings.node_name
    assert [warning.split()[0] for warning in warnings] == [
        "telemetry.prometheus_retention_time",
        "ui_config.enabled",
    ]


def test_all_faults_of_all_kinds_are_listed_at_once(tmp_path: Path) -> None:
    text = refused(
        tmp_path,
        "-bootstrap-expect 3 -log-level loud",
        f={
            "node_name": 5,
            "bootstrap": True,
            "datacenter": "a b",
            "ports": {"http": 70000},
            "client_addr": "{{ GetNothing }}",
            "retry_join": ["provider=aws", "x:y"],
            "performance": {"raft_multiplier": 11},
            "max_query_time": "soon",
            "quorate": {
                "timing": {"heartbeat_s": 5},
                "cluster": {"window_slots": 100},
                "wal_sync": "maybe",
            },
        },
    )
    for part in (
        "node_name must be a string",
        "\t* max_query_time: invalid duration: 'soon' is no duration",
        "data_dir cannot be empty",
        "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive",
        "'bootstrap_expect > 0' requires 'server = true'",
        'datacenter can only contain lowercase alphanumeric, - or _ characters. received: "a b"',
        "ports.http: invalid port: 70000",
        "client_addr: GetNothing: no such source of addresses",
        "cloud auto-join",
        "'x:y' is no address",
        "performance.raft_multiplier cannot be 11. Must be between 1 and 10",
        "heartbeat_s must be at most a third",
        "window_slots must not exceed",
        "wal_sync must be one of",
        "Invalid log level: loud",
    ):
        assert part in text


def test_two_listeners_on_one_address_are_refused(tmp_path: Path) -> None:
    assert "both 8300" in refused(tmp_path, "-dev -http-port 8300")
    apart, _ = read(tmp_path, "-dev -http-port 8300 -client 127.0.0.2")
    assert apart.http_port == apart.server_port


def test_a_wrong_address_for_all_clients_is_named_once(tmp_path: Path) -> None:
    assert refused(tmp_path, "-dev", f={"client_addr": "nonsense"}) == (
        "1 error occurred:\n\t* client_addr: invalid ip address: nonsense\n\n"
    )


def test_a_port_for_http_and_dns_on_one_address_is_refused_in_consuls_words(tmp_path: Path) -> None:
    ports = {"ports": {"http": 8500, "dns": 8500}}
    assert refused(tmp_path, "-dev", f=ports) == (
        "HTTP address 127.0.0.1:8500 already configured for DNS"
    )
    read(tmp_path, "-dev", f=ports | {"addresses": {"dns": "127.0.0.2"}})


def test_the_multiplier_scales_what_elections_wait_for_and_one_is_the_default(
    tmp_path: Path,
) -> None:
    plain, _ = read(tmp_path, "-dev")
    slow, _ = read(tmp_path, "-dev", f={"performance": {"raft_multiplier": 5}})
    assert plain.node.timing == Timing()
    assert slow.node.timing == Timing().scaled(5)


def test_our_own_block_sets_what_consul_has_no_words_for(tmp_path: Path) -> None:
    settings, _ = read(
        tmp_path,
        "-dev",
        f={
            "quorate": {
                "timing": {"dead_s": 9},
                "limits": {"tail_slots_max": 5},
                "wal_sync": "thread",
                "snapshot_log_bytes": 5_000_000,
                "free_bytes_min": 2_000_000,
            },
            "limits": {"kv_max_value_size": 1048576},
            "performance": {"rpc_hold_timeout": "2s"},
        },
    )
    assert settings.node.timing == msgspec.structs.replace(Timing(), dead_s=9, hold_s=2.0)
    assert settings.node.limits.tail_slots_max == 5
    assert settings.node.cluster.value_bytes_max == 1048576
    assert settings.node.cluster.validate() == []
    assert settings.wal_sync == "thread"
    assert (settings.snapshot_log_bytes, settings.free_bytes_min) == (5_000_000, 2_000_000)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "{", "failed to parse"),
        ("a.json", "[1]", "no block of keys"),
        ("a.json", '{"timing": 1}', "invalid config key timing"),
        ("a.json", '{"ports": 1}', "ports must be a block"),
        ("a.json", '{"ports": []}', "ports must be a block"),
        ("a.json", '{"ports": [{}, 1]}', "ports must be a block"),
        ("a.json", '{"ports.http": 1}', "invalid config key ports.http"),
        ("a.json", '{"ports": {"": 1}}', "invalid config key ports."),
        ("a.json", '{"node_meta": [{"a": "b"}, 1]}', "node_meta must be a block of strings"),
        ("a.json", '{"ports": {"http": true}}', "ports.http must be a whole number"),
        ("a.json", '{"quorate": {"timing": {"tick_s": NaN}}}', "tick_s must be a number"),
        ("a.toml", "a = ", "failed to parse"),
        ("a.hcl", "a = 1", "invalid config key a"),
        ("a.hcl", "ports {", "At 1:8: expected '}'"),
        ("a.hcl", "x = " + "[" * 100_000, "failed to parse"),
        ("a.conf", "{}", "its name must end in one of .hcl, .json, .toml"),
        ("a", "{}", "its name must end in one of"),
        ("a.json", "\ud800", "failed to parse"),
        ("a.json", "[" * 100_000, "failed to parse"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    said = refused(tmp_path, f"-dev -config-file {tmp_path / name}")
    assert why in said
    assert name in said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, f"-dev -config-file {tmp_path / 'none.json'}")
    assert said == ("config: Open failed on none.json. open none.json: no such file or directory")
    assert "no such file" in refused(tmp_path, f"-dev -config-file {tmp_path / 'none'}")
    assert "no such file" in refused(tmp_path, f"-dev -config-dir {tmp_path / 'none'}")


def test_merging_leaves_both_halves_alone() -> None:
    old = {"a": {"b": {"c": 1}}, "list": [1]}
    new = {"a": {"b": {"d": 2}}, "list": [2]}
    assert merged(old, new) == {"a": {"b": {"c": 1, "d": 2}}, "list": [1, 2]}
    assert old == {"a": {"b": {"c": 1}}, "list": [1]}
    assert new == {"a": {"b": {"d": 2}}, "list": [2]}


def test_a_default_cluster_is_what_the_contract_says(tmp_path: Path) -> None:
    settings, _ = read(tmp_path, "-dev")
    assert settings.node.cluster == ClusterConfig()


def test_the_gateway_has_the_limits_of_the_cluster(tmp_path: Path) -> None:
    cluster = {"txn_result_bytes_max": 9, "txn_ops_max": 3}
    settings, _ = read(tmp_path, "-dev", a={"quorate": {"cluster": cluster}})
    assert {name: getattr(settings.http, name) for name in cluster} == cluster


# --- who is let in --------------------------------------------------------------------------------


def test_a_node_that_does_not_say_what_it_is_joins_and_its_role_is_logged(tmp_path: Path) -> None:
    settings, warnings = read(tmp_path, "-data-dir /d -retry-join 10.0.0.1")
    assert (settings.expect, settings.is_alone) == (0, False)
    assert any("joins as a server that holds everything" in warning for warning in warnings)
    for keys in ({"bootstrap_expect": 3}, {"bootstrap_expect": 1}, {"bootstrap": True}):
        assert "requires 'server = true'" in refused(tmp_path, "-data-dir /d", a=keys)


@pytest.mark.parametrize("keys", [{"server": False}, {"server": False, "bootstrap": True}])
def test_a_client_agent_is_refused_as_there_are_none(tmp_path: Path, keys: dict[str, Any]) -> None:
    text = refused(tmp_path, "-data-dir /d", a=keys)
    assert "asks for a client agent, and those are not built: give -server" in text
    assert "asks for a client agent" in refused(tmp_path, "-dev", a={"server": False})


@pytest.mark.parametrize(
    ("flags", "bind"),
    [
        ("", "127.0.0.1"),
        ("-bind 10.0.0.1", "10.0.0.1"),
        ("-bind 0.0.0.0", "0.0.0.0"),
        ("-advertise 10.0.0.1", "0.0.0.0"),
        ("-advertise 127.0.0.2", "127.0.0.2"),
    ],
)
def test_no_other_machine_reaches_the_server_port_unless_an_address_is_given(
    tmp_path: Path, flags: str, bind: str
) -> None:
    settings, _ = read(tmp_path, f"-server -bootstrap -data-dir /d {flags}")
    assert settings.bind == bind


def test_a_node_that_others_cannot_reach_says_so(tmp_path: Path) -> None:
    joins = "-retry-join 127.0.0.9 -retry-join [::1]:8300 -retry-join localhost:1"
    _, warnings = read(tmp_path, f"-server -bootstrap-expect 3 -data-dir /d {joins}")
    assert warnings == []
    _, warnings = read(tmp_path, "-server -bootstrap-expect 3 -data-dir /d -retry-join 10.0.0.2")
    assert [w for w in warnings if "10.0.0.2" in w and "cannot reach it" in w] != []


def test_learners_vote_unasked_only_if_the_file_says_so(tmp_path: Path) -> None:
    plain, _ = read(tmp_path, "-server -bootstrap -data-dir /d")
    assert not plain.node.auto_promote
    asked, _ = read(
        tmp_path, "-server -bootstrap -data-dir /d", a={"quorate": {"auto_promote": True}}
    )
    assert asked.node.auto_promote


def test_every_setting_is_reloaded_or_needs_a_new_start(tmp_path: Path) -> None:
    known = RELOADED.keys() | FIXED.keys()
    fields = {*AgentSettings.__struct_fields__} - {"is_dev", "node", "http", "checks", "dns"}
    fields |= {f"node.{name}" for name in NodeSettings.__struct_fields__}
    fields |= {f"checks.{name}" for name in StateSettings.__struct_fields__} - {
        "checks.keeps_files"  # follows from the data directory
    }
    assert {name for name in known if not name.startswith(("http.", "dns."))} == fields
    attrgetter(*known)(read(tmp_path, "-dev")[0])
    assert not RELOADED.keys() & FIXED.keys()


def test_what_several_files_say_is_warned_of_once(tmp_path: Path) -> None:
    telemetry = {"telemetry": {"disable_hostname": True}}
    assert len(read(tmp_path, "-dev", a=telemetry, b=telemetry)[1]) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("", ["neither -bootstrap-expect nor -retry-join"]),
        ("-bootstrap-expect 3", ["no -retry-join"]),
        ("-bootstrap-expect 3 -retry-join 127.0.0.1:8310", []),
        ("-bootstrap-expect 1", []),
        ("-bootstrap", []),
    ],
)
def test_a_node_that_only_waits_for_others_says_so(
    tmp_path: Path, flags: str, said: list[str]
) -> None:
    _, warnings = read(tmp_path, f"-server -data-dir /d {flags}")
    assert [warning.partition(":")[0] for warning in warnings] == said


@pytest.mark.parametrize("text", ["a {" * 50_000, "a = " + "[" * 50_000, "a " * 50_000 + "= 1"])
def test_a_file_that_is_nested_too_deeply_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep.hcl"
    path.write_text(text)
    said = refused(tmp_path, f"-dev -config-file {path}")
    assert said.strip().endswith(
        "failed to parse deep.hcl: its blocks or lists are nested too deeply"
    )


def test_a_reload_warns_of_what_is_new_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each reload of a leader warned that it waits for a cluster to connect to it."""
    path = tmp_path / "a.json"
    path.write_text("{}")
    sources = parse_flags(f"-server -data-dir /d -config-file {path}".split())
    settings, warned = settings_of(sources)
    assert warned
    process = AgentProcess(sources, settings, Logs("info", is_json=True), warned)
    process.reload()
    path.write_text('{"telemetry": {"disable_hostname": true}}')
    process.reload()
    process.reload()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    warnings = [line["event"] for line in lines if line["level"] == "warning"]
    assert [text.partition(" ")[0] for text in warnings] == ["telemetry.disable_hostname"]
