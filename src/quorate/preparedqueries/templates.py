"""Templates: a query made of the name that is asked for.

TPL-1: a template is rendered once, with its own name, before it is stored: what can be wrong with
    it whatever the name is refused then.
TPL-2: what rendering makes is bounded, whatever name is asked for.

Source: https://developer.hashicorp.com/consul/api-docs/query#prepared-query-templates.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from msgspec.structs import replace

from quorate.base.subjects import name_part
from quorate.filters.regex import Regex, RegexError, regex_of
from quorate.preparedqueries.fields import (
    NAME_PREFIX_MATCH,
    Failover,
    FailoverTarget,
    QueryFields,
    ServiceQuery,
)
from quorate.preparedqueries.interpolation import (
    InterpolationError,
    Scope,
    Value,
    parsed,
    whole_number,
)

RENDERED_CHARS_MAX = 64 * 1024
"""Of all texts of a rendered query together."""

_ITEM_CHARS = 8  # for each text, besides its own: an empty one takes memory, too

_regex = lru_cache(maxsize=16)(regex_of)  # each may take a MiB

Change = Callable[[str, str], str]
"""Makes a text of (text, path): the path names its field."""


class QueryTemplateError(ValueError):
    """A template is malformed, or what it makes is too long; the text is Consul's."""


def check(fields: QueryFields) -> None:
    """Refuse a template that cannot be rendered (TPL-1).

    Raises:
        QueryTemplateError: See there.
    """
    if fields.template.type != NAME_PREFIX_MATCH:
        raise QueryTemplateError(f"Bad Template.Type '{fields.template.type}'")
    _changed(fields.service, _parse)
    rendered(fields, fields.name)


def rendered(fields: QueryFields, name: str) -> QueryFields:
    """The query that a name means; one that is no template as it is.

    Args:
        fields: The query.
        name: As it was asked for.

    Raises:
        QueryTemplateError: See there.
    """
    if not fields.is_template:
        return fields
    scope = _scope(fields, name)
    left = RENDERED_CHARS_MAX

    def evaluate(text: str, path: str) -> str:
        nonlocal left
        if "$" in text:
            try:
                made = parsed(text).value(scope)
            except InterpolationError as error:
                raise QueryTemplateError(
                    f"Bad evaluation for '{text}' in Service{path}: {error}"
                ) from None
        else:
            made = text
        left -= len(made) + _ITEM_CHARS
        if left < 0:
            raise QueryTemplateError(f"the rendered query is longer than {RENDERED_CHARS_MAX}")
        return made

    service = _changed(fields.service, evaluate)
    if fields.template.remove_empty_tags:
        service = replace(service, tags=tuple(filter(None, service.tags or ())))
    return replace(fields, service=service)


def _parse(text: str, path: str) -> str:
    try:
        parsed(text)
    except InterpolationError as error:
        raise QueryTemplateError(f"Bad format '{text}' in Service{path}: {error}") from None
    return text


def _scope(fields: QueryFields, name: str) -> Scope:
    groups = _groups(fields.template.regexp, name)

    def match(arguments: Sequence[Value]) -> str:
        if len(arguments) != 1:
            raise ValueError(f"1 argument is needed, not {len(arguments)}")
        number = whole_number(arguments[0])
        return groups[number] if 0 <= number < len(groups) else ""

    begins = name_part(name).startswith(name_part(fields.name))
    suffix = name[len(fields.name) :] if begins else name
    return Scope(
        {
            "name.full": name,
            "name.prefix": fields.name,
            "name.suffix": suffix,
            "agent.segment": "",
        },
        {"match": match},
    )


def _groups(regexp: str, name: str) -> list[str]:
    """What an expression matches: all of it, and each group; empty: nothing."""
    if not regexp:
        return []
    try:
        regex: Regex = _regex(regexp)
    except RegexError as error:
        raise QueryTemplateError(f"Bad Regexp: {error}") from None
    found = regex.search(name)
    return [] if found is None else [found.group(0) or "", *(one or "" for one in found.groups())]


def _changed(service: ServiceQuery, change: Change) -> ServiceQuery:
    """The same with every text changed."""
    failover = service.failover
    tags = service.tags
    return ServiceQuery(
        change(service.service, ".Service"),
        change(service.sameness_group, ".SamenessGroup"),
        Failover(
            failover.nearest,
            _each(failover.datacenters, ".Failover.Datacenters", change),
            tuple(
                FailoverTarget(
                    change(target.peer, f".Failover.Targets[{place}].Peer"),
                    change(target.datacenter, f".Failover.Targets[{place}].Datacenter"),
                )
                for place, target in enumerate(failover.targets)
            ),
        ),
        service.only_passing,
        _each(service.ignored_checks, ".IgnoreCheckIDs", change),
        change(service.near, ".Near"),
        None if tags is None else _each(tags, ".Tags", change),
        _of_each(service.node_meta, ".NodeMeta", change),
        _of_each(service.service_meta, ".ServiceMeta", change),
        service.is_connect,
        change(service.peer, ".Peer"),
    )


def _each(texts: Sequence[str], path: str, change: Change) -> tuple[str, ...]:
    return tuple(change(text, f"{path}[{place}]") for place, text in enumerate(texts))


def _of_each(texts: dict[str, str], path: str, change: Change) -> dict[str, str]:
    return {name: change(text, f"{path}[{name}]") for name, text in texts.items()}
