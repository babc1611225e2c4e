"""Settings of the DNS interface."""

import msgspec


class StartOfAuthority(msgspec.Struct, frozen=True):
    """The numbers of SOA records, in seconds (RFC 1035, 3.3.13)."""

    refresh: int = 3600
    retry: int = 600
    expire: int = 86400
    min_ttl: int = 0  # also the TTL of the record itself


class DnsConfig(msgspec.Struct, frozen=True):
    """Settings of the DNS interface. Names without dots at their ends, in lower case."""

    datacenter: str = "dc1"
    domain: str = "consul"
    alt_domain: str = ""  # a second domain; "": none
    node_ttl_s: float = 0.0
    service_ttls_s: tuple[tuple[str, float], ...] = ()  # by name, or by prefix and "*"
    soa: StartOfAuthority = StartOfAuthority()
    only_passing: bool = False  # leave out instances with warnings
    sets_truncated: bool = True  # TC in UDP answers of which something was left out
    udp_answers_max: int = 3  # without EDNS
    a_records_max: int = 0  # A and AAAA in one answer; 0: all
    shows_node_meta: bool = True  # as TXT, beside SRV
    compresses: bool = True
    takes_stale: bool = True  # from the tables of this node
    age_s_max: float = 87600 * 3600.0  # of these tables
    recursors: tuple[tuple[str, int], ...] = ()  # asked for what is in no domain
    picks_recursors: bool = False  # at random; else in their order
    recursor_timeout_s: float = 2.0

    queries_forwarded_max: int = 1024  # at one time
    connections_max: int = 512  # of TCP
    connections_per_client_max: int = 64
    idle_s: float = 20.0  # a connection without queries is closed after that

    @property
    def domains(self) -> tuple[str, ...]:
        """All domains that are answered for."""
        return (self.domain, self.alt_domain) if self.alt_domain else (self.domain,)

    def service_ttl_s(self, name: str) -> float:
        """How long an answer about a service may be kept: the longest match of its name wins."""
        best, ttl_s = -1, 0.0
        for pattern, value_s in self.service_ttls_s:
            is_prefix = pattern.endswith("*")
            text = pattern.removesuffix("*").lower()
            is_match = name.lower().startswith(text) if is_prefix else name.lower() == text
            rank = len(text) if is_prefix else len(text) + 1_000
            if is_match and rank > best:
                best, ttl_s = rank, value_s
        return ttl_s
