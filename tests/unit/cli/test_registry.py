"""Commands of the registry and of `config`: what they ask for, and what they say."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.base.errors import RequestError, UnavailableError
from quorate.client.replies import Reply
from tests.unit.cli.conftest import Run
from tests.unit.cli.fakes import FakeClient

NODES = [
    {"ID": "0123456789", "Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1",
     "TaggedAddresses": {"lan": "10.0.0.1"}, "Meta": {"b": "2", "a": "1"}},
    {"ID": "", "Node": "node-2", "Address": "10.0.0.2", "Datacenter": "dc1",
     "TaggedAddresses": None, "Meta": None},
]  # fmt: skip


class Api:
    """Notes what is asked, and gives what was prepared for a path."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any, dict[str, Any]]] = []
        self.replies: dict[str, Any] = {}

    def call(self, method: str, path: str, body: bytes = b"", **query: Any) -> Reply:
        given = {name: value for name, value in query.items() if value not in (None, False)}
        self.asked.append((method, path, json.loads(body) if body else None, given))
        reply = self.replies.get(path)
        if isinstance(reply, Exception):
            raise reply
        return Reply(200, {}, json.dumps(reply).encode())


@pytest.fixture
def api(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setattr(client, "call", api.call, raising=False)
    return api


# --- catalog ----------------------------------------------------------------------------------


def test_nodes_are_a_table(run: Run, api: Api) -> None:
    api.replies["/v1/catalog/nodes"] = NODES
    assert run("catalog", "nodes").out == (
        "Node    ID        Address   DC\n"
        "n1      01234567  10.0.0.1  dc1\n"
        "node-2            10.0.0.2  dc1\n"
    )
    said = run("catalog", "nodes", "-detailed").out.splitlines()
    assert said[0].split() == ["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"]
    assert said[1].endswith("dc1  lan=10.0.0.1     a=1, b=2")
    found = json.loads(run("catalog", "nodes", "-json").out)
    assert [each["Node"] for each in found] == ["n1", "node-2"]


def test_nodes_are_chosen_by_the_server(run: Run, api: Api) -> None:
    api.replies["/v1/catalog/nodes"] = []
    said = run("catalog", "nodes", "-node-meta=k=v=w", "-filter=Node == a", "-near=n1")
    assert said == (0, "", "No nodes match the given query - try expanding your search.\n")
    query = {"node-meta": "k:v=w", "filter": "Node == a", "near": "n1"}
    assert api.asked == [("GET", "/v1/catalog/nodes", None, query)]
    assert run("catalog", "nodes", "-json").out == "[]\n"
    api.replies["/v1/catalog/service/a%2Fb"] = [NODES[0], NODES[0]]
    assert len(run("catalog", "nodes", "-service=a/b").out.splitlines()) == 2
    assert run("catalog", "nodes", "-node-meta==v").code == 1


def test_services_are_listed_with_or_without_tags(run: Run, api: Api) -> None:
    api.replies["/v1/catalog/services"] = {"web": ["b", "a"], "consul": []}
    assert run("catalog", "services").out == "consul\nweb\n"
    assert run("catalog", "services", "-tags").out == "consul\nweb         a,b\n"
    assert json.loads(run("catalog", "services", "-json").out) == {"web": ["a", "b"], "consul": []}
    instances = {"x": {"Service": "web", "Tags": ["a"]}, "y": {"Service": "web", "Tags": None}}
    api.replies["/v1/catalog/node/n1"] = {"Node": {}, "Services": instances}
    assert run("catalog", "services", "-node=n1", "-tags").out == "web      a\n"
    said = run("catalog", "services", "-node=none")  # the API says null
    assert said.err == "No services match the given query - try expanding your search.\n"


def test_datacenters(run: Run, api: Api) -> None:
    api.replies["/v1/catalog/datacenters"] = ["dc1"]
    assert run("catalog", "datacenters").out == "dc1\n"


# --- services ---------------------------------------------------------------------------------


def test_a_service_is_registered_by_flags(run: Run, api: Api) -> None:
    words = [
        "-name=web",
        "-id=w1",
        "-port=80",
        "-tag=x",
        "-tag=y",
        "-meta=k=v",
        "-address=10.0.0.1",
    ]
    assert run("services", "register", *words) == (0, "Registered service: web\n", "")
    body = {
        "Name": "web", "ID": "w1", "Port": 80, "Tags": ["x", "y"], "Meta": {"k": "v"},
        "Address": "10.0.0.1",
    }  # fmt: skip
    assert api.asked == [("PUT", "/v1/agent/service/register", body, {})]
    assert run("services", "register", "-name=a", "-meta=k").code == 1


def test_services_are_registered_and_taken_out_by_files(run: Run, api: Api, tmp_path: Path) -> None:
    one, two = tmp_path / "a.hcl", tmp_path / "b.json"
    one.write_text('service {\n name = "a"\n check { ttl = "5m" }\n}\nservice { name = "b" }\n')
    two.write_text(json.dumps({"services": [{"Name": "c", "ID": "c/1"}], "node_name": "x"}))
    said = run("services", "register", str(one), str(two))
    assert said == (0, "".join(f"Registered service: {name}\n" for name in "abc"), "")
    assert api.asked[0][2]["name"] == "a"
    assert api.asked[0][2]["check"] == {"ttl": "5m"}
    assert [each[2] for each in api.asked[1:]] == [{"name": "b"}, {"Name": "c", "ID": "c/1"}]
    assert run("services", "deregister", str(tmp_path)).out == (
        "Deregistered service: a\nDeregistered service: b\nDeregistered service: c/1\n"
    )
    assert api.asked[-1][1] == "/v1/agent/service/deregister/c%2F1"


def test_blocks_of_hcl_are_sent_as_the_api_has_them(run: Run, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "a.hcl"
    file.write_text(
        """
        service {
          name = "web"
          tags = ["v1"]
          meta { team = "a" }
          weights { passing = 3, warning = 1 }
          tagged_addresses { lan { address = "10.0.0.1", port = 80 } }
          check { http = "http://localhost", interval = "5s", header { x = ["1"] } }
          checks = [{ ttl = "5s" }]
          proxy { upstreams { destination_name = "db" }, expose { paths { path = "/x" } } }
        }
        """
    )
    assert run("services", "register", str(file)).code == 0
    assert api.asked[0][2] == {
        "name": "web",
        "tags": ["v1"],
        "meta": {"team": "a"},
        "weights": {"passing": 3, "warning": 1},
        "tagged_addresses": {"lan": {"address": "10.0.0.1", "port": 80}},
        "check": {"http": "http://localhost", "interval": "5s", "header": {"x": ["1"]}},
        "checks": [{"ttl": "5s"}],
        "proxy": {
            "upstreams": [{"destination_name": "db"}],
            "expose": {"paths": [{"path": "/x"}]},
        },
    }


def test_what_cannot_be_registered_is_named(run: Run, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"services": [7]}')
    assert "must be a block" in run("services", "register", str(file)).err
    assert run("services", "register").err.startswith("Service registration requires at least one")
    assert "not both" in run("services", "register", "-name=x", str(file)).err
    assert run("services", "deregister").err.startswith("Service deregistration requires at least")
    assert "not both" in run("services", "deregister", "-id=x", str(file)).err
    said = run("services", "register", f"{tmp_path}/none.hcl")
    assert said.err.startswith(f"Error: config: Open failed on {tmp_path}/none.hcl. open ")
    file.write_text("{")
    assert run("services", "register", str(file)).err.startswith("Error: failed to parse")
    api.replies["/v1/agent/service/deregister/x"] = RequestError("bad_request", "Unknown service")
    said = run("services", "deregister", "-id=x")
    assert said == (1, "", 'Error deregistering service "": Unknown service\n')


# --- watch ------------------------------------------------------------------------------------


class FakeWatch:
    """States that were prepared; an exception is raised."""

    def __init__(self, *states: Any) -> None:
        self.index = 0
        self._states = iter(states)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        state = next(self._states)
        if isinstance(state, Exception):
            raise state
        self.index += 1
        return state


@pytest.mark.parametrize(
    ("words", "path", "query"),
    [
        ("-type=key -key=a/b", "/v1/kv/a/b", {}),
        ("-type=keyprefix -prefix=a/", "/v1/kv/a/", {"recurse": True}),
        ("-type=services", "/v1/catalog/services", {}),
        ("-type=nodes -filter=x", "/v1/catalog/nodes", {"filter": "x"}),
        ("-type=service -service=a/b", "/v1/health/service/a%2Fb", {"passing": False}),
        (
            "-type=service -service=w -tag=t -passingonly",
            "/v1/health/service/w",
            {"passing": True, "tag": "t"},
        ),
        ("-type=checks", "/v1/health/state/any", {}),
        ("-type=checks -state=passing", "/v1/health/state/passing", {}),
        ("-type=checks -service=w", "/v1/health/checks/w", {}),
    ],
)
def test_each_type_of_watch_reads_its_path(
    run: Run, client: FakeClient, monkeypatch: pytest.MonkeyPatch, words: str, path: str,
    query: dict[str, Any],
) -> None:  # fmt: skip
    asked: list[tuple[str, dict[str, Any]]] = []

    def watch(path: str, **query: Any) -> FakeWatch:
        asked.append((path, query))
        return FakeWatch([{"Key": "a"}])

    monkeypatch.setattr(client, "watch", watch, raising=False)
    said = run("watch", *words.split())
    assert (said.code, said.err) == (0, "")
    assert asked == [(path, query)]
    key = {"Key": "a", "Session": ""}
    expected = {"key": key, "keyprefix": [key]}.get(words.split(maxsplit=1)[0].partition("=")[2])
    assert json.loads(said.out) == (expected or [{"Key": "a"}])


def test_a_handler_gets_each_state_and_a_failure_is_no_end(
    run: Run, client: FakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("quorate.cli.watch.time.sleep", slept.append)
    gone = UnavailableError("no_quorum", "no node answers", 1.0)
    ended = RequestError("bad_request", "over")
    states = FakeWatch(None, [{"Key": "a"}], gone, [{"Key": "b"}])

    def watch(_: str, **__: Any) -> FakeWatch:
        return states

    monkeypatch.setattr(client, "watch", watch, raising=False)
    log = tmp_path / "log"
    command = f"cat >> {log}; echo $CONSUL_INDEX >> {log}; exit 3"
    with pytest.raises(StopIteration):  # nothing more was prepared
        run("watch", "-type=key", "-key=a", command)
    text = log.read_text()
    assert text.replace("\n", "").replace(" ", "") == (
        'null1{"Key":"a","Session":""}2{"Key":"b","Session":""}3'
    )
    assert slept == [5.0]
    states = FakeWatch(ended)
    said = run("watch", "-type=key", "-key=a", "true")  # never answered: a mistake
    assert (said.code, said.out) == (1, "")
    assert "over" in said.err
    states = FakeWatch([])
    said = run("watch", "-type=nodes", "-shell=false", f"{tmp_path}/none", "x")
    assert (said.code, said.err) == (
        1, f"Error executing handler: {tmp_path}/none: No such file or directory\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "Watch type must be specified\n"),
        ("-type=nonsense", "Unsupported watch type: nonsense\n"),
        ("-type=key", "Must specify a single key to watch\n"),
        ("-type=keyprefix", "Must specify a single prefix to watch\n"),
        ("-type=service", "Must specify a single service to watch\n"),
        ("-type=checks -service=a -state=b", "Cannot specify service and state\n"),
    ],
)
def test_what_cannot_be_watched_is_named(run: Run, words: str, text: str) -> None:
    assert run("watch", *words.split()) == (1, "", text)


# --- maint ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "path", "query", "said"),
    [
        (["-enable"], "maintenance", {"enable": "true"}, "Node maintenance is now enabled\n"),
        (["-disable"], "maintenance", {"enable": "false"}, "Node maintenance is now disabled\n"),
        (
            ["-enable", "-service=a/b", "-reason=why so"],
            "service/maintenance/a%2Fb",
            {"enable": "true", "reason": "why so"},
            'Service maintenance is now enabled for "a/b"\n',
        ),
    ],
)
def test_maintenance_begins_and_ends(
    run: Run, api: Api, words: list[str], path: str, query: dict[str, str], said: str
) -> None:
    assert run("maint", *words) == (0, said, "")
    assert api.asked == [("PUT", f"/v1/agent/{path}", None, query)]


def test_what_is_in_maintenance_is_shown(run: Run, api: Api) -> None:
    api.replies["/v1/agent/self"] = {"Config": {"NodeName": "n1"}}
    api.replies["/v1/agent/checks"] = {"service:web": {"Notes": "", "ServiceID": "web"}}
    assert run("maint") == (0, "", "")
    assert json.loads(run("maint", "-json").out) == {"node": None, "services": {}}
    api.replies["/v1/agent/checks"] = {
        "_node_maintenance": {"Notes": "disks", "ServiceID": ""},
        "_service_maintenance:web": {"Notes": "why", "ServiceID": "web"},
    }
    assert run("maint").out == (
        "Node:\n  Name:   n1\n  Reason: disks\n\nService:\n  ID:     web\n  Reason: why\n\n"
    )
    assert json.loads(run("maint", "-json").out) == {"node": "disks", "services": {"web": "why"}}


def test_maintenance_that_makes_no_sense_is_refused(run: Run, api: Api) -> None:
    for words, text in (
        (["-enable", "-disable"], "Only one of -enable or -disable may be provided\n"),
        (["-reason=x"], "Reason may only be provided with -enable\n"),
        (["-service=x"], "Service requires either -enable or -disable\n"),
    ):
        assert run("maint", *words) == (1, "", text)
    api.replies["/v1/agent/service/maintenance/x"] = RequestError("bad_request", "Unknown service")
    said = run("maint", "-enable", "-service=x")
    assert said == (1, "", "Error enabling service maintenance: Unknown service\n")


def test_a_key_has_32_random_bytes(run: Run) -> None:
    keys = {run("keygen").out for _ in range(3)}
    assert len(keys) == 3
    assert {len(base64.b64decode(key)) for key in keys} == {32}


# --- config -----------------------------------------------------------------------------------


def test_an_entry_is_written_from_hcl_or_json(run: Run, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "entry.hcl"
    file.write_text(
        'Kind = "proxy-defaults" Name = "global" Config { a { b = 1 } } Meta { c = "d" }'
    )
    api.replies["/v1/config"] = True
    assert run("config", "write", str(file)).out == "Config entry written: proxy-defaults/global\n"
    mesh = tmp_path / "mesh.json"
    mesh.write_text('{"Kind": "mesh"}')
    assert run("config", "write", str(mesh)).out == "Config entry written: mesh\n"
    fields = {"Kind": "proxy-defaults", "Name": "global", "Config": {"a": {"b": 1}}}
    assert api.asked == [
        ("PUT", "/v1/config", fields | {"Meta": [{"c": "d"}]}, {}),
        ("PUT", "/v1/config", {"Kind": "mesh"}, {}),
    ]
    api.replies["/v1/config"] = False
    said = run("config", "write", "-cas", "-modify-index=7", str(file))
    assert (said.code, "Nothing was written" in said.err) == (1, True)
    assert api.asked[-1][3] == {"cas": 7}
    file.write_text("Kind = ")
    assert "Failed to decode config entry input: At 1:" in run("config", "write", str(file)).err


def test_entries_are_read_listed_and_deleted(run: Run, api: Api) -> None:
    which = ("-kind=service-defaults", "-name=a/b")
    path = "/v1/config/service-defaults/a%2Fb"
    api.replies[path] = {"Kind": "service-defaults", "Name": "a/b"}
    said = run("config", "read", *which)
    assert said.out == '{\n    "Kind": "service-defaults",\n    "Name": "a/b"\n}\n'
    api.replies["/v1/config/service-defaults"] = [{"Name": "a"}, {"Name": "b"}]
    assert run("config", "list", which[0]).out == "a\nb\n"
    api.replies[path] = {}
    assert run("config", "delete", *which).out == "Config entry deleted: service-defaults/a/b\n"
    assert api.asked[-1] == ("DELETE", path, None, {})
    api.replies[path] = False
    assert run("config", "delete", *which, "-cas", "-modify-index=3").code == 1
    for words in (("read", which[1]), ("read", which[0]), ("list",), ("delete",)):
        assert "Must specify the -" in run("config", *words).err
