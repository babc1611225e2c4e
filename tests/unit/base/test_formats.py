import pytest

from quorate.base import formats
from quorate.base.errors import StorageError
from quorate.base.formats import Format

THREE = Format(("first", "second", "third"), oldest=2)


def test_what_is_known_is_read() -> None:
    assert THREE.newest == 3
    for number in (2, 3):
        assert THREE.refusal("x", number) == ""
        THREE.check("x", number)


def test_a_newer_one_is_refused_with_what_to_do() -> None:
    with pytest.raises(StorageError) as caught:
        THREE.check("/data/n1", 4)
    assert caught.value.code == "version"
    assert caught.value.text == (
        "/data/n1 was written by a newer version of Quorate (format 4, this one knows 3): "
        "start that version, or a newer one"
    )


def test_one_that_is_read_no_more_is_refused_with_what_to_do() -> None:
    assert THREE.refusal("/data/n1", 1) == (
        "/data/n1 has format 1, which this version of Quorate reads no more (it knows 2 to 3): "
        "upgrade by a version in between"
    )


def test_every_format_is_one_of_the_table_in_the_module_and_says_what_changed() -> None:
    found = {name: each for name, each in vars(formats).items() if isinstance(each, Format)}
    assert len(found) == 7
    for name, each in found.items():
        assert f"`{name}`" in (formats.__doc__ or "")
        assert all(each.changes)
        assert 1 <= each.oldest <= each.newest


def test_all_that_is_stored_is_read_from_its_first_format_on() -> None:
    stored = (formats.DIRECTORY, formats.LOG, formats.STATE, formats.SNAPSHOT_FILE, formats.ARCHIVE)
    assert {each.oldest for each in stored} == {1}
