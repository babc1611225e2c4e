"""Directories that an older version wrote: three nodes opened by this one are the same cluster.

`data/format1-*.tar.xz` to `data/format5-*.tar.xz` hold three nodes of that format, each with a
snapshot, a log behind it and tables. They were stopped, or killed while a session that they knew
had just taken a lock. Those of formats 2 and 3 also hold a backup, made before that lock was taken,
and the indexes that some reads were answered with; those of format 3 services too, and what was
shown of them. Their third node was killed before the others: it has not applied all that they have.
Those of format 5 hold services and checks of agents.
"""

import http.client
import json
import tarfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from quorate.base.formats import DIRECTORY
from quorate.lab.launch import LocalCluster, NodeProcess
from quorate.runtime.datadir import system_boot_id
from tests.limits import HANG_S

pytestmark = pytest.mark.integration

DATA = Path(__file__).parent / "data"
SETTINGS = '{"quorate": {"wal_segment_bytes": 1048576, "snapshot_log_bytes": 1048576}}'
KEYS = {f"app/k{number}": number for number in range(1, 80)}


def after_a_clean_stop(node: Path) -> None:
    assert json.loads((node / "tables.json").read_bytes())["state"] == "clean"


def after_a_killed_process(node: Path) -> None:
    mark = {"state": "running", "boot_id": system_boot_id()}
    (node / "tables.json").write_text(json.dumps(mark))


def after_a_power_cut(node: Path) -> None:
    mark = {"state": "running", "boot_id": "another one"}
    (node / "tables.json").write_text(json.dumps(mark))


def after_a_power_cut_of_one(node: Path) -> None:
    (after_a_power_cut if node.name == "n2" else after_a_killed_process)(node)


@contextmanager
def upgraded(directory: Path, archive: str) -> Generator[LocalCluster, None, None]:
    directory.mkdir(exist_ok=True)
    with tarfile.open(DATA / archive) as content:
        content.extractall(directory, filter="data")
    settings = directory / "settings.json"
    settings.write_text(SETTINGS)
    cluster = LocalCluster(directory, extra=["-config-file", str(settings)])
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.parametrize(
    ("archive", "prepare"),
    [
        ("format1-stopped.tar.xz", after_a_clean_stop),
        ("format1-killed.tar.xz", after_a_killed_process),
        ("format1-killed.tar.xz", after_a_power_cut),
        ("format1-killed.tar.xz", after_a_power_cut_of_one),
        ("format2-stopped.tar.xz", after_a_clean_stop),
        ("format2-killed.tar.xz", after_a_killed_process),
        ("format2-killed.tar.xz", after_a_power_cut),
        ("format2-killed.tar.xz", after_a_power_cut_of_one),
        ("format3-stopped.tar.xz", after_a_clean_stop),
        ("format3-killed.tar.xz", after_a_killed_process),
        ("format3-killed.tar.xz", after_a_power_cut),
        ("format3-killed.tar.xz", after_a_power_cut_of_one),
        ("format5-stopped.tar.xz", after_a_clean_stop),
        ("format5-killed.tar.xz", after_a_killed_process),
        ("format5-killed.tar.xz", after_a_power_cut),
        ("format5-killed.tar.xz", after_a_power_cut_of_one),
    ],
    ids=[
        f"{number}-{end}"
        for number in (1, 2, 3, 5)
        for end in ("stopped", "killed", "power-cut", "power-cut-of-one")
    ],
)
def test_three_nodes_go_on_with_all_that_they_had(
    tmp_path: Path, archive: str, prepare: Callable[[Path], None]
) -> None:
    with upgraded(tmp_path, archive) as cluster:
        for node in cluster.nodes:
            prepare(node.data)
        cluster.start(HANG_S)
        found = [everything(node.get) for node in cluster.nodes]

        assert [node.is_running() for node in cluster.nodes] == [True] * 3
        assert found[0] == found[1] == found[2]
        keys, sessions = found[0]
        assert {key: keys[key][0] for key in KEYS} == KEYS
        assert keys["app/fill"] == (0, "ZW5k", "")
        assert "app/k0" not in keys
        names = {row["ID"]: row["Name"] for row in sessions}
        held = {key: names[keys[key][2]] for key in ("lock/a", "lock/b")}
        assert held == {"lock/a": "old", "lock/b": "no-ttl"}
        formats = [json.loads((node.data / "node.json").read_bytes()) for node in cluster.nodes]
        assert [node["format"] for node in formats] == [DIRECTORY.newest] * 3


@pytest.mark.parametrize("prepare", [after_a_killed_process, after_a_power_cut])
def test_the_indexes_of_tables_of_format_2_are_what_they_were(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    """They stood by position; a client that waits with one must not be woken by the upgrade."""
    with upgraded(tmp_path, "format2-killed.tar.xz") as cluster:
        for node in cluster.nodes:
            prepare(node.data)
        cluster.start(HANG_S)
        before = json.loads((tmp_path / "indexes.json").read_text())
        for path in ("/v1/kv/?recurse", "/v1/kv/app/k5", "/v1/session/list"):
            assert {asked(node, "GET", path)[1] for node in cluster.nodes} == {before[path]}
        assert before["/v1/kv/?recurse"] != before["/v1/session/list"]


def said(row: dict[str, Any]) -> dict[str, Any]:
    """What a row says: the build that wrote the directory showed null for what is left out now."""
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize(
    ("archive", "prepare"),
    [
        ("format3-stopped.tar.xz", after_a_clean_stop),
        ("format3-killed.tar.xz", after_a_killed_process),
        ("format3-killed.tar.xz", after_a_power_cut_of_one),
    ],
    ids=["stopped", "killed", "power-cut-of-one"],
)
def test_services_of_format_3_are_shown_as_they_were_and_go_on(
    tmp_path: Path, archive: str, prepare: Callable[[Path], None]
) -> None:
    """Their definitions were JSON; sessions were in no index."""
    with upgraded(tmp_path, archive) as cluster:
        for node in cluster.nodes:
            prepare(node.data)
        cluster.start(HANG_S)
        before = json.loads((tmp_path / "indexes.json").read_text())
        shown = json.loads((tmp_path / "shown.json").read_text())
        for node in cluster.nodes:
            content, index = asked(node, "GET", "/v1/catalog/service/web")
            assert list(map(said, json.loads(content))) == list(
                map(said, shown["/v1/catalog/service/web"])
            )
            assert index == before["/v1/health/service/web"]
            names = json.loads(asked(node, "GET", "/v1/catalog/services")[0])
            assert names == shown["/v1/catalog/services"]
            assert names_of(node, "n2") == {"old", "no-ttl"}
        first, second = cluster.nodes[:2]
        assert (
            json.loads(asked(first, "GET", "/v1/agent/services")[0]) == shown["/v1/agent/services"]
        )
        again = {"ID": "web1", "Name": "web", "Tags": ["v3"], "Meta": {"b": "2"}, "Port": 8080}
        asked(first, "PUT", "/v1/agent/service/register", json.dumps(again).encode())
        asked(second, "PUT", "/v1/agent/service/deregister/web2")
        for node in cluster.nodes:
            rows = json.loads(asked(node, "GET", "/v1/health/service/web")[0])
            ids = {row["Service"]["ID"]: row["Service"]["Tags"] for row in rows}
            assert ids["web1"] == ["v3"]
            assert "web2" not in ids
        assert [node.is_running() for node in cluster.nodes] == [True] * 3  # none differs


@pytest.mark.parametrize(
    ("archive", "prepare"),
    [
        ("format5-stopped.tar.xz", after_a_clean_stop),
        ("format5-killed.tar.xz", after_a_killed_process),
        ("format5-killed.tar.xz", after_a_power_cut_of_one),
    ],
    ids=["stopped", "killed", "power-cut-of-one"],
)
def test_checks_of_format_5_are_shown_as_they_were_and_get_more_fields(
    tmp_path: Path, archive: str, prepare: Callable[[Path], None]
) -> None:
    """They do not know the tags of their service; what is registered from now on does."""
    with upgraded(tmp_path, archive) as cluster:
        for node in cluster.nodes:
            prepare(node.data)
        cluster.start(HANG_S)
        shown = json.loads((tmp_path / "shown.json").read_text())
        first, second = cluster.nodes[:2]
        for node in cluster.nodes:
            for path in ("/v1/catalog/services", "/v1/health/node/n2"):
                assert json.loads(asked(node, "GET", path)[0]) == shown[path]
            rows = json.loads(asked(node, "GET", "/v1/health/service/web")[0])
            before = shown["/v1/health/service/web"]
            assert [row["Service"] for row in rows] == [row["Service"] for row in before]
            own = [check for check in rows[0]["Checks"] if check["ServiceID"] == "web1"]
            assert own == [check for check in before[0]["Checks"] if check["ServiceID"] == "web1"]
        check = {"Name": "x", "ServiceID": "px", "Definition": {"TCP": "a:1"}, "Interval": "1s"}
        service = {
            "ID": "px",
            "Service": "web",
            "Port": 1,
            "Tags": ["t"],
            "Connect": {"Native": True},
        }
        put = {"Node": "far", "Address": "10.0.0.1", "Service": service, "Check": check}
        asked(second, "PUT", "/v1/catalog/register", json.dumps(put).encode())
        asked(first, "PUT", "/v1/agent/check/pass/service:web1?note=again")
        seen = [asked(node, "GET", "/v1/health/service/web") for node in cluster.nodes]
        assert seen[0] == seen[1] == seen[2]
        far = json.loads(seen[0][0])[0]
        assert far["Service"]["Connect"] == {"Native": True}
        assert far["Checks"][0]["Definition"] == {"TCP": "a:1"}
        assert far["Checks"][0]["ServiceTags"] == ["t"]
        assert [node.is_running() for node in cluster.nodes] == [True] * 3  # none differs


def test_a_session_of_format_3_ends_with_its_node(tmp_path: Path) -> None:
    """It is found by an index that no older version had."""
    with upgraded(tmp_path, "format3-stopped.tar.xz") as cluster:
        cluster.start(HANG_S)
        first, second, third = cluster.nodes
        assert names_of(first, "n1") == {"other", "unbound"}
        backup = (tmp_path / "backup.snap").read_bytes()
        asked(first, "PUT", "/v1/snapshot", backup)
        assert names_of(third, "n1") == {"other", "unbound"}
        assert names_of(third, "N2") == {"old", "no-ttl"}
        shown = json.loads((tmp_path / "shown.json").read_text())["/v1/catalog/service/web"]
        rows = json.loads(asked(third, "GET", "/v1/catalog/service/web")[0])
        assert [row["ServiceID"] for row in rows] == [row["ServiceID"] for row in shown]
        session = json.loads(asked(second, "GET", "/v1/session/node/n2")[0])[0]["ID"]
        asked(second, "PUT", f"/v1/session/destroy/{session}")
        assert len(names_of(first, "n2")) == 1


def names_of(node: NodeProcess, name: str) -> set[str]:
    rows = json.loads(asked(node, "GET", f"/v1/session/node/{name}")[0])
    return {row["Name"] for row in rows}


def test_a_backup_of_format_1_is_restored(tmp_path: Path) -> None:
    """Into a new cluster, and into one that was upgraded and is older than the backup no more."""
    with upgraded(tmp_path / "old", "format2-stopped.tar.xz") as cluster:
        backup = (tmp_path / "old" / "backup.snap").read_bytes()
        cluster.start(HANG_S)
        first = cluster.nodes[0]
        assert asked(first, "PUT", "/v1/kv/app/k1", b"changed")[0] == b"true"
        fresh = LocalCluster(tmp_path / "new", count=1)
        try:
            fresh.start(HANG_S)
            for node in (first, *fresh.nodes):
                asked(node, "PUT", "/v1/snapshot", backup)
            after = [everything(node.get) for node in (first, *fresh.nodes)]
        finally:
            fresh.stop()
    for keys, sessions in after:
        assert {key: keys[key][0] for key in KEYS} == KEYS
        assert keys["app/k1"][1] == "dmFsdWUgMQ=="
        assert (keys["lock/a"][1], "lock/b" in keys) == ("YQ==", False)
        assert {row["Name"] for row in sessions} == {"old", "no-ttl"}


def asked(node: NodeProcess, method: str, path: str, body: bytes = b"") -> tuple[bytes, str | None]:
    """The body of an answer, which is a good one, and its index."""
    connection = http.client.HTTPConnection("127.0.0.1", node.ports.http, timeout=HANG_S)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        content = response.read()
        assert response.status == http.client.OK, content
        return content, response.getheader("X-Consul-Index")
    finally:
        connection.close()


def everything(get: Callable[..., Any]) -> tuple[dict[str, tuple[int, str, str]], Any]:
    """Keys with flags, value and holder, and the sessions, as one node tells them."""
    rows: Any = get("/v1/kv/?recurse", HANG_S)
    keys = {row["Key"]: (row["Flags"], row["Value"], row.get("Session", "")) for row in rows}
    return keys, get("/v1/session/list", HANG_S)
