"""The keys of DNS, with their limits and what is wrong with them."""

from pathlib import Path

from quorate.agent.settings import AgentSettings
from quorate.gateways.dns.config import DnsConfig, StartOfAuthority
from tests.unit.agent.test_settings import read, refused


def settings(folder: Path, flags: str = "-dev", **keys: object) -> AgentSettings:
    return read(folder, flags, a=keys)[0]


def test_dns_is_served_where_http_is_unless_said_otherwise(tmp_path: Path) -> None:
    plain = settings(tmp_path)
    assert (plain.dns_port, plain.dns_hosts, plain.is_dns_wanted) == (8600, ("127.0.0.1",), False)
    assert plain.dns == DnsConfig()
    chosen = settings(tmp_path, "-dev -client 127.0.0.2 -dns-port 53")
    assert (chosen.dns_port, chosen.dns_hosts, chosen.is_dns_wanted) == (53, ("127.0.0.2",), True)
    assert settings(tmp_path, "-dev -dns-port -1").dns_port is None
    apart = settings(
        tmp_path,
        client_addr="unix:///run/q 127.0.0.3",
        addresses={"http": "127.0.0.4"},
        ports={"dns": 9},
    )
    assert (apart.clients, apart.dns_hosts) == (("127.0.0.4",), ("127.0.0.3",))
    assert settings(tmp_path, addresses={"dns": "127.0.0.5"}).dns_hosts == ("127.0.0.5",)


def test_every_key_of_dns_is_read(tmp_path: Path) -> None:
    read_config = settings(
        tmp_path,
        datacenter="DC7",
        domain="Corp.Example.",
        alt_domain="alt",
        recursors=["10.1.1.1", "[2001:db8::1]:5353", "10.1.1.1:53"],
        dns_config={
            "allow_stale": False,
            "max_stale": "10s",
            "node_ttl": "5s",
            "service_ttl": {"web": "10s", "*": "1s"},
            "only_passing": True,
            "enable_truncate": False,
            "udp_answer_limit": 5,
            "a_record_limit": 6,
            "recursor_strategy": "random",
            "recursor_timeout": "500ms",
            "disable_compression": True,
            "enable_additional_node_meta_txt": False,
            "soa": {"refresh": 1, "retry": 2, "expire": 3, "min_ttl": 4},
        },
    ).dns
    assert read_config == DnsConfig(
        datacenter="dc7",
        domain="corp.example",
        alt_domain="alt",
        recursors=(("10.1.1.1", 53), ("2001:db8::1", 5353)),
        takes_stale=False,
        age_s_max=10.0,
        node_ttl_s=5.0,
        service_ttls_s=(("*", 1.0), ("web", 10.0)),
        only_passing=True,
        sets_truncated=False,
        udp_answers_max=5,
        a_records_max=6,
        picks_recursors=True,
        recursor_timeout_s=0.5,
        compresses=False,
        shows_node_meta=False,
        soa=StartOfAuthority(1, 2, 3, 4),
    )
    flags = "-dev -domain a -alt-domain b -recursor 10.0.0.1 -recursor 10.0.0.2"
    given = settings(tmp_path, flags).dns
    assert (given.domains, given.recursors) == (("a", "b"), (("10.0.0.1", 53), ("10.0.0.2", 53)))


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    text = refused(
        tmp_path,
        "-dev",
        a={
            "domain": "a..b",
            "alt_domain": "x" * 64,
            "recursors": ["dns.example", "1.2.3.4:99999"],
            "dns_config": {
                "service_ttl": {"web": "soon"},
                "recursor_strategy": "best",
                "udp_answer_limit": 0,
                "a_record_limit": -1,
                "soa": {"expire": -1},
            },
        },
    )
    for part in (
        "domain: 'a..b' is no domain name",
        f"alt_domain: '{'x' * 64}' is no domain name",
        "recursors: dns.example is no IP address",
        "recursors: 1.2.3.4:99999 is no IP address",
        "dns_config.service_ttl.web is wrong",
        "dns_config.recursor_strategy must be sequential or random, not best",
        "dns_config.udp_answer_limit must be at least 1",
        "dns_config.a_record_limit cannot be -1. Must be greater than or equal to zero",
        "dns_config.soa.expire must be at least 0 and below 2^31",
    ):
        assert part in text
