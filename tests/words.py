"""Coined words, and the standard terms to write instead.

An entry is a regular expression over lower-case words: identifiers are split at `_` and at capitals
(`hear_of` and `HearOf` read "hear of"), and so is text. It is searched in names (identifiers and
the names of modules), in text (comments, strings, docstrings, Markdown), or in both.

A word that is a standard term somewhere is excepted there, with the reason; one that is wrong in
some packages only is searched in these only.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

NAMES = frozenset({"names"})
TEXT = frozenset({"text"})
BOTH = NAMES | TEXT

CORE = frozenset(
    {"base", "wire", "paxos", "machine", "node", "serving", "runtime", "recovery", "sim"}
)
"""The packages in which "word" is not a word of a command line."""


class Entry(NamedTuple):
    """A coined word.

    Attributes:
        pattern: What is searched, in lower case; the word boundaries around it are added.
        instead: What to write, for the message of the failure.
        where: In names, in text, or both.
        only: The packages in which it is wrong; empty: all.
        excepted: Packages in which it is a standard term, each with the reason.
    """

    pattern: str
    instead: str
    where: frozenset[str] = BOTH
    only: frozenset[str] = frozenset()
    excepted: Mapping[str, str] = MappingProxyType({})

    def holds_in(self, package: str) -> bool:
        """Whether it is searched in that package."""
        return package not in self.excepted and (not self.only or package in self.only)


def _in(*packages: str) -> frozenset[str]:
    return frozenset(packages)


PURE = _in(
    "base",
    "chunks",
    "wire",
    "paxos",
    "machine",
    "kv",
    "sessions",
    "catalog",
    "events",
    "node",
    "serving",
)

ENTRIES: tuple[Entry, ...] = (
    # what the glossary says otherwise
    Entry(r"slaves?|primar(?:y|ies)|masters?", "replica, leader", NAMES),
    Entry(r"terms?|views? number", "ballot", NAMES, only=PURE),
    Entry(r"vote requests?|acks?|rejects?", "prepare, accepted, nack", NAMES, only=PURE),
    Entry(r"clients? ids?", "origin", NAMES, only=PURE),
    Entry(r"abdicat(?:e|es|ion)", "transfer", NAMES),
    Entry(r"pillars?", "domain", only=PURE),
    Entry(r"hooks?|triggers?", "fact, reaction", NAMES, only=PURE),
    Entry(r"type codes?", "tag", NAMES, only=PURE),
    # a cluster and its members
    Entry(r"nobody'?s", "uninitialised"),
    Entry(r"found(?:ing|ed|ers?)", "bootstrap, bootstrapped, initial members"),
    Entry(r"strangers?", "not a member, a removed member; an unknown file"),
    Entry(r"farewells?", "removed (the message that a member was removed)"),
    Entry(r"presence", "failure detector", NAMES),
    Entry(r"presence", "failure detector", TEXT, only=_in("node", "runtime")),
    Entry(r"^changes$", "reconfiguration", NAMES, only=_in("node")),
    Entry(r"meetings?|^meet$", "bootstrap discovery", NAMES),
    Entry(r"^peering$", "peer identity, links (Consul's cluster peering is something else)", NAMES),
    Entry(r"lonel(?:y|iness)", "isolated"),
    Entry(r"^(?:exit )?nobody(?: serves)?$", "no node (`NO_NODE`), none", NAMES),
    Entry(r"life(?! cycle)", "incarnation, epoch, run; lifetime of a session"),
    Entry(
        r"lives(?! (?:in|on|at|here|below|behind|beside|only|under|outside|as|elsewhere))",
        "incarnations, epochs; runs, is running",
        TEXT,
    ),
    # leadership
    Entry(r"^(?:may )?stand$", "campaign", NAMES),
    Entry(
        r"stand(?:s|ing)? (?:again )?for (?:election|leadership)|(?:to|we) stand(?! still| in)",
        "campaign",
        TEXT,
    ),
    Entry(
        r"(?:links?|connections?) (?:stands?|stood)(?! still)|link that stands|came to stand",
        "is established, is up",
        TEXT,
    ),
    Entry(r"poll(?:s|ed|ing)?", "pre-vote", only=_in("base", "wire", "paxos", "node")),
    Entry(r"(?<!in\s)flights?(?!\srecord|-)", "in flight"),
    Entry(r"patience|patient(?:ly)?", "timeout; with a timeout"),
    Entry(r"dut(?:y|ies)", "leader tasks"),
    Entry(
        r"(?:^| )asker?$", "request, requester", NAMES, only=_in("base", "wire", "paxos", "node")
    ),
    Entry(r"questions?", "request; confirmation round", BOTH, only=_in("paxos", "node")),
    Entry(r"read points?", "read index"),
    # what a node knows of others
    Entry(r"(?:un)?told", "reported, notified, known; remote watermark"),
    Entry(r"tellers?", "the peer that reported it"),
    Entry(r"(?:un)?heard|hear(?:s|ing|say)?", "received from; reachable; last contact"),
    Entry(r"(?<!other\s)words?", "message, report, statement", TEXT, only=CORE),
    Entry(r"word", "message, report, statement", NAMES, only=_in("paxos")),
    # turns and the log
    Entry(r"(?:un)?settl(?:e[sd]?|ing)", "apply what is pending; end the turn; resolve"),
    Entry(r"^flush$", "end of turn", NAMES, only=_in("paxos", "node")),
    Entry(r"^agreement$", "divergence check", NAMES),
    Entry(r"gather(?:s|ed|ing)?", "batch delay", only=_in("base", "machine", "node", "sim")),
    Entry(r"company", "more commands; batch delay"),
    Entry(r"routes?", "dispatch", NAMES, only=_in("node")),
    Entry(
        r"stamp(?:s|ed|ing)?",
        "log time (`log_time_ms`)",
        excepted={"Makefile": "a stamp file", "CONTRIBUTING.md": "likewise"},
    ),
    Entry(r"rot(?:s|ten|ted)?", "corruption; a torn write"),
    Entry(r"ballast", "disk reserve"),
    Entry(r"^past$", "recovered state", NAMES, only=_in("wire", "runtime", "recovery", "sim")),
    Entry(r"homes?", "storage, data directory", only=_in("runtime", "recovery", "testing", "sim")),
    # tables
    Entry(
        r"touch(?:es|ed)?",
        "mark changed",
        NAMES,
        only=_in("base", "kv", "sessions", "catalog", "events", "machine", "node", "serving"),
    ),
    Entry(r"bur(?:y|ies|ied)", "schedule removal"),
    Entry(r"gra(?:ves?|veyards?)|tombs?", "tombstone"),
    Entry(r"remind(?:s|ed|ers?)?", "timer, set timer"),
    Entry(r"doomed", "to be removed, expired"),
    Entry(r"twins?", "duplicate, namesake, counterpart"),
    Entry(r"shel(?:f|ves)", "bucket, the watches of one key"),
    # what runs a node
    Entry(
        r"bod(?:y|ies)",
        "server, runtime, implementation (of a port); payload of a bundle",
        TEXT,
        only=_in("base", "paxos", "machine", "node", "sim", "runtime"),
    ),
    Entry(r"start body|body settings", "server, `ServerSettings`", NAMES),
    Entry(r"deeds?", "action"),
    Entry(r"dice", "randomness, rng"),
    Entry(r"hurr(?:y|ies|ied)", "retry at once, expedite"),
    Entry(r"keepers?", "maintenance thread; session renewal"),
    Entry(r"wish(?:es)?", "request, effect", NAMES),
    # serving and gateways
    Entry(r"shapes?", "view", NAMES, only=_in("gateways", "sim")),
    Entry(r"^answers$", "responses", NAMES),
    Entry(r"needs word", "keep-alive", NAMES),
    Entry(r"wind(?:s|ing)? down", "drain"),
    Entry(r"drawers?", "response writer"),
    Entry(r"deaf", "not reading"),
    Entry(r"doors?", "HTTP listeners, front end"),
    # clients, programs, simulator
    Entry(r"rings?", "endpoint list", only=_in("client", "cli", "testing")),
    Entry(r"pipes?", "pooled connection", only=_in("client")),
    Entry(r"roads?", "path, transport"),
    Entry(r"guests?", "external client, independent package"),
    Entry(r"cables?", "proxied link", excepted={"docs": "what is pulled in a data centre"}),
    Entry(r"desks?", "workload driver"),
    Entry(r"weathers?", "network conditions"),
    Entry(r"appetites?", "workload profile"),
    Entry(r"^judge$|judges", "history checker", NAMES, only=_in("sim")),
    Entry(r"habits?", "behaviour, usage pattern"),
    Entry(r"^sail$", "run seeds", NAMES),
    # the project's own texts
    Entry(
        r"(?:pure|other|every|this|these|upper|two|which) (?:rooms?|floors?)|rooms|floors",
        "package, layer",
        TEXT,
    ),
    Entry(
        r"rooms?",
        "space, capacity; a package",
        NAMES,
        only=_in("base", "wire", "paxos", "node", "runtime", "tests"),
    ),
)

PUBLIC: Mapping[str, str] = MappingProxyType(
    {
        "members_heard": "a metric",
        "MEMBERS_HEARD": "its constant",
        "leader_last_heard_seconds": "a metric",
        "LEADER_LAST_HEARD_SECONDS": "its constant",
        "QuorateMemberNotHeard": "an alert",
        "enc_hook": "a parameter of msgspec",
        "gather_commands_min": "a configuration key",
        "LastHeard": "a field of `/v1/operator/cluster`",
        "Last heard": "its column in `quorate cluster list`",
        "acl_master_token": "an argument of py-consul",
        '"desk"': "a stream of random numbers: another name would change every seed",
        "reconnect_poll_s": "a key of `timing`",
        '"gather"': "likewise",
        "patience_s": "an argument of the client's watches, `observe` and `decide`",
        "pipes": "an argument of the client",
        "last_heard": "a field of `/v1/operator/cluster`, and of the client's ClusterMember",
    }
)
"""What is published or stored under such a word, each with what it is; it is not looked at."""


class Finding(NamedTuple):
    """A coined word that somebody wrote."""

    path: str
    line: int
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found!r}; write: {self.instead}"


class Checker:
    """Looks for the words that may not occur in one package.

    Args:
        package: Its name; the folder of anything else.
        entries: The words.
    """

    def __init__(self, package: str, entries: tuple[Entry, ...] = ENTRIES) -> None:
        held = [entry for entry in entries if entry.holds_in(package)]
        self._names = [(_compiled(e), e.instead) for e in held if "names" in e.where]
        self._text = [(_compiled(e), e.instead) for e in held if "text" in e.where]
        self._known: dict[str, tuple[str, str] | None] = {}

    @cached_property
    def _any(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{pattern.pattern})" for pattern, _ in self._text))

    def python(self, path: str, source: str) -> Iterator[Finding]:
        """What is wrong in a Python file, its name included."""
        stem = path.rsplit("/", 1)[-1].removesuffix(".py")
        names: list[tuple[int, str]] = [(0, stem)]
        for token in _TOKEN.finditer(source):
            if token["name"]:
                names.append((token.start(), token["name"]))
            else:
                text = _COMMENT_BREAK.sub("\n", token[0]) if token["comment"] else token[0]
                yield from self.text(path, text, source.count("\n", 0, token.start()))
        for offset, name in names:
            if (wrong := self._name(name)) is not None:
                yield Finding(path, source.count("\n", 0, offset) + 1, name, wrong[1])

    def text(self, path: str, text: str, lines_before: int = 0) -> Iterator[Finding]:
        """What is wrong in a text that is not Python."""
        text = split(text)
        if not self._text or self._any.search(text) is None:
            return
        for pattern, instead in self._text:
            for match in pattern.finditer(text):
                line = lines_before + text.count("\n", 0, match.start()) + 1
                yield Finding(path, line, " ".join(match[0].split()), instead)

    def _name(self, name: str) -> tuple[str, str] | None:
        if name not in self._known:
            words = split(name).strip()
            hits = ((p.search(words), instead) for p, instead in self._names)
            self._known[name] = next(((m[0], instead) for m, instead in hits if m), None)
        return self._known[name]


def split(text: str) -> str:
    """Identifiers as words, in lower case; lines stay lines, published names go."""
    for published in PUBLIC:
        text = text.replace(published, "")
    return _CAPITAL.sub(" ", text.replace("_", " ")).lower()


def _compiled(entry: Entry) -> re.Pattern[str]:
    pattern = entry.pattern.replace(" ", r"\s+") if entry.where & TEXT else entry.pattern
    return re.compile(rf"(?<![\w-])(?:{pattern})(?!\w)")


_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_COMMENT_BREAK = re.compile(r"\n[ \t]*#+")
_TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*(?:\n[ \t]*\#[^\n]*)*)
    | (?P<string>[bfruBFRU]{0,2}
        (?:\"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3}
        | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'))
    | (?P<name>[^\W\d]\w*)
    """,
    re.DOTALL | re.VERBOSE,
)
