"""Answers of DNS: the bytes of a query go in, those of the reply come out; the catalog is real."""

import random
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import msgspec
import pytest

from quorate.base.errors import UnavailableError
from quorate.catalog.commands import CatalogRegister, CheckUpdate, NodeDeregister
from quorate.catalog.fields import Check, NodeFields, Port, Service, Weights
from quorate.gateways.dns.config import DnsConfig, StartOfAuthority
from quorate.gateways.dns.lookups import look_up
from quorate.gateways.dns.questions import QUERY_BYTES_MAX
from quorate.gateways.dns.resolver import REPLIES_MAX, Resolver
from quorate.kv.commands import KvSet
from quorate.serving.evaluations import Evaluations
from quorate.serving.serving import Serving
from tests.unit.gateways.harness import FakeLocal

SOA = "consul. 0 SOA ns.consul. hostmaster.consul. 1000 3600 600 86400 0"
CLIENT = "10.9.9.9"
EITHER: list[dict[str, Any]] = [{"edns": 4096}, {"tcp": True}]


class Recorder:
    """Recursors that note what they are asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.is_full = False

    def forward(self, data: bytes, client: str, send: Any, *, is_stream: bool) -> bool:
        assert client == CLIENT
        self.asked.append(data)
        return not self.is_full


class Table:
    """A node that answers DNS."""

    def __init__(self, config: DnsConfig | None = None, *, is_new: bool = False) -> None:
        self.local = FakeLocal(with_node=False)
        if not is_new:
            self.local.apply(KvSet(b"k", b"v"))
        self.recursors = Recorder()
        self.time_s = 1000.0
        unused: Any = None
        serving = Serving(self.local, unused, unused, Evaluations(), random.Random(1))
        self.resolver = Resolver(
            self.local, serving, config or DnsConfig(), self.recursors, lambda: self.time_s
        )

    def node(
        self, name: str, address: str, *services: Service, meta: dict[str, str] | None = None,
        checks: tuple[Check, ...] = (),
    ) -> None:  # fmt: skip
        fields = NodeFields("", address, "dc1", {}, meta or {})
        for service in services or (None,):
            self.local.apply(CatalogRegister(name, fields, service, checks, is_member=False))

    def raw(self, query: bytes, *, tcp: bool = False) -> bytes | None:
        replies: list[bytes] = []
        self.resolver.answer(query, CLIENT, replies.append, is_stream=tcp)
        assert len(replies) < 2
        return replies[0] if replies else None

    def message(
        self, name: str, qtype: str = "A", *, tcp: bool = False, edns: int = 0, rd: bool = True,
        options: tuple[Any, ...] = (),
    ) -> Any:  # fmt: skip
        query = dns.message.make_query(
            name, qtype, use_edns=0 if edns else -1, payload=edns, options=list(options) or None
        )
        if not rd:
            query.flags &= ~dns.flags.RD
        data = self.raw(query.to_wire(), tcp=tcp)
        assert data is not None
        size = 65_535 if tcp else max(512, edns)
        assert len(data) <= size
        reply = dns.message.from_wire(data, ignore_trailing=False)
        assert reply.id == query.id
        assert reply.question[0].name.labels == query.question[0].name.labels  # the case, too
        return reply

    def ask(self, name: str, qtype: str = "A", **options: Any) -> list[str]:
        """The code and the records of a reply, the sections divided by bars."""
        reply = self.message(name, qtype, **options)
        sections = (reply.answer, reply.authority, reply.additional)
        return [dns.rcode.to_text(reply.rcode()), *map(shown, sections)]

    def answer(self, name: str, qtype: str = "A", **options: Any) -> list[str]:
        """The data of the records of the answer, sorted."""
        return sorted(self.ask(name, qtype, **options)[1].split("; "))


def shown(section: list[Any]) -> str:
    return "; ".join(
        sorted(
            f"{rows.name} {rows.ttl} {dns.rdatatype.to_text(rows.rdtype)} {row.to_text()}"
            for rows in section
            for row in rows
        )
    )


def check(name: str, status: str, service: str = "") -> Check:
    return Check(name, name, status, service_id=service)


# --- nodes ------------------------------------------------------------------------------------


def test_a_node_by_all_forms_of_its_name_in_any_case() -> None:
    table = Table()
    table.node("n1", "10.6.0.1")
    for name in ("n1.node.consul", "n1.node.dc1.consul", "n1.node.dc1.dc.consul", "N1.Node.CONSUL"):
        expected = ["NOERROR", f"{name}. 0 A 10.6.0.1", "", ""]
        assert table.ask(name) == expected
        assert table.ask(name, tcp=True) == expected


@pytest.mark.parametrize(
    "name",
    [
        "none.node.consul", "n1.node.dc9.consul", "n1.node.dc9.dc.consul", "x.n1.node.consul",
        "node.consul", "n1.node.dc1.x.consul", "x.y.z.consul", "n1.nonsense.consul", "consul",
        "web.query.consul", "_web._tcp.query.consul", "query.consul", "web.connect.consul",
        "web.ingress.consul", "_web._tcp.consul",
        "web.service.nobody.peer.consul", "web.service.ns1.ns.consul", "service.consul",
        "web.service.http.port.consul", "_n1.service.consul", "ns.consul", "dc1.consul",
    ],
)  # fmt: skip
def test_a_name_that_nothing_has_does_not_exist(name: str) -> None:
    table = Table()
    table.node("n1", "10.6.0.1", Service("web", "web"))
    assert table.ask(name) == ["NXDOMAIN", "", SOA, ""]


def test_a_node_whose_name_has_dots() -> None:
    table = Table()
    table.node("a.b", "10.6.0.1", Service("web", "web", port=8))
    assert table.answer("a.b.node.consul") == ["a.b.node.consul. 0 A 10.6.0.1"]
    assert table.answer("web.service.consul", "SRV")[0].endswith("1 1 8 a.b.node.dc1.consul.")


def test_a_node_with_ipv6_and_one_with_a_host_name() -> None:
    table = Table()
    table.node("six", "2001:db8::6")
    table.node("host", "host.example.com")
    assert table.answer("six.node.consul", "AAAA") == ["six.node.consul. 0 AAAA 2001:db8::6"]
    assert table.answer("six.node.consul", "ANY") == ["six.node.consul. 0 AAAA 2001:db8::6"]
    assert table.ask("six.node.consul") == ["NOERROR", "", "", ""]
    assert table.ask("six.node.consul", "SRV") == ["NOERROR", "", "", ""]
    for qtype in ("A", "AAAA", "ANY", "CNAME"):
        expected = ["host.node.consul. 0 CNAME host.example.com."]
        assert table.answer("host.node.consul", qtype) == expected


def test_the_metadata_of_a_node_is_text() -> None:
    table = Table(DnsConfig(node_ttl_s=7))
    table.node(
        "n", "10.6.0.1", meta={"k": "v", "a=b`": "x y", "rfc1035-z": "plain", "long": "l" * 300}
    )
    texts = [
        'n.node.consul. 7 TXT "a`=b``=x y"', 'n.node.consul. 7 TXT "k=v"',
        f'n.node.consul. 7 TXT "long={"l" * 250}" "{"l" * 50}"', 'n.node.consul. 7 TXT "plain"',
    ]  # fmt: skip
    assert table.answer("n.node.consul", "TXT", tcp=True) == texts
    assert table.answer("n.node.consul", "ANY", tcp=True) == ["n.node.consul. 7 A 10.6.0.1", *texts]
    _, answer, _, extra = table.ask("n.node.consul", tcp=True)
    assert (answer, sorted(extra.split("; "))) == ("n.node.consul. 7 A 10.6.0.1", texts)


# --- services ---------------------------------------------------------------------------------


def test_the_addresses_of_a_service_each_once() -> None:
    table = Table()
    table.node("n1", "10.6.1.1", Service("a", "web", port=80), Service("b", "web", port=81))
    table.node("n2", "10.6.1.2", Service("c", "web", address="10.6.1.99"))
    table.node("n3", "10.6.1.3", Service("d", "web", address="2001:db8::99"))
    names = ("web.service.consul", "WEB.service.dc1.consul", "web.service.dc1.dc.consul")
    for name in names:
        assert table.answer(name) == [f"{name}. 0 A 10.6.1.{last}" for last in (1, 99)]
        assert table.answer(name, "AAAA") == [f"{name}. 0 AAAA 2001:db8::99"]
        assert len(table.answer(name, "ANY")) == len(table.answer(name, "TXT")) == 3
    assert table.ask("web.service.consul", "MX") == ["NOERROR", "", SOA, ""]
    assert table.ask("web.service.dc9.consul") == ["NXDOMAIN", "", SOA, ""]


def test_a_service_with_no_address_of_the_type_exists() -> None:
    table = Table()
    table.node("n1", "10.6.1.1", Service("a", "web"))
    assert table.ask("web.service.consul", "AAAA") == ["NOERROR", "", SOA, ""]


def test_srv_names_targets_and_brings_their_addresses() -> None:
    table = Table()
    weights = Weights(7, 2)
    table.node("n1", "10.6.2.1", Service("a", "db", port=80, weights=weights), meta={"k": "v"})
    warned = Service("b", "db", port=81, weights=weights, address="10.6.2.200")
    table.node("n2", "10.6.2.2", warned, checks=(check("c", "warning", "b"),))
    table.node("n3", "10.6.2.3", Service("c", "db", port=82, address="db.example.com"))
    table.node("n4", "10.6.2.4", Service("d", "db", port=83, address="2001:db8::25"))
    for options in EITHER:
        code, answer, authority, extra = table.ask("db.service.consul", "SRV", **options)
        assert (code, authority) == ("NOERROR", "")
        six = "20010db8000000000000000000000025.addr.dc1.consul."
        assert answer.split("; ") == [
            "db.service.consul. 0 SRV 1 1 82 db.example.com.",
            f"db.service.consul. 0 SRV 1 1 83 {six}",
            "db.service.consul. 0 SRV 1 2 81 0a0602c8.addr.dc1.consul.",
            "db.service.consul. 0 SRV 1 7 80 n1.node.dc1.consul.",
        ]
        assert extra.split("; ") == [
            "0a0602c8.addr.dc1.consul. 0 A 10.6.2.200",
            f"{six} 0 AAAA 2001:db8::25",
            "n1.node.dc1.consul. 0 A 10.6.2.1",
            'n1.node.dc1.consul. 0 TXT "k=v"',
        ]


def test_two_instances_at_one_address_and_port_are_one_srv_record() -> None:
    table = Table()
    table.node("n", "10.6.2.1", Service("a", "w", port=8), Service("b", "w", port=8))
    assert table.answer("w.service.consul", "SRV") == [
        "w.service.consul. 0 SRV 1 1 8 n.node.dc1.consul."
    ]


def test_a_node_that_no_name_of_dns_can_hold_is_named_by_its_address() -> None:
    table = Table()
    table.node("x" * 64, "10.6.2.1", Service("a", "w", port=8))
    table.node("a..b", "10.6.2.2", Service("a", "w", port=8))
    targets = sorted(line.rpartition(" ")[2] for line in table.answer("w.service.consul", "SRV"))
    assert targets == ["0a060201.addr.dc1.consul.", "0a060202.addr.dc1.consul."]


def test_tags_left_of_the_name_with_dots_and_in_any_case() -> None:
    table = Table()
    table.node("n1", "10.6.3.1", Service("a", "t", tags=("v1", "a.b")))
    table.node("n2", "10.6.3.2", Service("b", "t", tags=("V2",)))
    assert table.answer("v1.t.service.consul") == ["v1.t.service.consul. 0 A 10.6.3.1"]
    assert table.answer("a.b.t.service.consul") == ["a.b.t.service.consul. 0 A 10.6.3.1"]
    assert table.answer("v2.t.service.consul") == ["v2.t.service.consul. 0 A 10.6.3.2"]
    assert table.ask("v3.t.service.consul")[0] == "NXDOMAIN"


def test_names_of_rfc_2782() -> None:
    table = Table()
    table.node("n1", "10.6.3.3", Service("a", "rfc", tags=("master",), port=10))
    table.node("n2", "10.6.3.4", Service("b", "rfc", tags=("slave",), port=11))
    for name in ("_rfc._tcp.service.consul", "_rfc._tcp.service.dc1.consul", "_rfc._tcp.consul"):
        assert len(table.answer(name, "SRV")) == 2
    for name in ("_rfc._master.service.consul", "_rfc._master.consul", "_RFC._Master.consul"):
        assert table.answer(name, "SRV") == [f"{name}. 0 SRV 1 1 10 n1.node.dc1.consul."]
    assert table.answer("_rfc._master.service.consul") == [
        "_rfc._master.service.consul. 0 A 10.6.3.3"
    ]
    for name in ("_rfc._none.service.consul", "_rfc._udp.service.consul", "_rfc.service.consul"):
        assert table.ask(name, "SRV")[0] == "NXDOMAIN"


def test_named_ports() -> None:
    table = Table()
    ports = (Port("http", 80, is_default=True), Port("Admin", 9090))
    table.node("n1", "10.6.10.1", Service("a", "w", port=80, ports=ports))
    table.node("n2", "10.6.10.2", Service("b", "w", port=8080))
    name = "w.service.admin.port.consul"
    assert table.answer(name, "SRV") == [f"{name}. 0 SRV 1 1 9090 n1.node.dc1.consul."]
    assert table.answer(name) == [f"{name}. 0 A 10.6.10.1"]
    found = [line.split()[5] for line in table.answer("w.service.consul", "SRV")]
    assert found == ["80", "8080"]
    for unknown in (
        "w.service.nope.port.consul",
        "w.service.admin.port.dc1.consul",
        "admin.port.w.service.consul",
        "x.w.service.admin.port.consul",
    ):
        assert table.ask(unknown, "SRV")[0] == "NXDOMAIN"


def test_unhealthy_instances_are_left_out() -> None:
    table, strict = Table(), Table(DnsConfig(only_passing=True))
    for each in (table, strict):
        for last, status in enumerate(("passing", "warning", "critical"), 1):
            service = Service("h", "h")
            each.node(f"n{last}", f"10.6.4.{last}", service, checks=(check("c", status, "h"),))
    assert [line[-1] for line in table.answer("h.service.consul")] == ["1", "2"]
    assert [line[-1] for line in strict.answer("h.service.consul")] == ["1"]
    table.node("n1", "10.6.4.1", checks=(check("whole", "critical"),))
    assert [line[-1] for line in table.answer("h.service.consul")] == ["2"]
    table.node("n2", "10.6.4.2", checks=(check("whole", "critical"),))
    for qtype in ("A", "SRV"):
        assert table.ask("h.service.consul", qtype) == ["NXDOMAIN", "", SOA, ""]


def test_a_name_dns_cannot_carry_is_not_found_and_an_underscore_is() -> None:
    table = Table()
    table.node("n", "10.6.0.1", Service("a", "dn_under"), Service("b", "dn.dotted"))
    assert table.ask("dn_under.service.consul")[0] == "NOERROR"
    assert table.ask("dn.dotted.service.consul")[0] == "NXDOMAIN"


# --- the domain, literal addresses, reverse lookups ---------------------------------------------


def test_soa_and_ns_of_the_domain_and_of_every_name_in_it() -> None:
    table = Table()
    for last in (1, 2, 3, 4):
        table.node(f"s{last}", f"10.7.0.{last}", Service("consul", "consul", port=8300))
    servers = [f"s{last}.node.dc1.consul." for last in (1, 2, 3)]
    glue = "; ".join(f"{name} 0 A 10.7.0.{name[1]}" for name in servers)
    names = "; ".join(f"consul. 0 NS {each}" for each in servers)
    for name in ("consul", "CONSUL", "none.service.consul", "ns.consul"):
        assert table.ask(name, "NS", edns=4096) == ["NOERROR", names, "", glue]
        assert table.ask(name, "SOA", edns=4096) == ["NOERROR", SOA, names, glue]
    for qtype in ("A", "ANY", "TXT"):
        assert table.ask("consul", qtype) == ["NXDOMAIN", "", SOA, ""]


def test_a_literal_address() -> None:
    table = Table()
    four, six = "0a060701.addr.consul", "20010db8000000000000000000000001.addr.dc9.consul"
    for qtype in ("A", "ANY"):
        assert table.ask(four, qtype) == ["NOERROR", f"{four}. 0 A 10.6.7.1", "", ""]
    for qtype in ("AAAA", "SRV"):
        assert table.ask(four, qtype) == ["NOERROR", "", "", f"{four}. 0 A 10.6.7.1"]
    assert table.ask(six, "AAAA") == ["NOERROR", f"{six}. 0 AAAA 2001:db8::1", "", ""]
    assert table.ask(six) == ["NOERROR", "", "", f"{six}. 0 AAAA 2001:db8::1"]
    for wrong in ("0a0607", "zzzzzzzz", "x.0a060701", "0a 06070"):
        assert table.ask(f"{wrong}.addr.consul")[0] == "NXDOMAIN"


def test_reverse_lookups_prefer_nodes_and_know_services() -> None:
    table = Table(DnsConfig(node_ttl_s=9, alt_domain="alt"))
    table.node("n1", "10.6.9.1", Service("a", "web", address="10.6.9.3"))
    table.node("n2", "2001:db8::7", Service("b", "api", address="10.6.9.3"))
    assert table.answer("1.9.6.10.in-addr.arpa", "PTR") == [
        "1.9.6.10.in-addr.arpa. 0 PTR n1.node.dc1.consul."
    ]
    assert table.answer("3.9.6.10.IN-ADDR.arpa", "PTR") == [
        f"3.9.6.10.IN-ADDR.arpa. 0 PTR {name}.service.dc1.consul." for name in ("api", "web")
    ]
    six = f"7{'.0' * 23}.8.b.d.0.1.0.0.2.ip6.arpa"
    assert table.answer(six, "PTR") == [f"{six}. 0 PTR n2.node.dc1.consul."]
    assert table.ask("9.9.6.10.in-addr.arpa", "PTR") == ["NXDOMAIN", "", SOA, ""]
    for outside in ("9.6.10.in-addr.arpa", "x.9.6.10.in-addr.arpa", "in-addr.arpa"):
        assert table.ask(outside, "PTR") == ["REFUSED", "", "", ""]


@pytest.mark.parametrize("name", ["example.com", ".", "consul.example.com", "xconsul"])
def test_what_is_outside_is_refused_without_recursors(name: str) -> None:
    table = Table()
    reply = table.message(name)
    assert reply.rcode() == dns.rcode.REFUSED
    assert not reply.flags & (dns.flags.AA | dns.flags.RA)


def test_other_domains_and_answers_in_the_one_asked_for() -> None:
    table = Table(DnsConfig(domain="corp.example", alt_domain="alt.example"))
    table.node("n", "10.6.9.2", Service("web", "web", port=9, address="10.6.9.3"))
    assert table.ask("n.node.consul")[0] == "REFUSED"
    for domain in ("corp.example", "alt.example"):
        assert table.answer(f"n.node.{domain}") == [f"n.node.{domain}. 0 A 10.6.9.2"]
        _, answer, _, extra = table.ask(f"web.service.{domain}", "SRV", edns=4096)
        assert answer == f"web.service.{domain}. 0 SRV 1 1 9 0a060903.addr.dc1.{domain}."
        assert extra == f"0a060903.addr.dc1.{domain}. 0 A 10.6.9.3"
        soa = f"{domain}. 0 SOA ns.{domain}. hostmaster.{domain}. 1000 3600 600 86400 0"
        assert table.ask(f"none.service.{domain}") == ["NXDOMAIN", "", soa, ""]
    assert table.answer("2.9.6.10.in-addr.arpa", "PTR")[0].endswith("n.node.dc1.corp.example.")


def test_times_to_live_and_the_numbers_of_soa() -> None:
    config = DnsConfig(
        node_ttl_s=5,
        service_ttls_s=(("*", 1), ("db-*", 20), ("db-own", 2), ("web", 10)),
        soa=StartOfAuthority(10, 20, 30, 40),
    )
    table = Table(config)
    names = ("web", "db-one", "db-own", "other")
    table.node("n", "10.6.9.1", *(Service(name, name, port=1) for name in names))
    ttls = [int(table.answer(f"{name}.service.consul")[0].split()[1]) for name in names]
    assert ttls == [10, 20, 2, 1]
    assert table.ask("web.service.consul", "SRV")[3] == "n.node.dc1.consul. 10 A 10.6.9.1"
    assert table.answer("n.node.consul") == ["n.node.consul. 5 A 10.6.9.1"]
    soa = "consul. 40 SOA ns.consul. hostmaster.consul. 1000 10 20 30 40"
    assert table.ask("none.node.consul") == ["NXDOMAIN", "", soa, ""]


# --- sizes ------------------------------------------------------------------------------------


def many(config: DnsConfig | None = None, count: int = 12) -> Table:
    table = Table(config)
    for last in range(1, count + 1):
        service = Service("many", "many", port=1000 + last)
        table.node(f"m{last:02}", f"10.6.{last // 250}.{last % 250}", service)
    return table


def test_udp_without_edns_holds_few_answers_and_says_so() -> None:
    reply = many().message("many.service.consul")
    assert len(reply.answer[0]) == 3
    assert reply.flags & dns.flags.TC
    silent = many(DnsConfig(sets_truncated=False)).message("many.service.consul")
    assert not silent.flags & dns.flags.TC
    table = many(DnsConfig(udp_answers_max=20, a_records_max=6))
    assert len(table.message("many.service.consul").answer[0]) == 6
    assert len(table.message("many.service.consul", "SRV").answer[0]) <= 8
    for options in EITHER:
        reply = table.message("many.service.consul", **options)
        assert len(reply.answer[0]) == 6
        assert not reply.flags & dns.flags.TC
        assert len(table.message("many.service.consul", "SRV", **options).answer[0]) == 12


@pytest.mark.parametrize("size", [512, 600, 700, 1232])
def test_an_answer_is_cut_to_what_the_client_takes(size: int) -> None:
    """Each record that is left has its address with it."""
    for compresses in (True, False):
        reply = many(DnsConfig(compresses=compresses)).message(
            "many.service.consul", "SRV", edns=size
        )
        targets = {str(row.target) for row in reply.answer[0]}
        assert 3 <= len(targets) <= 12
        assert {str(rows.name) for rows in reply.additional} == targets
        assert bool(reply.flags & dns.flags.TC) == (len(targets) < 12)


def test_the_first_record_stays_if_what_goes_with_it_is_too_long() -> None:
    table = Table()
    meta = {f"k{number}": "v" * 200 for number in range(5)}
    table.node("n", "10.0.0.1", Service("w", "w", port=1), meta=meta)
    reply = table.message("w.service.consul", "SRV")
    assert (len(reply.answer[0]), reply.additional) == (1, [])
    assert reply.flags & dns.flags.TC
    assert len(table.message("w.service.consul", "SRV", tcp=True).additional[1]) == 5


def test_a_whole_message_over_tcp_has_all_that_fits() -> None:
    reply = many(count=900).message("many.service.consul", "SRV", tcp=True)
    assert len(reply.answer[0]) == 900
    assert len(many(count=900).message("many.service.consul", tcp=True).answer[0]) == 900


def test_answers_come_in_another_order_each_time() -> None:
    table = many()
    orders = {
        tuple(row.address for row in table.message("many.service.consul", edns=4096).answer[0])
        for _ in range(20)
    }
    assert len(orders) > 15
    firsts = {order[0] for order in orders}
    assert len(firsts) > 5


def test_edns_is_echoed_with_the_size_asked_for() -> None:
    table = Table()
    table.node("e", "10.6.9.5")
    for size in (512, 1232, 4096):
        reply = table.message("e.node.consul", edns=size)
        assert (reply.edns, reply.payload) == (0, size)
        assert table.message("none.node.consul", edns=size).payload == size
    assert table.message("e.node.consul").edns == -1
    subnet = dns.edns.ECSOption("198.51.100.0", 24)
    reply = table.message("e.node.consul", edns=1232, options=(subnet,))
    assert reply.options[0].to_text() == "ECS 198.51.100.0/24 scope/0"


def test_flags_are_copied() -> None:
    table = Table()
    table.node("n", "10.6.9.6")
    assert table.message("n.node.consul").flags == dns.flags.QR | dns.flags.AA | dns.flags.RD
    assert table.message("n.node.consul", rd=False).flags == dns.flags.QR | dns.flags.AA


# --- refusals ---------------------------------------------------------------------------------


def refused(table: Table, query: bytes) -> str | None:
    reply = table.raw(query)
    if reply is None:
        return None
    message = dns.message.from_wire(reply)
    assert reply[:2] == query[:2]
    assert not message.answer
    return dns.rcode.to_text(message.rcode())


def test_what_is_no_query_is_refused_or_ignored() -> None:
    table = Table()
    query = dns.message.make_query("n.node.consul", "A").to_wire()
    for length in range(12):
        assert refused(table, query[:length]) is None
    for length in range(12, len(query)):
        assert refused(table, query[:length]) == "FORMERR"
    assert refused(table, query + b"\0") == "FORMERR"
    assert refused(table, query + bytes(QUERY_BYTES_MAX)) == "FORMERR"
    reply = dns.message.make_response(dns.message.from_wire(query)).to_wire()
    assert refused(table, reply) is None  # or two servers would answer each other for ever
    assert refused(table, query[:5] + b"\2" + query[6:]) == "FORMERR"  # two questions
    assert refused(table, query[:5] + b"\0" + query[6:]) == "FORMERR"  # none
    looped = query[:12] + b"\xc0\x0c\0\1\0\1"
    assert refused(table, looped) == "FORMERR"
    update = query[:2] + bytes((5 << 3,)) + query[3:]
    assert refused(table, update) == "NOTIMP"
    chaos = dns.message.make_query("n.node.consul", "A", rdclass="CH").to_wire()
    assert refused(table, chaos) == "REFUSED"
    later = dns.message.make_query("n.node.consul", "A", use_edns=1).to_wire()
    assert refused(table, later) == "BADVERS"
    for qtype in ("AXFR", "IXFR"):
        assert table.ask("consul", qtype, tcp=True) == ["NOTIMP", "", "", ""]


def test_a_name_with_odd_bytes_is_unknown() -> None:
    table = Table()
    labels = (b"\xff\x00.;", b"node", b"consul", b"")
    query = dns.message.make_query(dns.name.Name(labels), "A").to_wire()
    assert refused(table, query) == "NXDOMAIN"


def test_the_longest_names() -> None:
    table = Table()
    labels = (b"x" * 63, b"y" * 63, b"z" * 63, b"w" * 42, b"service", b"consul", b"")
    name = dns.name.Name(labels)
    assert len(name.to_digestable()) == 251
    assert refused(table, dns.message.make_query(name, "SRV").to_wire()) == "NXDOMAIN"


# --- how new an answer is ---------------------------------------------------------------------


def test_a_kept_reply_follows_the_catalog() -> None:
    table = Table()
    table.node("n1", "10.0.0.1", Service("w", "w"), checks=(check("c", "passing", "w"),))

    def ask() -> list[str]:
        return table.answer("w.service.consul")

    assert ask() == ["w.service.consul. 0 A 10.0.0.1"]
    table.local.apply(KvSet(b"k", b"w"))
    assert ask() == ["w.service.consul. 0 A 10.0.0.1"]
    table.node("n2", "10.0.0.2", Service("w", "w"))
    assert [line[-1] for line in ask()] == ["1", "2"]
    table.local.apply(CheckUpdate("n1", "c", "critical", ""))
    assert [line[-1] for line in ask()] == ["2"]
    table.local.apply(CheckUpdate("n1", "c", "passing", ""))
    table.node("n2", "10.0.0.3")
    assert [line[-1] for line in ask()] == ["1", "3"]
    table.local.apply(NodeDeregister("n1"))
    table.local.apply(NodeDeregister("n2"))
    assert table.ask("w.service.consul")[0] == "NXDOMAIN"
    table.node("n1", "10.0.0.4", Service("w", "w"))
    assert [line[-1] for line in ask()] == ["4"]


def test_a_reply_is_made_once_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table()
    table.node("n1", "10.0.0.1", Service("w", "w"))
    looked: list[str] = []

    def counted(*arguments: Any) -> Any:
        looked.append("")
        return look_up(*arguments)

    monkeypatch.setattr("quorate.gateways.dns.resolver.look_up", counted)
    query = dns.message.make_query("w.service.consul", "A", id=7).to_wire()
    none = dns.message.make_query("none.service.consul", "A", id=7).to_wire()
    for _ in range(5):
        table.raw(query)
        table.raw(none)
    assert len(looked) == 2
    table.node("other", "10.0.0.2", Service("x", "x"))  # of another service
    table.raw(query)
    assert len(looked) == 2
    table.time_s += 1  # a SOA record holds the time
    table.raw(none)
    table.raw(query)
    assert len(looked) == 3


def test_kept_replies_are_bounded() -> None:
    table = Table()
    table.node("n1", "10.0.0.1", Service("w", "w"))
    for number in range(REPLIES_MAX + 50):
        query = dns.message.make_query(f"t{number}.w.service.consul", "A", id=7).to_wire()
        assert refused(table, query) == "NXDOMAIN"
    assert table.resolver.kept <= REPLIES_MAX


def test_a_node_that_may_not_answer_of_itself_asks_the_leader() -> None:
    table = Table(DnsConfig(takes_stale=False))
    table.node("n", "10.0.0.1")
    assert table.ask("n.node.consul")[0] == "NOERROR"
    assert table.local.reads == 1
    table.ask("n.node.consul")
    assert table.local.reads == 2
    table.local.refusal = UnavailableError("no_quorum", "", 1.0)
    assert table.ask("n.node.consul")[0] == "SERVFAIL"


def test_a_removed_node_and_a_new_one_answer_with_a_failure() -> None:
    """What they know is of the past, or nothing: a name that they do not know may exist."""
    table = Table()
    table.node("n", "10.0.0.1")
    table.ask("n.node.consul")
    table.local.removal = table.local.refusal = UnavailableError("removed", "", 1.0)
    assert table.ask("n.node.consul") == ["SERVFAIL", "", "", ""]


def test_a_node_that_has_nothing_yet_denies_no_name() -> None:
    assert Table(is_new=True).ask("n.node.consul") == ["SERVFAIL", "", "", ""]


def test_outside_names_go_to_recursors() -> None:
    table = Table(DnsConfig(recursors=(("10.1.1.1", 53),)))
    table.node("n", "10.0.0.1")
    reply = table.message("n.node.consul")
    assert reply.flags & dns.flags.RA
    query = dns.message.make_query("example.com", "A").to_wire()
    unknown = dns.message.make_query("9.9.9.9.in-addr.arpa", "PTR").to_wire()
    for each in (query, unknown):
        assert table.raw(each) is None
    assert table.recursors.asked == [query, unknown]
    assert table.ask("example.com", rd=False)[0] == "REFUSED"  # it does not want that
    table.recursors.is_full = True
    assert refused(table, query) == "SERVFAIL"


def test_a_reload_changes_answers() -> None:
    table = Table()
    table.node("n", "10.0.0.1")
    assert table.answer("n.node.consul") == ["n.node.consul. 0 A 10.0.0.1"]
    table.resolver.reconfigure(msgspec.structs.replace(DnsConfig(), node_ttl_s=3))
    assert table.answer("n.node.consul") == ["n.node.consul. 3 A 10.0.0.1"]
