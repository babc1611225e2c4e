"""Prepared queries by DNS."""

import pytest

from quorate.catalog.commands import CatalogPut
from quorate.catalog.fields import Check, NodeFields, Service
from quorate.gateways.dns.config import DnsConfig
from quorate.preparedqueries.commands import (
    PreparedQueryCreate,
    PreparedQueryDelete,
    PreparedQueryUpdate,
)
from quorate.preparedqueries.fields import NAME_PREFIX_MATCH, QueryFields, ServiceQuery, Template
from tests.unit.gateways.harness import ME
from tests.unit.gateways.test_dns import CLIENT, SOA, Table

ID = "0b6c49e9-5cc5-0fb1-abdf-7f97e6b7b5e8"


def stored(table: Table, name: str, service: ServiceQuery, ttl: str = "", id_: str = ID) -> None:
    table.local.apply(PreparedQueryCreate(id_, QueryFields(name, service, dns_ttl=ttl)))


def test_a_query_is_found_by_name_and_id_with_its_own_ttl() -> None:
    table = Table(DnsConfig(service_ttls_s=(("*", 3.0),)))
    table.node("n1", "10.6.5.1", Service("w", "web", port=8))
    stored(table, "Q", ServiceQuery("web"), "17s")
    for name in ("q.query.consul", "Q.query.dc1.consul", f"{ID}.query.consul"):
        assert table.answer(name) == [f"{name}. 17 A 10.6.5.1"]
    for name in ("q.query.consul", "_q._tcp.query.consul"):
        _, answer, _, extra = table.ask(name, "SRV")
        assert answer == f"{name}. 17 SRV 1 1 8 n1.node.dc1.consul."
        assert extra == "n1.node.dc1.consul. 17 A 10.6.5.1"
    assert table.ask("q.query.consul", "AAAA") == ["NOERROR", "", SOA, ""]
    assert table.ask("q.query.consul", "MX") == ["NOERROR", "", SOA, ""]
    for name in ("x.q.query.consul", "none.query.consul", "q.query.dc9.consul"):
        assert table.ask(name) == ["NXDOMAIN", "", SOA, ""]
    table.local.apply(PreparedQueryUpdate(ID, QueryFields("q", ServiceQuery("web"))))
    assert table.answer("q.query.consul") == ["q.query.consul. 3 A 10.6.5.1"]


def test_a_reply_follows_the_query_and_the_instances() -> None:
    table = Table()
    name = "q.query.consul"
    assert table.ask(name) == ["NXDOMAIN", "", SOA, ""]
    stored(table, "q", ServiceQuery("web"))
    assert table.ask(name) == ["NXDOMAIN", "", SOA, ""]  # no instance
    table.node("n1", "10.6.5.1", Service("web", "web"))
    table.node("n2", "10.6.5.2", Service("db", "db"))
    assert table.answer(name) == [f"{name}. 0 A 10.6.5.1"]
    down = (Check("c", "c", "critical", service_id="web"),)
    table.local.apply(CatalogPut("n1", None, Service("web", "web"), down))
    assert table.ask(name) == ["NXDOMAIN", "", SOA, ""]
    table.local.apply(PreparedQueryUpdate(ID, QueryFields("q", ServiceQuery("db"))))
    assert table.answer(name) == [f"{name}. 0 A 10.6.5.2"]
    table.local.apply(PreparedQueryDelete(ID))
    assert table.ask(name) == ["NXDOMAIN", "", SOA, ""]


def test_a_reply_is_kept_while_other_things_change() -> None:
    table = Table()
    table.node("n1", "10.6.5.1", Service("web", "web"))
    stored(table, "q", ServiceQuery("web"))
    assert table.answer("q.query.consul")
    kept = table.resolver.kept
    table.node("n2", "10.6.5.2", Service("db", "db"))
    assert table.answer("q.query.consul") == ["q.query.consul. 0 A 10.6.5.1"]
    assert table.resolver.kept == kept


def test_a_template_answers_names_that_begin_with_its_own() -> None:
    table = Table()
    table.node("n1", "10.6.5.1", Service("web", "a.web"))
    fields = QueryFields("p-", ServiceQuery("${name.suffix}"), template=Template(NAME_PREFIX_MATCH))
    table.local.apply(PreparedQueryCreate(ID, fields))
    assert table.answer("p-a.web.query.consul") == ["p-a.web.query.consul. 0 A 10.6.5.1"]
    for name in ("p-.query.consul", "p-none.query.consul", f"{ID}.query.consul", "p.query.consul"):
        assert table.ask(name) == ["NXDOMAIN", "", SOA, ""]


@pytest.mark.parametrize("near", ["N7", "_agent", "_ip"])
def test_what_is_near_comes_first_in_every_reply(near: str) -> None:
    table = Table()
    for number in range(1, 10):
        table.node(f"n{number}", f"10.6.5.{number}", Service("web", "web"))
    special = {"N7": ("n7", "10.6.5.7"), "_agent": (ME.name, "10.6.5.100"), "_ip": ("c", CLIENT)}
    node, address = special[near]
    fields = NodeFields("", address, "dc1", {}, {})
    table.local.apply(CatalogPut(node, fields, Service("web", "web")))
    stored(table, "q", ServiceQuery("web", near=near))
    orders: set[str] = set()
    for _ in range(30):
        (rows,) = table.message("q.query.consul", edns=4096).answer
        records = [row.to_text() for row in rows]
        assert records[0] == address
        assert len(records) == len(set(records)) >= 9
        orders.add(" ".join(records))
    assert len(orders) > 5
    assert bool(table.resolver.kept) == (near != "_ip")


def test_instances_of_the_mesh_of_a_query() -> None:
    table = Table()
    table.node("n1", "10.6.5.1", Service("web", "web"))
    table.node("n2", "10.6.5.2", Service("web", "web", is_native=True))
    stored(table, "q", ServiceQuery("web", is_connect=True))
    stored(table, "p", ServiceQuery("web", peer="other"), id_=ID[:-1] + "9")
    assert table.answer("q.query.consul") == ["q.query.consul. 0 A 10.6.5.2"]
    assert table.ask("p.query.consul") == ["NXDOMAIN", "", SOA, ""]
    table.node("n3", "10.6.5.3", Service("web", "web", is_native=True))
    assert len(table.answer("q.query.consul")) == 2
