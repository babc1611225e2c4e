"""Which services the gateways of a mesh let in or out, by their configuration entries."""

from collections.abc import Iterator
from itertools import chain

from quorate.base.results import Answer
from quorate.catalog.queries import Instance, each_instance
from quorate.configentries.queries import each_entry
from quorate.configentries.tables import EntryRow, fields_of_entry
from quorate.gateways.http.views import JsonView
from quorate.machine.queries import Reader

INGRESS, TERMINATING = "ingress-gateway", "terminating-gateway"

_TERMINATING = ("CAFile", "CertFile", "KeyFile", "SNI")


def of_gateway(reader: Reader, name: str) -> Answer[Iterator[JsonView]]:
    """The services that a gateway is bound to."""
    answer = each_entry(reader, INGRESS)
    rows = chain(answer.value, each_entry(reader, TERMINATING).value)
    views = chain.from_iterable(_bound(row) for row in rows if row.name == name)
    return Answer(views, answer.changed, answer.header, answer.subjects)


def _bound(row: EntryRow) -> Iterator[JsonView]:
    fields = fields_of_entry(row)
    indexes = {"CreateIndex": row.create_index, "ModifyIndex": row.modify_index}
    if row.kind == TERMINATING:
        for each in fields.get("Services", []):
            more = {name: each[name] for name in _TERMINATING if each.get(name)}
            yield {**_pair(row, each.get("Name", "")), **more, **indexes}
        return
    for listener in fields.get("Listeners", []):
        place = {name: listener[name] for name in ("Port", "Protocol") if listener.get(name)}
        for each in listener.get("Services", []):
            hosts = {"Hosts": each["Hosts"]} if each.get("Hosts") else {}
            yield {**_pair(row, each.get("Name", "")), **place, **hosts, **indexes}


def _pair(row: EntryRow, service: str) -> JsonView:
    return {
        "Gateway": {"Name": row.name},
        "Service": {"Name": service},
        "GatewayKind": row.kind,
    }


def letting_in(reader: Reader, service: str) -> Answer[Iterator[Instance]]:
    """The instances of the gateways that let requests in for a service. O(ingress entries)."""
    answer = each_entry(reader, INGRESS)
    names = [row.name for row in answer.value if _lets_in(row, service)]
    found = [each_instance(reader, name) for name in dict.fromkeys(names)]
    return Answer(
        chain.from_iterable(one.value for one in found),
        max((answer.changed, *(one.changed for one in found))),
        max((answer.header, *(one.header for one in found))),
        (*answer.subjects, *chain.from_iterable(one.subjects for one in found)),
    )


def _lets_in(row: EntryRow, service: str) -> bool:
    listeners = fields_of_entry(row).get("Listeners", [])
    return any(
        each.get("Name") in (service, "*")
        for listener in listeners
        for each in listener.get("Services", [])
    )
