"""No coined word comes back where it is gone. `tests/words.py` has the words and what to write.

Whoever has cleaned a package or a page adds it here.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.words import BOTH, ENTRIES, NAMES, TEXT, Checker, Entry, Finding, split

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/quorate"

CLEAN: tuple[str, ...] = (
    "accounts",
    "agent",
    "balancing",
    "base",
    "benchmarks",
    "catalog",
    "chunks",
    "cli",
    "client",
    "domains",
    "events",
    "examples",
    "httpserver",
    "kv",
    "lab",
    "machine",
    "monitoring",
    "net",
    "node",
    "paxos",
    "recovery",
    "runtime",
    "scripts",
    "serving",
    "sessions",
    "sim",
    "testing",
    "tests",
    "wire",
)
"""Packages of the source, and other folders with Python files, from the root."""

PAGES: tuple[str, ...] = (
    ".ci/run",
    ".pre-commit-config.yaml",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "deploy/container/Containerfile",
    "deploy/grafana/quorate.json",
    "deploy/prometheus/alerts.test.yml",
    "deploy/prometheus/alerts.yml",
    "deploy/systemd/quorate.service",
    "docs/api/consul.md",
    "docs/api/errors.md",
    "docs/api/python.md",
    "docs/balancing.md",
    "docs/benchmarks.md",
    "docs/cli.md",
    "docs/glossary.md",
    "docs/monitoring.md",
    "docs/operating/agent.md",
    "docs/operating/data-directory.md",
    "docs/operating/install.md",
    "docs/operating/limits.md",
    "docs/operating/metrics.md",
    "docs/operating/trouble.md",
    "docs/operating/upgrade.md",
    "docs/protocol/bootstrap.md",
    "docs/protocol/log.md",
    "docs/protocol/paxos.md",
    "docs/protocol/rollback.md",
    "docs/protocol/rules.md",
    "docs/protocol/survivors.md",
    "docs/testing-your-service.md",
    "docs/testing.md",
    "docs/tutorial.md",
    "pyproject.toml",
)
"""Markdown pages, and other texts."""

ABOUT_WORDS = {"tests/words.py", "tests/test_words.py"}


def files(package: str) -> Iterator[Path]:
    """The Python files of a package of the source, of one of its modules, or of another folder."""
    if (SOURCE / f"{package}.py").is_file():
        yield SOURCE / f"{package}.py"
        return
    folder = SOURCE / package if (SOURCE / package).is_dir() else ROOT / package
    yield from sorted(folder.rglob("*.py"))


def findings(package: str) -> Iterator[Finding]:
    """The coined words in the files of a package."""
    checker = Checker(package)
    for path in files(package):
        name = str(path.relative_to(ROOT))
        if name not in ABOUT_WORDS:
            yield from checker.python(name, path.read_text())


@pytest.mark.parametrize("package", CLEAN)
def test_a_clean_package_has_no_coined_word(package: str) -> None:
    assert [str(each) for each in findings(package)] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_clean_page_has_no_coined_word(page: str) -> None:
    found = Checker(page.split("/", maxsplit=1)[0]).text(page, (ROOT / page).read_text())
    assert [str(each) for each in found] == []


def test_what_is_clean_exists() -> None:
    assert [each for each in CLEAN if not list(files(each))] == []
    assert [each for each in PAGES if not (ROOT / each).is_file()] == []


# --- the glossary --------------------------------------------------------------------------------


class Row(NamedTuple):
    """One line of the glossary."""

    section: str
    terms: list[str]
    meaning: str
    elsewhere: str


def glossary() -> Iterator[Row]:
    """Its lines; one may define several terms, joined by commas."""
    section = ""
    for line in (ROOT / "docs/glossary.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] not in {"Term", "---"}:
            assert len(cells) == 3, line
            yield Row(section, cells[0].split(", "), cells[1], cells[2])


def test_every_term_of_the_glossary_is_used() -> None:
    pages = [page for page in ROOT.glob("docs/**/*.md") if page.name != "glossary.md"]
    paths = [*SOURCE.rglob("*.py"), *ROOT.glob("scripts/*.py"), *pages, ROOT / "ARCHITECTURE.md"]
    text = split(" ".join(path.read_text() for path in paths))
    text = " ".join(text.replace("-", " ").split())
    unused = [
        term
        for row in glossary()
        for term in row.terms
        if row.section != "To come" and split(term).replace("-", " ") not in text
    ]
    assert unused == []


def test_every_line_of_the_glossary_is_whole() -> None:
    rows = list(glossary())
    assert [row.terms for row in rows if not (row.meaning and row.elsewhere)] == []
    terms = [(row.section, term) for row in rows for term in row.terms]
    twice = [term for term, times in Counter(terms).items() if times > 1]
    assert twice == [("Members", "learner")]  # of Paxos, and of a configuration


# --- the rules, each fed an offence and something innocent ---------------------------------------


def found(package: str, source: str) -> list[str]:
    return [each.found for each in Checker(package).python("package/module.py", source)]


@pytest.mark.parametrize(
    ("package", "source", "wrong"),
    [
        ("paxos", "def hear_of(self): ...", "hear_of"),
        ("paxos", "class HearOf: ...", "HearOf"),
        ("paxos", '"""A leader\'s word proves it."""', "word"),
        ("node", "# nobody's yet", "nobody's"),
        ("node", "x = 1  # one that stands\n# for leadership", "stands for leadership"),
        ("node", '"""It stands for\n    leadership again."""', "stands for leadership"),
        ("node", 'log("founded a cluster")', "founded"),
        ("node", "x = f'{slot} was told'", "told"),
        ("runtime", '"""Whether it was `not_told`."""', "told"),
        ("paxos", "NOBODY = NodeId(0)", "NOBODY"),
        ("kv", "class KVTomb: ...", "KVTomb"),
        ("client", "from quorate.client.road import Road", "road"),
        ("runtime", "class Home: ...", "Home"),
    ],
)
def test_a_coined_word_is_seen(package: str, source: str, wrong: str) -> None:
    assert wrong in found(package, source)


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("httpserver", '"""The body of a request; a server answers."""\nbody = b""'),
        ("paxos", '"""Slots in flight: what ALPHA stands for."""\nin_flight = 1'),
        ("cli", '"""The word after the command."""\nword, words = argv'),
        ("wire", '"""A timestamp, a protocol. In other words: a heartbeat, foundation, route."""'),
        ("node", '"""What the group changes."""\nfound = timestamp'),
        ("agent", '"""It was found; it lives in the data directory."""\nhome = Path.home()'),
        ("client", '"""The life cycle of a lifetime."""'),
        ("machine", "class Watches: ...  # all changes; presence of a key"),
    ],
)
def test_an_innocent_word_is_spared(package: str, source: str) -> None:
    assert found(package, source) == []


def test_a_finding_names_file_and_line_and_what_to_write() -> None:
    source = '"""A\nmodule.\n\nWhat was\ntold.\n"""\n\n\ndef farewell() -> None: ...\n'
    assert [str(each) for each in Checker("node").python("node/a.py", source)] == [
        "node/a.py:5: 'told'; write: reported, notified, known; remote watermark",
        "node/a.py:9: 'farewell'; write: removed (the message that a member was removed)",
    ]


def test_the_name_of_a_module_counts() -> None:
    assert [each.found for each in Checker("node").python("node/duties.py", "")] == ["duties"]


def test_names_and_text_are_searched_apart() -> None:
    entries = (Entry("one", "1", NAMES), Entry("two", "2", TEXT), Entry("three", "3", BOTH))
    source = "one = two = three = 0  # one two three"
    wrong = {each.found: each.instead for each in Checker("kv", entries).python("a.py", source)}
    assert wrong == {"one": "1", "two": "2", "three": "3"}
    assert len(list(Checker("kv", entries).python("a.py", source))) == 4


def test_an_exception_holds_for_its_package_only() -> None:
    entry = Entry("ring", "list", excepted={"hash": "a hash ring"})
    assert not list(Checker("hash", (entry,)).python("a.py", "ring = 1"))
    assert list(Checker("client", (entry,)).python("a.py", "ring = 1"))


def test_entries_are_well_formed() -> None:
    for entry in ENTRIES:
        assert entry.instead
        assert entry.pattern == entry.pattern.lower()
        assert entry.where <= BOTH
        assert entry.where
        assert all(entry.excepted.values()), entry.pattern
    assert split("HearOf_it KVTomb") == "hear of it kv tomb"
