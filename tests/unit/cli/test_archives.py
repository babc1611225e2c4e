"""Snapshot files are checked to the last byte."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from quorate.cli.archives import ArchiveError, read_archive
from tests.unit.cli.conftest import Run

META = json.dumps({"Version": 1, "ID": "2-18-1", "Index": 18, "Term": 2, "Size": 5}).encode()


def packed(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in parts.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return buffer.getvalue()


def whole(state: bytes = b"state") -> dict[str, bytes]:
    parts = {"meta.json": META, "state.bin": state}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in parts.items())
    return {**parts, "SHA256SUMS": sums.encode()}


def test_a_whole_archive_tells_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.snap"
    file.write_bytes(packed(whole()))
    archive = read_archive(file)
    assert archive.meta["Index"] == 18
    assert archive.sizes["state.bin"] == 5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense", "failed to decompress"),
        (packed(whole())[:-20], "failed to decompress"),
        (gzip.compress(b"no tar at all", mtime=0), "failed to decompress"),
        (packed(whole() | {"state.bin": b"other"}), "state.bin is missing or its sum is wrong"),
        (packed({"meta.json": META}), "SHA256SUMS is missing"),
        (
            packed({name: data for name, data in whole().items() if name != "state.bin"}),
            "state.bin",
        ),
    ],
    ids=["garbage", "cut", "no tar", "changed", "no sums", "no state"],
)
def test_a_broken_archive_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "a.snap"
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match=reason):
        read_archive(file)


def test_inspect_shows_the_facts_in_columns(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.snap"
    file.write_bytes(packed(whole()))
    rows = dict(line.split() for line in run("snapshot", "inspect", str(file)).out.splitlines())
    assert (rows["ID"], rows["Index"], rows["Term"], rows["Version"]) == ("2-18-1", "18", "2", "1")
    assert json.loads(run("snapshot", "inspect", "-json", str(file)).out)["parts"]["state.bin"] == 5


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
