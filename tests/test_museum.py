"""The museum of mutants stays in order; `scripts/museum.py` itself is run before a release."""

from pathlib import Path

import pytest

from scripts.museum import MUTANTS, REPOSITORY, apply, collect, read

# Bugs of parts that do not exist yet; docs/testing.md says which.
NOT_YET = {"M16", "M20", "M21"}


def test_every_mutant_still_applies_alone() -> None:
    objections = {one.number: apply(one, REPOSITORY, check_only=True) for one in collect()}

    assert {number: text for number, text in objections.items() if text} == {}


def test_there_is_a_mutant_for_every_known_bug() -> None:
    numbers = {one.number[:3] for one in collect()}

    assert numbers | NOT_YET == {f"M{number:02}" for number in range(1, 48)}
    assert numbers & NOT_YET == set()


def test_no_two_mutants_have_the_same_number() -> None:
    mutants = collect()

    assert len({one.number for one in mutants}) == len(mutants)


def test_every_named_test_exists() -> None:
    for mutant in collect():
        for killer in mutant.tests:
            path, _, name = killer.partition("::")
            text = (REPOSITORY / path).read_text()
            assert f"def {name}(" in text, f"{mutant.number}: {killer}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("M03_wrong.patch", "Bug: one\nKilled-by: seed 1\n\n--- a/src/x\n"),
        ("M03-no-killer.patch", "Bug: one\n\n--- a/src/x\n"),
        ("M03-no-bug.patch", "Killed-by: seed 1\n\n--- a/src/x\n"),
        ("M03-no-diff.patch", "Bug: one\nKilled-by: seed 1\n"),
    ],
)
def test_a_patch_that_says_too_little_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(ValueError, match="M03"):
        read(tmp_path / name)


def test_nothing_else_lies_among_the_mutants() -> None:
    assert {path.suffix for path in MUTANTS.iterdir()} == {".patch"}


def recipe(target: str) -> str:
    """The commands of a target of the Makefile."""
    text = (REPOSITORY / "Makefile").read_text()
    return text.split(f"\n{target}: ", maxsplit=1)[1].partition("\n\n")[0]


def test_soak_runs_seeds_the_museum_and_generated_mutants_and_ci_the_floor_of_branches() -> None:
    soak = recipe("soak")
    for part in ("quorate.sim --seed $(SEED) --seeds 5000", "scripts/museum.py", "generated.py"):
        assert part in soak
    assert "make coverage" in (REPOSITORY / ".ci/run").read_text()
    assert "--cov-fail-under=98" in recipe("coverage")
