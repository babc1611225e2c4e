"""Definitions of checks, as they are registered.

Source: https://developer.hashicorp.com/consul/docs/reference/service/health-check.
"""

import msgspec

NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"
"""Ids of the checks that take a node, or the service whose id follows, out of service."""

SECOND_NS = 1_000_000_000
INTERVAL_S_MIN = 1.0
"""A check with a shorter interval runs with this one; it is shown as it was given."""

DEREGISTER_S_MIN = 60.0
"""A shorter `deregister_after_ns` is raised to this."""

_PROBED = ("http", "tcp", "udp", "grpc", "h2ping", "os_service")


class CheckDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A check as it was registered. Durations in nanoseconds, as they are shown; 0: not given.

    Attributes:
        id: One of its agent.
        service_id: The service that it is of; "": the node.
        status: At first; "": critical.
        is_embedded: It came with the registration of its service.
        is_maintenance: It takes its node or service out of service; it never changes by itself.
        adopted_type: Its type in the catalog, where an older version registered it: nothing here
            decides its status, so that of its row counts. None: it was
            registered here.
        http, tcp, udp, grpc, args, docker, alias_node, alias_service, h2ping, os_service: What is
            probed; the first that is given counts.
    """

    id: str
    name: str
    notes: str = ""
    status: str = ""
    service_id: str = ""
    is_embedded: bool = False
    is_maintenance: bool = False
    ttl_ns: int = 0
    interval_ns: int = 0
    timeout_ns: int = 0
    success_before_passing: int = 0
    failures_before_warning: int = 0
    failures_before_critical: int = 0
    deregister_after_ns: int = 0
    output_bytes_max: int = 0
    http: str = ""
    method: str = ""
    header: dict[str, tuple[str, ...]] = {}
    body: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    disable_redirects: bool = False
    tcp: str = ""
    tcp_use_tls: bool = False
    udp: str = ""
    grpc: str = ""
    grpc_use_tls: bool = False
    args: tuple[str, ...] = ()
    docker: str = ""
    shell: str = ""
    alias_node: str = ""
    alias_service: str = ""
    h2ping: str = ""
    h2ping_use_tls: bool = True
    os_service: str = ""
    adopted_type: str | None = None

    @property
    def kind(self) -> str:
        """Its type, as the API names it."""
        if self.is_maintenance:
            return "maintenance"
        for name in _PROBED:
            if getattr(self, name):
                return name
        if self.is_alias:
            return "alias"
        if self.docker:
            return "docker"
        if self.args:
            return "script"
        return "ttl" if self.ttl_ns else self.adopted_type or ""

    @property
    def is_alias(self) -> bool:
        """Its status is that of another service, or of a node."""
        return bool(self.alias_node or self.alias_service)

    @property
    def is_probed(self) -> bool:
        """Probes decide its status."""
        return bool(self.args or self.docker or any(getattr(self, name) for name in _PROBED))

    @property
    def ttl_s(self) -> float:
        """Within this time a heartbeat must come; 0: none is expected."""
        return 0.0 if self.is_probed or self.is_alias else self.ttl_ns / SECOND_NS

    @property
    def interval_s(self) -> float:
        """A probe begins so long after the last one; 0: it is not probed."""
        return max(self.interval_ns / SECOND_NS, INTERVAL_S_MIN) if self.is_probed else 0.0

    @property
    def deregister_after_s(self) -> float:
        """It is removed when it has been critical for so long; 0: it stays."""
        after_s = self.deregister_after_ns / SECOND_NS
        return max(after_s, DEREGISTER_S_MIN) if after_s > 0 else 0.0

    def fault(self) -> str:
        """What is wrong with it, in Consul's words; empty if nothing is."""
        has_ttl, has_interval = self.ttl_ns > 0, self.interval_ns > 0
        needs_ttl = not (self.is_probed or self.is_alias or self.is_maintenance)
        faults = (
            (has_ttl and has_interval, "Interval and TTL cannot both be specified"),
            (has_ttl and self.is_alias, "TTL must be not be set for Alias checks"),
            (
                self.is_probed and not has_interval,
                "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks",
            ),
            (needs_ttl and not has_ttl, "TTL must be > 0 for TTL checks"),
            (self.output_bytes_max < 0, "MaxOutputMaxSize must be positive"),
            (
                self.failures_before_warning > self.failures_before_critical,
                "FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
            ),
        )
        return next((text for is_so, text in faults if is_so), "")
