"""What was set aside is kept whole, and a node sees nothing of it, whenever it crashed."""

import shutil
from pathlib import Path

import pytest

from quorate.base.errors import StorageError
from quorate.runtime import setaside
from quorate.runtime.datadir import is_blank, open_datadir, renew_datadir


def begun(path: Path) -> str:
    """A directory that a node has used; returns its id."""
    directory = open_datadir(path)
    (path / "tables").mkdir()
    (path / "tables" / "rows").write_text("rows")
    directory.close()
    return directory.node_id


def test_the_next_start_has_a_new_id_and_the_content_is_kept(tmp_path: Path) -> None:
    before = begun(tmp_path)
    kept = renew_datadir(tmp_path)
    assert {each.name for each in kept.iterdir()} == {"node.json", "tables", "wal"}
    assert (kept / "tables" / "rows").read_text() == "rows"
    directory = open_datadir(tmp_path)
    assert (directory.node_id != before, directory.incarnation) == (True, 1)
    assert not (tmp_path / "tables").exists()
    directory.close()


@pytest.mark.parametrize("moved", ["node.json", "tables", "wal"])
def test_a_crash_in_between_is_made_good_before_anything_is_read(
    tmp_path: Path, moved: str
) -> None:
    before = begun(tmp_path)
    folder = tmp_path / f"{setaside.PREFIX}1"
    folder.mkdir()
    (folder / "moving").touch()
    shutil.move(tmp_path / moved, folder / moved)
    directory = open_datadir(tmp_path)
    assert directory.node_id != before
    assert {each.name for each in folder.iterdir()} == {"node.json", "tables", "wal"}
    directory.close()


def test_a_directory_in_use_is_not_set_aside(tmp_path: Path) -> None:
    directory = open_datadir(tmp_path)
    with pytest.raises(StorageError, match="is used by process"):
        renew_datadir(tmp_path)
    directory.close()


def test_somebody_has_to_look_before_too_much_is_kept(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{setaside.PREFIX}{number}").mkdir()
    begun(tmp_path)
    with pytest.raises(StorageError, match="look at them"):
        renew_datadir(tmp_path)
    assert (tmp_path / "node.json").exists()


def test_what_was_registered_with_the_agent_stays(tmp_path: Path) -> None:
    begun(tmp_path)
    for name in ("entries", "services"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "web.json").write_text("{}")
    kept = renew_datadir(tmp_path)
    assert {each.name for each in kept.iterdir()} == {"node.json", "tables", "wal"}
    assert is_blank(tmp_path)
    open_datadir(tmp_path).close()
    assert not is_blank(tmp_path)
    assert [(tmp_path / name / "web.json").exists() for name in ("entries", "services")] == [
        True,
        True,
    ]
