"""Model of the configuration entries for the simulator: see `kv.model`."""

import json
from typing import Any, NamedTuple, cast

from quorate.base.command import Command
from quorate.base.domain import Model, SimulatedRead, Simulation
from quorate.base.outcomes import Failure
from quorate.base.ports import Rng
from quorate.base.results import StateView
from quorate.configentries.commands import EntryDelete, EntrySet, IntentionDelete, IntentionSet
from quorate.configentries.queries import each_entry

_KINDS = ("service-defaults", "proxy-defaults", "service-router", "service-splitter", "mesh")
_NAMES = ("web", "db")
_DESTINATIONS = ("web", "*")


class EntrySeen(NamedTuple):
    """An entry as a client sees it."""

    kind: str
    name: str
    content: str
    create: int
    modify: int


class ConfigEntries:
    """All entries, by kind and name."""

    def __init__(self, _: Model) -> None:
        self.entries: dict[tuple[str, str], EntrySeen] = {}

    def put_back(self, saved: dict[tuple[str, str], EntrySeen]) -> None:
        """The entries of a snapshot."""
        self.entries = dict(saved)


def _own(model: Model) -> ConfigEntries:
    return cast(ConfigEntries, model.own["configentries"])


def _shown(content: bytes | str) -> str:
    return json.dumps(json.loads(content), sort_keys=True)


def _protocol(entries: dict[tuple[str, str], EntrySeen], service: str) -> str:
    said = [
        json.loads(entries[place].content)
        for place in (("service-defaults", service), ("proxy-defaults", "global"))
        if place in entries
    ]
    found = [each.get("Protocol") or each.get("Config", {}).get("protocol") for each in said]
    return next((each for each in found if each), "tcp")


def _try(model: Model, place: tuple[str, str], content: str | None) -> bool | Failure:
    """Write or remove an entry, unless a router or splitter would be one without its protocol."""
    entries = dict(_own(model).entries)
    old = entries.get(place)
    if content is None:
        entries.pop(place, None)
    else:
        entries[place] = EntrySeen(*place, content, 0, 0)
    for kind, name in sorted(entries):
        if kind in ("service-router", "service-splitter") and (
            _protocol(entries, name) not in ("http", "http2", "grpc")
        ):
            found = _protocol(entries, name)
            return Failure(
                "precondition",
                f'discovery chain "{name}" uses a protocol "{found}" that does not permit advanced '
                "routing or splitting behavior",
            )
    index = model.take()
    if content is not None:
        created = index if old is None else old.create
        entries[place] = EntrySeen(*place, content, created, index)
    _own(model).put_back(entries)
    return True


def _set(model: Model, command: EntrySet) -> Any:
    place, content = (command.kind, command.name), _shown(command.content)
    old = _own(model).entries.get(place)
    if command.index is not None and command.index != (0 if old is None else old.modify):
        return False
    if old is not None and old.content == content:
        return True
    return _try(model, place, content)


def _delete(model: Model, command: EntryDelete) -> Any:
    place = (command.kind, command.name)
    old = _own(model).entries.get(place)
    if old is None:
        return True
    if command.index is not None and command.index != old.modify:
        return False
    return _try(model, place, None)


def _intend(model: Model, destination: str, source: str, new: Any) -> bool:
    place = ("service-intentions", destination)
    old = _own(model).entries.get(place)
    sources: list[dict[str, Any]] = [] if old is None else json.loads(old.content)["Sources"]
    found = [each for each in sources if each["Name"] != source]
    found = sorted([*found, *new], key=lambda each: (-each["Precedence"], each["Name"]))
    if found != sources:
        _try(model, place, _shown(json.dumps({"Sources": found})) if found else None)
    return True


def _intention(model: Model, command: IntentionSet) -> bool:
    source = json.loads(command.source)
    return _intend(model, command.destination, source["Name"], [source])


def _no_intention(model: Model, command: IntentionDelete) -> bool:
    return _intend(model, command.destination, command.source, [])


# --- what clients do --------------------------------------------------------------------------


def _one_of(chance: Rng, choices: tuple[str, ...]) -> str:
    return choices[chance.randrange(len(choices))]


def _act(chance: Rng, text: str) -> Command:
    kind = _one_of(chance, _KINDS)
    name = "global" if kind == "proxy-defaults" else _one_of(chance, _NAMES)
    index = chance.randrange(20) if chance.random() < 0.2 else None
    if chance.random() < 0.3:
        return EntryDelete(kind, name, index)
    fields: dict[str, Any] = {"Meta": {"by": text if chance.randrange(2) else ""}}
    protocol = _one_of(chance, ("http", "http", "tcp", ""))
    if protocol:
        fields |= {"Protocol": protocol, "Config": {"protocol": protocol}}
    return EntrySet(kind, name, json.dumps(fields, sort_keys=True).encode(), index)


def _act_intention(chance: Rng, text: str) -> Command:
    destination, source = _one_of(chance, _DESTINATIONS), _one_of(chance, ("a", "b", "*"))
    if chance.random() < 0.4:
        return IntentionDelete(destination, source)
    precedence = 5 + 2 * (source != "*") + 3 * (destination != "*")
    fields = {"Name": source, "Action": "allow", "Precedence": precedence, "Description": text}
    return IntentionSet(destination, json.dumps(fields, sort_keys=True).encode())


# --- what they see ----------------------------------------------------------------------------


def _see(reading: StateView, kind: bytes) -> tuple[EntrySeen, ...]:
    return tuple(
        EntrySeen(row.kind, row.name, _shown(row.content), row.create_index, row.modify_index)
        for row in each_entry(reading, kind.decode()).value
    )


def _expect(model: Model, slot: int, kind: bytes) -> tuple[EntrySeen, ...]:
    copy: dict[tuple[str, str], EntrySeen] = {}
    if slot:
        copy = model.copies[slot]["configentries"]
    found = (entry for _, entry in sorted(copy.items()))
    return tuple(entry for entry in found if kind.decode() in ("", entry.kind))


def _save(model: Model) -> dict[tuple[str, str], EntrySeen]:
    return dict(_own(model).entries)


def _restore(model: Model, saved: dict[tuple[str, str], EntrySeen]) -> None:
    _own(model).put_back(saved)


SIMULATION = Simulation(
    state=ConfigEntries,
    save=_save,
    restore=_restore,
    model={
        EntrySet: _set,
        EntryDelete: _delete,
        IntentionSet: _intention,
        IntentionDelete: _no_intention,
    },
    acts={"config entry": _act, "intention": _act_intention},
    queries={
        "config entries": SimulatedRead(
            _see,
            _expect,
            lambda chance: _one_of(chance, ("", *_KINDS, "service-intentions")).encode(),
            lambda reading, kind: each_entry(reading, kind.decode()),
        )
    },
)
