import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from quorate.base.config import ClusterConfig
from quorate.base.errors import StorageError
from quorate.base.formats import DIRECTORY
from quorate.runtime import datadir
from quorate.runtime.datadir import open_datadir, system_boot_id

FIRST_BOOT, SECOND_BOOT = "boot-1", "boot-2"


def lived(path: Path, boot_id: str = FIRST_BOOT) -> datadir.DataDir:
    """A start that has ended; its lock is free again."""
    held = open_datadir(path, boot_id=boot_id)
    held.close()
    return held


def begun(path: Path, cluster: ClusterConfig | None) -> None:
    """A start that began a log, and has ended."""
    held = open_datadir(path, cluster=cluster)
    held.mark_log_begun(cluster)
    held.close()


def refused(path: Path) -> StorageError:
    with pytest.raises(StorageError) as caught:
        open_datadir(path)
    return caught.value


def test_a_blank_directory_gets_an_id_once_and_a_new_incarnation_at_every_start(
    tmp_path: Path,
) -> None:
    lives = [lived(tmp_path / "deep" / "data") for _ in range(3)]
    assert len({start.node_id for start in lives}) == 1
    assert len(lives[0].node_id) == 36
    assert [start.incarnation for start in lives] == [1, 2, 3]
    assert len({start.nonce for start in lives}) == 3
    assert lives[0].wal.is_dir()


def test_two_directories_are_two_nodes(tmp_path: Path) -> None:
    assert lived(tmp_path / "a").node_id != lived(tmp_path / "b").node_id


def test_a_directory_in_use_is_refused_with_the_pid_of_who_uses_it(tmp_path: Path) -> None:
    held = open_datadir(tmp_path)
    error = refused(tmp_path)
    assert error.code == "locked"
    assert f"process {os.getpid()}" in error.text
    held.close()
    held.close()
    assert lived(tmp_path).incarnation == 2  # the refused one has not lived


def test_the_lock_ends_with_the_process_however_it_ends(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from quorate.runtime.datadir import open_datadir; "
        "held = open_datadir(pathlib.Path(sys.argv[1])); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == 9
    assert lived(tmp_path).incarnation == 2


def test_a_refused_directory_is_not_left_locked(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    refused(tmp_path)
    (tmp_path / "thesis.tex").unlink()
    lived(tmp_path)


def test_a_directory_of_others_is_refused_untouched(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).touch()
    error = refused(tmp_path)
    assert error.code == "foreign"
    assert "(a, b, c, …)" in error.text
    assert not (tmp_path / "node.json").exists()


def test_an_empty_file_system_is_blank(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert lived(tmp_path).incarnation == 1


def test_a_first_start_that_was_cut_off_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "node.json.new").write_bytes(b'{"for')
    assert lived(tmp_path).incarnation == 1


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file").code == "foreign"
    assert refused(tmp_path / "file" / "below").code == "foreign"


def test_a_log_without_its_name_is_refused(tmp_path: Path) -> None:
    lived(tmp_path)
    (tmp_path / "node.json").unlink()
    error = refused(tmp_path)
    assert error.code == "corrupt"
    assert "node.json is missing" in error.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format":1,"id":"x"}', b"\xff\xfe"])
def test_a_damaged_name_is_refused(tmp_path: Path, content: bytes) -> None:
    lived(tmp_path)
    (tmp_path / "node.json").write_bytes(content)
    assert refused(tmp_path).code == "corrupt"
    assert (tmp_path / "node.json").read_bytes() == content


def test_a_newer_format_is_refused_whatever_else_it_says(tmp_path: Path) -> None:
    lived(tmp_path)
    (tmp_path / "node.json").write_bytes(
        b'{"format": %d, "id": {"of": "the future"}}' % (DIRECTORY.newest + 1)
    )
    error = refused(tmp_path)
    assert error.code == "version"
    assert "newer version" in error.text


def failing(number: int) -> object:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EACCES, "permission"), (errno.ENOSPC, "disk_full")]
)
@pytest.mark.parametrize("call", ["mkdir", "iterdir", "rename", "read_bytes"])
def test_what_the_system_refuses_is_reported_with_a_code_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str, call: str
) -> None:
    before = lived(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, call, failing(number))
        assert refused(tmp_path).code == code
    assert lived(tmp_path).node_id == before.node_id


def test_a_file_system_without_locks_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    assert refused(tmp_path).code == "corrupt"


def test_an_incarnation_that_could_not_be_counted_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        assert refused(tmp_path).code == "corrupt"
    assert lived(tmp_path).incarnation == 2


def test_that_a_log_was_begun_is_remembered(tmp_path: Path) -> None:
    assert not lived(tmp_path).log_begun
    held = open_datadir(tmp_path)
    held.mark_log_begun()
    held.close()
    assert lived(tmp_path).log_begun


def test_the_newest_incarnation_that_began_to_write_the_log_is_remembered(tmp_path: Path) -> None:
    assert lived(tmp_path).log_begun_in == 0
    held = open_datadir(tmp_path)
    held.mark_log_begun()
    held.close()
    assert lived(tmp_path).log_begun_in == 2
    assert lived(tmp_path).log_begun_in == 2  # the third began none


def test_the_cluster_settings_of_the_newest_start_that_has_some_are_remembered(
    tmp_path: Path,
) -> None:
    assert lived(tmp_path).cluster == ClusterConfig()
    for settings in (ClusterConfig(removals_max=3), ClusterConfig(alpha_slots=16)):
        begun(tmp_path, settings)
        begun(tmp_path, None)
        assert lived(tmp_path).cluster == lived(tmp_path).known_cluster == settings


def test_the_first_cluster_settings_are_stored_at_once_others_only_when_they_are_accepted(
    tmp_path: Path,
) -> None:
    assert lived(tmp_path).known_cluster is None
    first, other = ClusterConfig(removals_max=3), ClusterConfig(removals_max=4)
    for settings in (first, other):
        open_datadir(tmp_path, cluster=settings).close()
        assert lived(tmp_path).known_cluster == first
    begun(tmp_path, other)
    assert lived(tmp_path).known_cluster == other


def test_cluster_settings_that_are_not_known_here_do_no_harm(tmp_path: Path) -> None:
    lived(tmp_path)
    path = tmp_path / "node.json"
    said = msgspec.json.decode(path.read_bytes()) | {"cluster": {"later": 1, "removals_max": 3}}
    path.write_bytes(msgspec.json.encode(said))
    assert lived(tmp_path).cluster == ClusterConfig(removals_max=3)


def test_tables_are_not_trusted_before_anything_was_said_of_them(tmp_path: Path) -> None:
    assert not lived(tmp_path).tables_trusted()
    assert not lived(tmp_path).tables_trusted()


def test_tables_survive_a_killed_process_but_not_a_crash_of_the_system(tmp_path: Path) -> None:
    open_running(tmp_path)
    assert lived(tmp_path, FIRST_BOOT).tables_trusted()
    assert not lived(tmp_path, SECOND_BOOT).tables_trusted()


def test_tables_are_trusted_after_a_clean_stop_in_every_later_boot(tmp_path: Path) -> None:
    held = open_running(tmp_path)
    held.mark_clean()
    assert lived(tmp_path, SECOND_BOOT).tables_trusted()


def test_the_clean_mark_is_gone_before_the_first_transaction(tmp_path: Path) -> None:
    open_running(tmp_path).mark_clean()
    open_running(tmp_path)
    assert not lived(tmp_path, SECOND_BOOT).tables_trusted()


def test_a_later_incarnation_without_a_transaction_changes_no_mark(tmp_path: Path) -> None:
    open_running(tmp_path)
    lived(tmp_path, SECOND_BOOT)
    assert not lived(tmp_path, SECOND_BOOT).tables_trusted()


def test_a_system_that_does_not_tell_its_boot_is_trusted_only_when_clean(tmp_path: Path) -> None:
    held = open_datadir(tmp_path, boot_id="")
    held.mark_running()
    held.close()
    assert not lived(tmp_path, "").tables_trusted()
    held.mark_clean()
    assert lived(tmp_path, "").tables_trusted()


def test_a_damaged_mark_is_no_mark(tmp_path: Path) -> None:
    open_running(tmp_path)
    (tmp_path / "tables.json").write_bytes(b"{")
    assert not lived(tmp_path).tables_trusted()


def test_the_boot_of_this_system_has_a_name_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert system_boot_id() == system_boot_id()
    monkeypatch.setattr(datadir, "BOOT_ID", tmp_path / "missing")
    assert system_boot_id() == ""


def test_node_json_is_for_people_too(tmp_path: Path) -> None:
    node = lived(tmp_path)
    said = msgspec.json.decode((tmp_path / "node.json").read_bytes())
    assert said["id"] == node.node_id
    assert said["created"].endswith("Z")


def open_running(path: Path) -> datadir.DataDir:
    held = open_datadir(path, boot_id=FIRST_BOOT)
    held.mark_running()
    held.close()
    return held


@pytest.mark.parametrize("older", range(1, DIRECTORY.newest))
def test_an_older_format_is_taken_over_once_it_has_been_read(tmp_path: Path, older: int) -> None:
    first = lived(tmp_path)
    file = tmp_path / "node.json"
    file.write_bytes(
        file.read_bytes().replace(b'"format":%d' % DIRECTORY.newest, b'"format":%d' % older)
    )
    again = lived(tmp_path)
    assert (again.node_id, again.incarnation) == (first.node_id, 2)
    assert msgspec.json.decode(file.read_bytes())["format"] == DIRECTORY.newest
