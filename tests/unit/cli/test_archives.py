"""Snapshot files are checked to the last byte."""

import gzip
import hashlib
import io
import json
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import msgspec
import pytest

from quorate.catalog.commands import NodeRegister
from quorate.cli.output import readable
from quorate.domains import DOMAINS
from quorate.gateways.http.archive import ArchiveError, verify
from quorate.kv.commands import KvSet
from quorate.machine.snapshot import MAGIC, content
from quorate.machine.state import STATE_KEY, encode_state
from quorate.node.recovering import state_of
from tests.unit.cli.conftest import Run
from tests.unit.machine.lab import Lab

META = json.dumps({"Version": 1, "ID": "2-18-1", "Index": 18, "Term": 2, "Size": 5}).encode()


def packed(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in parts.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return buffer.getvalue()


def whole(state: bytes = b"state", meta: bytes = META) -> dict[str, bytes]:
    parts = {"meta.json": meta, "state.bin": state}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in parts.items())
    return {**parts, "SHA256SUMS": sums.encode()}


def test_a_whole_archive_tells_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.snap"
    file.write_bytes(packed(whole()))
    meta, archive = verify(file)
    assert meta["Index"] == 18
    assert archive.sizes["state.bin"] == 5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense", "failed to decompress"),
        (packed(whole())[:-20], "failed to decompress"),
        (gzip.compress(b"no tar at all", mtime=0), "failed to read snapshot file"),
        (packed(whole() | {"state.bin": b"other"}), "the digest of state.bin is wrong"),
        (packed({"meta.json": META}), "it lacks state.bin, SHA256SUMS"),
        (packed(whole() | {"SHA256SUMS": b"00  other\n"}), "the digest of meta.json is wrong"),
        (packed(whole()) + b"more", "4 bytes follow the end"),
        (
            packed({name: data for name, data in whole().items() if name != "state.bin"}),
            "state.bin",
        ),
    ],
    ids=[
        "garbage",
        "cut",
        "no tar",
        "changed",
        "no sums",
        "others' sums",
        "garbage behind",
        "no state",
    ],
)
def test_a_broken_archive_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "a.snap"
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match=reason):
        verify(file)


@pytest.mark.parametrize("verb", ["inspect", "restore"])
@pytest.mark.parametrize(
    "meta",
    [b"5", b"[1]", b"null", b"[" * 200_000, b'{"a":' * 100_000, b'{"ID":"\\ud800"}', b"\xff"],
)
def test_meta_that_cannot_be_read_is_named(
    run: Run, tmp_path: Path, meta: bytes, verb: str
) -> None:
    file = tmp_path / "a.snap"
    file.write_bytes(packed(whole(meta=meta)))
    said = run("snapshot", verb, str(file))
    assert (said.code, said.out) == (1, "")
    assert "meta.json cannot be read" in said.err


def test_an_archive_that_unpacks_to_much_takes_no_memory(tmp_path: Path) -> None:
    """Not even as a further header, which libraries read as a whole."""
    packer = zlib.compressobj(1, wbits=31)
    about = tarfile.TarInfo("pax")
    about.size, about.type = 256 << 20, tarfile.XHDTYPE
    file = tmp_path / "bomb.snap"
    data = packer.compress(about.tobuf(tarfile.USTAR_FORMAT))
    data += b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    file.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError):
            verify(file)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_inspect_shows_the_facts_in_columns(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.snap"
    file.write_bytes(packed(whole()))
    rows = dict(line.split() for line in run("snapshot", "inspect", str(file)).out.splitlines())
    assert (rows["ID"], rows["Index"], rows["Term"], rows["Version"]) == ("2-18-1", "18", "2", "1")
    assert json.loads(run("snapshot", "inspect", "-json", str(file)).out)["Meta"]["Index"] == 18


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A snapshot of a machine with three keys and a node."""
    lab = Lab()
    for key in ("web/a/1", "web/a/2", "db"):
        lab.outcomes(KvSet(key.encode(), b"x" * 1000, 0))
    lab.outcomes(NodeRegister("id-1", "n1", "10.0.0.1", "dc1", {}, {}))
    file = tmp_path / "own.snap"
    file.write_bytes(packed(whole(b"".join(content(DOMAINS, lab.tables)))))
    return file


def test_inspect_counts_what_a_snapshot_holds(run: Run, own: Path) -> None:
    said = run("snapshot", "inspect", str(own))
    assert (said.code, said.err) == (0, "")
    lines = [line.split() for line in said.out.splitlines()]
    facts = {line[0]: line[1] for line in lines if len(line) == 2}
    assert facts["Keys"] == "3"
    assert {"ID", "Size", "Index", "Term", "Version", "Cluster", "Date"} < set(facts)
    counts = {line[0]: line[1:] for line in lines if len(line) == 3}
    assert counts["Type"] == ["Count", "Size"]
    assert counts["KVS"][0] == "3"
    assert counts["Node"][0] == "2"  # and the machine's own
    assert counts["KVS"][1].startswith("3.0")
    assert facts["Total"].endswith("KB")


@pytest.mark.parametrize("wall_ms", [2**62, -(2**62)])
def test_inspect_shows_no_time_beyond_the_calendar(run: Run, tmp_path: Path, wall_ms: int) -> None:
    lab, file = Lab(), tmp_path / "a.snap"
    state = msgspec.structs.replace(state_of(lab.tables), wall_ms=wall_ms)
    transaction = lab.tables.begin()
    transaction.put(STATE_KEY, encode_state(state))
    transaction.commit()
    file.write_bytes(packed(whole(b"".join(content(DOMAINS, lab.tables)))))
    said = run("snapshot", "inspect", "-json", str(file))
    assert json.loads(said.out)["Meta"]["Date"] == "-"


def test_inspect_speaks_to_programs(run: Run, own: Path) -> None:
    shape = json.loads(run("snapshot", "inspect", "-format=json", "-kvdetails", str(own)).out)
    assert shape["Meta"]["Keys"] == 3
    assert {stat["Name"]: stat["Count"] for stat in shape["Stats"]}["KVS"] == 3
    assert shape["TotalSize"] == sum(stat["Sum"] for stat in shape["Stats"])
    assert {stat["Name"]: stat["Count"] for stat in shape["StatsKV"]} == {"web/a/": 2, "db": 1}
    assert run("snapshot", "inspect", "-format=xml", str(own)).code == 1


def test_inspect_counts_keys_by_their_first_parts(run: Run, own: Path) -> None:
    said = run("snapshot", "inspect", "-kvdetails", "-kvdepth=1", "-kvfilter=web", str(own)).out
    rows = {
        line.split()[0]: line.split()[1]
        for line in said.partition("Key Name")[2].splitlines()
        if line
    }
    assert rows["web/"] == "2"
    assert "db" not in rows


def test_a_state_that_is_damaged_within_its_sums_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.snap"
    file.write_bytes(packed(whole(MAGIC + b"nonsense")))
    said = run("snapshot", "inspect", str(file))
    assert said.code == 1
    assert said.err.startswith("Error reading snapshot: the snapshot is ")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.0KB"), (1536, "1.5KB"), (3 * 2**20, "3.0MB")],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert readable(size) == text


def test_files_that_are_not_there_are_named(run: Run) -> None:
    text = "Error opening snapshot file: open none.snap: no such file or directory\n"
    assert run("snapshot", "restore", "none.snap") == (1, "", text)
    assert run("snapshot", "inspect") == (1, "", "Missing FILE argument\n")


def test_a_broken_file_is_not_sent_to_the_cluster(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.snap"
    file.write_text("nonsense")
    said = run("snapshot", "restore", str(file))
    assert said.code == 1
    assert said.err.startswith("Error restoring snapshot: ")
