"""What documents and docstrings cite in backticks exists."""

from pathlib import Path

import pytest

from tests.citations import Repository, citations

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def repository() -> Repository:
    return Repository(ROOT)


def test_every_name_and_path_in_backticks_exists(repository: Repository) -> None:
    found = [each for each, page in citations(repository) if repository.missing(each.text, page)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "tests/unit/paxos/test_nothing.py", "docs/nothing.md", "wire/nothing", "quorum_of.py",
        "quorate.paxos.nothing", "runtime.nothing", "paxos.learner.Nothing",
        "quorate.wire.journal.Layout.nothing_of_it",
        "NothingLikeIt", "Persist.nothing_of_it", "NothingError",
        "nothing_like_it", "on_nothing_received()", "NOTHING_BYTES_MAX",
        "make nothing", "make test nothing",
    ],
)  # fmt: skip
def test_what_does_not_exist_is_seen(repository: Repository, text: str) -> None:
    assert repository.missing(text, ROOT / "docs/glossary.md")


@pytest.mark.parametrize(
    "text",
    [
        "tests/unit/<room>/", "docs/api/errors.md", "src/quorate/client/sync/*", "wire/journal",
        "quorate.paxos.learner", "runtime.wal", "paxos.learner.Learner", "Persist", "WalSettings",
        "Transport.cut_off", "on_accepted", "HANG_S", "make test", "make sim FOR=600",
        "/v1/kv/key", "quorate kv get", "-data-dir", "index=5", "a sentence of words", "x", "KB",
    ],
)  # fmt: skip
def test_what_exists_or_is_no_name_is_let_pass(repository: Repository, text: str) -> None:
    assert not repository.missing(text, ROOT / "docs/testing.md")
