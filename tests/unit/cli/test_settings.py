import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quorate.base.config import ClusterConfig, Timing
from quorate.cli.agentflags import parse_flags
from quorate.cli.files import merge
from quorate.cli.settings import AgentSettings, ConfigError, settings_of


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
        "-node flag -retry-join c:3",
        a={"node_name": "a", "datacenter": "East", "retry_join": ["a:1"], "data_dir": "/a"},
        b='node_name = "b"\nretry_join = ["b:2"]\n[ports]\nhttp = 9500\n',
    )
    assert settings.node_name == "flag"
    assert settings.node.datacenter == "east"
    assert settings.data_dir == Path("/a")
    assert settings.join == ("a:1", "b:2", "c:3")
    assert settings.http_port == 9500


def test_a_folder_is_read_in_alphabetical_order_and_other_files_are_left_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "2.json").write_text('{"node_name": "two"}')
    (tmp_path / "1.json").write_text('{"node_name": "one", "log_level": "WARN"}')
    (tmp_path / "readme.txt").write_text("not a configuration")
    settings, _ = read(tmp_path, f"-dev -config-dir {tmp_path}")
    assert (settings.node_name, settings.log_level) == ("two", "warning")


def test_unknown_keys_are_fatal_in_consuls_words_and_all_are_named(tmp_path: Path) -> None:
    text = refused(tmp_path, "-dev", f={"servr": True, "ports": {"htp": 1}, "node_name": "a"})
    assert text == (
        "failed to parse f.json: 2 errors occurred:\n"
        "\t* invalid config key servr\n"
        "\t* invalid config key ports.htp"
    )


def test_keys_of_parts_that_are_not_there_are_ignored_with_a_warning(tmp_path: Path) -> None:
    settings, warnings = read(
        tmp_path,
        "-dev",
        f={
            "acl": {"enabled": True, "tokens": {"initial_management": "x"}},
            "telemetry": {"prometheus_retention_time": "60s"},
            "encrypt": "abc",
            "node_name": None,
            "ui_config": [{"enabled": True}],
        },
    )
    assert settings.node_name
    assert [warning.split()[0] for warning in warnings] == [
        "acl.enabled",
        "acl.tokens.initial_management",
        "telemetry.prometheus_retention_time",
        "encrypt",
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
            "client_addr": "{{ GetPrivateIP }}",
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
        "max_query_time is wrong",
        "data_dir cannot be empty",
        "bootstrap and bootstrap_expect exclude each other",
        "bootstrap_expect needs server",
        "datacenter 'a b'",
        "ports.http must be a port",
        "client_addr: address templates",
        "cloud auto-join",
        "'x:y' is no address",
        "raft_multiplier must be 1 to 10, not 11",
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
        ("a.json", '{"ports": {"http": true}}', "ports.http must be a whole number"),
        ("a.json", '{"quorate": {"timing": {"tick_s": NaN}}}', "tick_s must be a number"),
        ("a.toml", "a = ", "failed to parse"),
        ("a.hcl", "a = 1", "only JSON"),
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
    assert said == "cannot read none.json: No such file or directory"


def test_merging_leaves_its_second_half_alone() -> None:
    into: dict[str, Any] = {}
    more = {"a": {"b": {"c": 1}}}
    merge(into, more)
    merge(into, {"a": {"b": {"d": 2}}})
    assert into == {"a": {"b": {"c": 1, "d": 2}}}
    assert more == {"a": {"b": {"c": 1}}}


def test_a_default_cluster_is_what_the_contract_says(tmp_path: Path) -> None:
    settings, _ = read(tmp_path, "-dev")
    assert settings.node.cluster == ClusterConfig()
