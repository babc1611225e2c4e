"""Model of prepared queries for the simulator: see `kv.model`."""

from typing import NamedTuple, cast

from quorate.base.command import Command
from quorate.base.domain import Model, SimulatedRead, Simulation
from quorate.base.facts import IsSessionAlive, SessionEnded
from quorate.base.outcomes import Failure
from quorate.base.ports import Rng
from quorate.base.results import StateView
from quorate.preparedqueries.commands import (
    PreparedQueryCreate,
    PreparedQueryDelete,
    PreparedQueryUpdate,
)
from quorate.preparedqueries.fields import (
    NAME_PREFIX_MATCH,
    NO_TEMPLATE,
    QueryFields,
    ServiceQuery,
    Template,
)
from quorate.preparedqueries.queries import (
    QueryLookupError,
    each_query,
    query_get,
    resolved,
)
from quorate.preparedqueries.tables import QueryRow


class ModelQuery(NamedTuple):
    """A query as the model keeps it."""

    id: str
    fields: QueryFields
    create_index: int
    modify_index: int


Queries = dict[str, ModelQuery]


def _state(_: Model) -> Queries:
    return {}


def queries_of(model: Model) -> Queries:
    """The state of this domain."""
    return cast(Queries, model.own["preparedqueries"])


# --- commands and facts -----------------------------------------------------------------------


def _create(model: Model, command: PreparedQueryCreate) -> str | Failure:
    mine = queries_of(model)
    if command.id in mine:
        return Failure("already_exists", f"Prepared query '{command.id}' exists already")
    fault = _fault(model, command.id, command.fields)
    if fault is not None:
        return fault
    index = model.take()
    mine[command.id] = ModelQuery(command.id, command.fields, index, index)
    return command.id


def _update(model: Model, command: PreparedQueryUpdate) -> bool | Failure:
    old = queries_of(model).get(command.id)
    if old is None:
        return _unknown(command.id)
    fault = _fault(model, command.id, command.fields)
    if fault is not None:
        return fault
    if old.fields != command.fields:
        new = old._replace(fields=command.fields, modify_index=model.take())
        queries_of(model)[command.id] = new
    return True


def _delete(model: Model, command: PreparedQueryDelete) -> bool | Failure:
    if command.id not in queries_of(model):
        return _unknown(command.id)
    model.take()
    del queries_of(model)[command.id]
    return True


def _session_ended(model: Model, fact: SessionEnded) -> None:
    mine = queries_of(model)
    for id_ in [id_ for id_, query in mine.items() if query.fields.session == fact.id]:
        del mine[id_]


def _unknown(id_: str) -> Failure:
    return Failure("not_found", f"Cannot modify non-existent prepared query: '{id_}'")


def _fault(model: Model, id_: str, fields: QueryFields) -> Failure | None:
    name, others = fields.name, queries_of(model)
    for other in others.values():
        if name and other.id != id_ and other.fields.name.lower() == name.lower():
            return Failure("already_exists", f"name '{name}' aliases an existing query name")
    if name.lower() in others:
        return Failure("already_exists", f"name '{name}' aliases an existing query ID")
    for other in others.values():
        is_second = fields.is_template and other.fields.is_template and other.id != id_
        if is_second and not name and not other.fields.name:
            return Failure("already_exists", "a query template with an empty name already exists")
    if fields.session and not model.ask(IsSessionAlive(fields.session)):
        return Failure("precondition", f'invalid session "{fields.session}"')
    return None


# --- what clients do and read -----------------------------------------------------------------

_IDS = tuple(f"0000000{place}-0000-0000-0000-000000000000" for place in range(4))
_NAMES = ("", "a", "A", "ab", "abc", "b", "web", _IDS[0])
"""Few ids and names, so that commands collide; a name that is an id, too."""

_SERVICES = ("web", "Web", "db", "${name.full}", "${name.suffix}")
_ASKED = ("a", "aB", "abcd", "abz", "web", "Web", "zz", "\u00e9", *_IDS)


def _one_of(chance: Rng, choices: tuple[str, ...]) -> str:
    return choices[chance.randrange(len(choices))]


def fields_drawn(chance: Rng, text: str, session: str = "") -> QueryFields:
    """The definition of a query.

    Args:
        chance: Draws it.
        text: Its token, which no other has.
        session: To which it is bound.
    """
    is_template = chance.random() < 0.4
    name = _one_of(chance, _NAMES)
    service = ServiceQuery(
        _one_of(chance, _SERVICES if is_template else _SERVICES[:3]),
        only_passing=chance.random() < 0.3,
        ignored_checks=("c0",) if chance.random() < 0.3 else (),
        tags=None if chance.random() < 0.8 else ("!none",),
        node_meta={} if chance.random() < 0.8 else {"by": "nobody"},
    )
    token = text if chance.random() < 0.5 else ""
    template = Template(NAME_PREFIX_MATCH) if is_template else NO_TEMPLATE
    return QueryFields(name, service, session, token, template)


def id_drawn(chance: Rng) -> str:
    """One of the few ids."""
    return _one_of(chance, _IDS)


def _act_create(chance: Rng, text: str) -> Command:
    return PreparedQueryCreate(id_drawn(chance), fields_drawn(chance, text))


def _act_update(chance: Rng, text: str) -> Command:
    return PreparedQueryUpdate(id_drawn(chance), fields_drawn(chance, text))


def _act_delete(chance: Rng, _: str) -> Command:
    return PreparedQueryDelete(id_drawn(chance))


def _no_key(_: Rng) -> bytes:
    return b""


def _shown(row: QueryRow | ModelQuery | None) -> ModelQuery | None:
    if row is None:
        return None
    return ModelQuery(row.id, row.fields, row.create_index, row.modify_index)


def _saved(model: Model, slot: int) -> Queries:
    return cast(Queries, model.copies[slot]["preparedqueries"]) if slot else {}


def _see_all(reading: StateView, _: bytes) -> list[ModelQuery | None]:
    return [_shown(row) for row in each_query(reading).value]


def _expect_all(model: Model, slot: int, _: bytes) -> list[ModelQuery | None]:
    return [query for _, query in sorted(_saved(model, slot).items())]


def _see_one(reading: StateView, id_: bytes) -> ModelQuery | None:
    return _shown(query_get(reading, id_.decode()).value)


def _expect_one(model: Model, slot: int, id_: bytes) -> ModelQuery | None:
    return _saved(model, slot).get(id_.decode())


def see_resolved(reading: StateView, name: bytes) -> QueryFields | str | None:
    """What a name means; a text: it is refused."""
    text = name.decode()
    try:
        row = resolved(reading, text).value
    except QueryLookupError as error:
        return str(error)
    return None if row is None else row.fields


def expect_resolved(model: Model, slot: int, name: bytes) -> QueryFields | str | None:
    """The same by the model."""
    text, saved = name.decode(), _saved(model, slot)
    query = saved.get(text.lower())
    if query is not None and query.fields.is_template:
        return "prepared query templates can only be resolved up by name, not by ID"
    named = {one.fields.name.lower(): one for one in saved.values() if one.fields.name}
    query = query or named.get(text.lower())
    if query is None:
        begins = [
            one
            for one in saved.values()
            if one.fields.is_template and text.lower().startswith(one.fields.name.lower())
        ]
        query = max(begins, key=lambda one: len(one.fields.name), default=None)
    return None if query is None else query.fields


def name_drawn(chance: Rng) -> bytes:
    """A name or id to execute."""
    return _one_of(chance, _ASKED).encode()


def _save(model: Model) -> Queries:
    return dict(queries_of(model))


def _restore(model: Model, saved: Queries) -> None:
    model.own["preparedqueries"] = dict(saved)


SIMULATION = Simulation(
    state=_state,
    model={
        PreparedQueryCreate: _create,
        PreparedQueryUpdate: _update,
        PreparedQueryDelete: _delete,
        SessionEnded: _session_ended,
    },
    acts={
        "query created": _act_create,
        "query updated": _act_update,
        "query deleted": _act_delete,
    },
    queries={
        "prepared queries": SimulatedRead(
            _see_all, _expect_all, _no_key, lambda reading, _: each_query(reading)
        ),
        "prepared query": SimulatedRead(
            _see_one,
            _expect_one,
            lambda chance: id_drawn(chance).encode(),
            lambda reading, id_: query_get(reading, id_.decode()),
        ),
        "resolved query": SimulatedRead(see_resolved, expect_resolved, name_drawn),
    },
    save=_save,
    restore=_restore,
)
