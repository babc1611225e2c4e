"""Settings: flags and files, validated and converted. All faults are listed at once.

One default differs from Consul's on purpose: `performance.raft_multiplier` is 1, not 5. It
multiplies the values of `base.config.Timing`, which are meant for production.
"""

import ipaddress
import re
import socket
from pathlib import Path
from typing import Any, get_args

import msgspec

from quorate.agent import protection
from quorate.agent.bootstrapping import bootstrap_mode
from quorate.agent.clashes import Listening, dns_clashes, node_clash
from quorate.agent.definitions import DefinitionReader
from quorate.agent.dnssettings import dns_config
from quorate.agent.files import FORMATS, ConfigSources, ConfigValues, errors_text
from quorate.agent.keys import TABLE, ValueKind
from quorate.agent.logs import LEVELS
from quorate.agent.templates import TemplateError, expand
from quorate.base.config import ClusterConfig, Limits, NodeSettings, Timing
from quorate.base.errors import QuorateError
from quorate.base.versions import NODE_ID_META
from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.servicebodies import META_PAIRS_MAX, meta_fault
from quorate.localstate.configured import Definitions
from quorate.localstate.state import StateSettings
from quorate.net.interfaces import own_addresses
from quorate.net.unix import SocketSettings
from quorate.runtime.addresses import (
    PORT_MAX,
    is_loopback,
    is_unspecified,
    join_address,
    reachable_host,
    split_address,
)
from quorate.runtime.wal import SyncMode

HTTP_PORT = 8500
DNS_PORT = 8600
SERVER_PORT = 8300
GOSSIP_PORT = 8301
"""Consul's port for gossip, which files written for Consul name in `retry_join`."""

UNIX = "unix://"
SYNCS: tuple[SyncMode, ...] = get_args(SyncMode)

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OWN_HEADER = re.compile(
    r"(connection|content-(encoding|length|type)|date|keep-alive|trailer|transfer-encoding|upgrade"
    r"|x-(consul|quorate)-.*)",
    re.IGNORECASE,
)
"""Headers that the node sets by itself: with a second one a client could not read an answer."""
_DATACENTER = re.compile(r"[a-z0-9_-]+")
_UUID = re.compile("-".join(f"[0-9a-fA-F]{{{count}}}" for count in (8, 4, 4, 4, 12)))
_IN_DNS = re.compile(r"[A-Za-z0-9-]+")


class AgentSettings(msgspec.Struct, frozen=True):
    """A whole, valid configuration. `data_dir` None: a folder that goes with the process."""

    is_dev: bool
    data_dir: Path | None
    node_name: str
    bind: str
    advertise: str
    clients: tuple[str, ...]
    http_port: int | None
    server_port: int
    dns_port: int | None
    dns_hosts: tuple[str, ...]
    is_dns_wanted: bool  # its port was chosen: the node does not start without it
    join: tuple[str, ...]
    expect: int
    is_alone: bool
    node: NodeSettings
    log_level: str
    log_json: bool
    pid_file: Path | None
    leaves_on_terminate: bool
    leaves_on_interrupt: bool
    socket: SocketSettings
    wal_sync: SyncMode
    wal_segment_bytes: int
    snapshot_log_bytes: int
    free_bytes_min: int
    http: HttpConfig
    checks: StateSettings
    dns: DnsConfig
    runs_scripts: bool
    runs_local_scripts: bool
    definitions: Definitions

    @property
    def address(self) -> str:
        """Where other nodes reach this one."""
        return join_address(self.advertise, self.server_port)

    @property
    def http_address(self) -> str:
        """Where clients reach this node; "" if nowhere."""
        if self.http_port is None:
            return ""
        host = next((each for each in self.clients if not each.startswith(UNIX)), "")
        if not host:
            return ""
        return join_address(self.advertise if is_unspecified(host) else host, self.http_port)


class ConfigError(Exception):
    """The configuration cannot be used; the text lists every fault."""


def settings_of(
    sources: ConfigSources, *, is_lenient: bool = False
) -> tuple[AgentSettings, list[str]]:
    """Read the files that the flags name, validate everything together; also returns warnings.

    Args:
        sources: What the command line gives.
        is_lenient: Accept names that only a start needs to know, as Consul's `validate` does.

    Raises:
        ConfigError: Something is wrong; all of it is listed.
    """
    file_format = sources.file_format
    if file_format and file_format not in FORMATS:
        raise ConfigError(f"-config-format must be one of {', '.join(FORMATS)}, not {file_format}")
    read = ConfigValues(file_format)
    for path in sources.files:
        read.read(path)
    faults = read.faults
    for key, value in sources.values.items():
        read.add(key, value, faults)
    built = _Builder(read.values, is_dev=sources.is_dev, is_lenient=is_lenient)
    built.faults += read.value_faults
    settings = built.settings()
    faults += built.sentences
    if built.faults:
        once = list(dict.fromkeys(built.faults))  # DNS may use the address of HTTP
        faults.append(errors_text("", once) + "\n\n")
    faults += protection.requests(read.values)
    faults += [] if is_lenient else protection.unknown_policies(read.values)
    if faults:
        raise ConfigError("\n".join(faults))
    warnings = [*sources.warnings, *read.warnings, *built.warnings]
    return settings, list(dict.fromkeys(warnings))  # several files may cause the same one


class _Builder:
    """Makes settings of values, and notes what is wrong or worth a warning.

    Attributes:
        faults: Of single keys; Consul lists them.
        sentences: Of keys that contradict each other; Consul reports them one by one.
        warnings: For the log.
    """

    def __init__(self, values: dict[str, Any], *, is_dev: bool, is_lenient: bool) -> None:
        self.faults: list[str] = []
        self.sentences: list[str] = []
        self.warnings: list[str] = []
        self._values = values
        self._get = values.get
        self._is_dev = is_dev
        self._is_lenient = is_lenient

    def settings(self) -> AgentSettings:
        """All settings; to be used only if no fault was noted."""
        bootstrap = bootstrap_mode(self._values, is_dev=self._is_dev, is_lenient=self._is_lenient)
        self.faults += bootstrap.faults
        self.sentences += bootstrap.sentences
        self.warnings += bootstrap.warnings
        http_port = self._port("ports.http", HTTP_PORT)
        server_port = self._port("ports.server", SERVER_PORT)
        if server_port is None:
            self.faults.append("ports.server: invalid port: -1")
            server_port = SERVER_PORT
        bind = self._one_address("bind_addr", self._get("bind_addr") or self._default_bind())
        pid_file = self._get("pid_file")
        node, plain = self._node(), self._plain()
        settings = AgentSettings(
            is_dev=self._is_dev,
            data_dir=self._data_dir(),
            node_name=self._node_name(),
            bind=bind,
            advertise=self._advertise(bind),
            clients=self._clients("http"),
            http_port=http_port,
            server_port=server_port,
            dns_port=self._port("ports.dns", DNS_PORT),
            dns_hosts=tuple(host for host in self._clients("dns") if not host.startswith(UNIX)),
            is_dns_wanted="ports.dns" in self._values,
            join=self._join(server_port),
            expect=bootstrap.expect,
            is_alone=bootstrap.is_alone,
            node=node,
            log_level=self._log_level(),
            pid_file=Path(pid_file) if pid_file else None,
            leaves_on_interrupt=not self._get("skip_leave_on_interrupt", True),
            socket=self._socket(),
            wal_sync=self._wal_sync(),
            http=self._http(node, plain),
            checks=StateSettings(**below("checks.", plain)),
            dns=self._dns(node.datacenter, plain),
            runs_local_scripts=self._get("enable_local_script_checks", plain["runs_scripts"]),
            definitions=self._definitions(),
            **{name: value for name, value in plain.items() if "." not in name},
        )
        http = Listening(settings.clients, settings.http_port)
        if clash := node_clash(Listening((bind,), settings.server_port), http):
            self.faults.append(clash)
        if settings.is_dns_wanted:
            self.sentences += dns_clashes(http, Listening(settings.dns_hosts, settings.dns_port))
        return settings

    # --- single values -------------------------------------------------------------------------

    def _plain(self) -> dict[str, Any]:
        """The settings that are the values of their keys; every key's limits are checked."""
        found: dict[str, Any] = {}
        for name, key in TABLE.items():
            value = self._get(name, key.default)
            if value is None:
                continue
            if name.startswith("dns_config.") and key.least is not None and value < 0:
                least = "Must be greater than or equal to zero"
                self.sentences.append(f"{name} cannot be {value}. {least}")
            elif key.least is not None and value < key.least:
                self.faults.append(f"{name} must be at least {key.least}")
            if key.most is not None and value > key.most:
                self.faults.append(f"{name} must be at most {key.most}")
            if key.default is not None:
                found[key.setting] = tuple(value) if key.kind is ValueKind.TEXTS else value
        return found

    def _port(self, name: str, default: int) -> int | None:
        """A port; None if it is disabled."""
        port: int = self._get(name, default)
        if not (0 < port <= PORT_MAX or port == -1):
            self.faults.append(f"{name}: invalid port: {port}")
        return None if port == -1 else port

    def _expanded(self, name: str, text: str) -> list[str]:
        """The addresses of a key, its templates replaced."""
        try:
            return expand(text, own_addresses).split()
        except TemplateError as error:
            self.faults.append(f"{name}: {error}")
            return []

    def _one_address(self, name: str, text: str) -> str:
        """The one address of a key to listen on."""
        hosts = self._expanded(name, text)
        if len(hosts) > 1:
            self.faults.append(f"{name} must be one address, not {len(hosts)}: {' '.join(hosts)}")
        return self._listening(name, hosts[0]) if hosts else text

    def _listening(self, name: str, host: str) -> str:
        """An address to listen on, without brackets."""
        plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            if plain != "localhost":
                ipaddress.ip_address(plain)
        except ValueError:
            self.faults.append(f"{name}: invalid ip address: {host}")
        return plain

    def _default_bind(self) -> str:
        """Where the server port listens by default: no other machine is let in unless configured.

        An address to advertise means that other nodes are to connect to it.
        """
        advertised = self._get("advertise_addr", "")
        if advertised and not self._is_dev:
            return advertised if is_loopback(advertised) else "0.0.0.0"  # noqa: S104
        remote = [each for each in self._get("retry_join", []) if not is_loopback(each)]
        if remote and not self._is_dev:
            self.warnings.append(
                "neither bind_addr nor advertise_addr is given: the server port listens on "
                f"127.0.0.1, where nodes on other machines ({', '.join(remote)}) cannot reach it"
            )
        return "127.0.0.1"

    # --- groups --------------------------------------------------------------------------------

    def _data_dir(self) -> Path | None:
        text = self._get("data_dir", "")
        if not text and not self._is_dev:
            self.sentences.append("data_dir cannot be empty")
        return Path(text) if text else None

    def _node_name(self) -> str:
        name: str = self._get("node_name") or socket.gethostname()
        if not name.isprintable():
            self.sentences.append(f"node_name {name!r} has characters that cannot be printed")
        elif not _IN_DNS.fullmatch(name):
            self.warnings.append(f"Node name {name!r} will not be discoverable via DNS")
        return name

    def _node_meta(self) -> dict[str, str]:
        """This node's metadata in the catalog, with the id that the API shows.

        The id under which a node votes is made with its data directory and cannot be configured:
        two directories with one id could vote twice.
        """
        meta: dict[str, str] = dict(self._get("node_meta", {}))
        if len(meta) > META_PAIRS_MAX:
            text = f"Node metadata cannot contain more than {META_PAIRS_MAX} keys"
            self.sentences.append(f"node_meta invalid: {text}")
        for key, value in list(meta.items())[:META_PAIRS_MAX]:
            if fault := meta_fault(key, value, ("consul-", "quorate-")):
                pair = f"Couldn't load metadata pair ('{key}', '{value}')"
                self.sentences.append(f"node_meta invalid: {pair}: {fault}")
        if not self._get("disable_host_node_id", True):
            self.warnings.append("disable_host_node_id = false: ids are never made from the host")
        text = self._get("node_id", "")
        if _UUID.fullmatch(text):
            meta[NODE_ID_META] = text.lower()
        elif text:
            self.sentences.append(f"node_id {text!r} is no UUID")
        return meta

    def _socket(self) -> SocketSettings:
        mode = self._get("unix_sockets.mode", "")
        if mode and not re.fullmatch(r"0?[0-7]{3}", mode):
            self.faults.append(f"unix_sockets.mode: {mode!r} is no mode such as 0660")
            mode = ""
        user, group = self._get("unix_sockets.user", ""), self._get("unix_sockets.group", "")
        return SocketSettings(user, group, int(mode, 8) if mode else None)

    def _advertise(self, bind: str) -> str:
        text: str = self._get("advertise_addr", "")
        if not text:
            return reachable_host(bind)
        hosts = self._expanded("advertise_addr", text)
        if len(hosts) != 1:
            if hosts:
                self.faults.append(f"advertise_addr must be one address: {' '.join(hosts)}")
            return text
        host = hosts[0].strip("[]")
        if is_unspecified(host):
            self.sentences.append("Advertise address cannot be 0.0.0.0, :: or [::]")
        try:
            split_address(join_address(host, 1))
        except QuorateError as error:
            self.faults.append(f"advertise_addr: {error.text}")
        return host

    def _clients(self, protocol: str) -> tuple[str, ...]:
        """Where to listen for the clients of a protocol."""
        own = f"addresses.{protocol}"
        name = own if self._get(own, "") else "client_addr"
        text = self._get(name, "127.0.0.1")
        found: list[str] = []
        for host in self._expanded(name, text):
            if not host.startswith(UNIX):
                found.append(self._listening(name, host))
            elif not Path(host.removeprefix(UNIX)).is_absolute():
                self.faults.append(f"{name}: {host} is no unix:///path")
            else:
                found.append(host)
        if not text.strip():
            self.faults.append(f"{name} is empty")
        return tuple(dict.fromkeys(found))

    def _http(self, node: NodeSettings, plain: dict[str, Any]) -> HttpConfig:
        cluster, limits = node.cluster, node.limits
        return HttpConfig(
            datacenter=node.datacenter,
            is_pretty=self._is_dev,
            is_dev=self._is_dev,
            response_headers=self._response_headers(),
            value_bytes_max=cluster.value_bytes_max,
            txn_ops_max=cluster.txn_ops_max,
            txn_result_bytes_max=cluster.txn_result_bytes_max,
            command_bytes_max=cluster.batch_bytes_max,
            connections_max=limits.http_connections_max,
            held_bytes_max=limits.http_held_bytes_max,
            client_bytes_max=limits.http_client_bytes_max,
            free_bytes_min=plain["free_bytes_min"],
            **below("http.", plain),
        )

    def _dns(self, datacenter: str, plain: dict[str, Any]) -> DnsConfig:
        config, faults = dns_config(self._values, below("dns.", plain), datacenter, self._expanded)
        self.faults += faults
        return config

    def _response_headers(self) -> tuple[tuple[str, str], ...]:
        given: dict[str, str] = self._get("http_config.response_headers", {})
        found: list[tuple[str, str]] = []
        for name, value in given.items():
            if not _HEADER.fullmatch(name) or _CONTROL.search(value):
                self.faults.append(f"http_config.response_headers: {name!r} cannot be a header")
            elif _OWN_HEADER.fullmatch(name):
                self.warnings.append(
                    f"http_config.response_headers: the node sets {name} itself; it is left out"
                )
            else:
                found.append((name, value))
        return tuple(found)

    def _definitions(self) -> Definitions:
        reader = DefinitionReader(is_lenient=self._is_lenient)
        found = reader.read(self._get("services", []), self._get("checks", []))
        self.faults += reader.faults
        self.sentences += reader.sentences
        self.warnings += reader.warnings
        return found

    def _join(self, server_port: int) -> tuple[str, ...]:
        """The server ports of other nodes. A host without a port means the port of this node."""
        gossip_port = self._get("ports.serf_lan", GOSSIP_PORT)
        joined: list[str] = []
        for text in self._get("retry_join", []):
            if "provider=" in text:
                self.faults.append(f"retry_join: cloud auto-join is not built: {text}")
                continue
            for word in self._expanded("retry_join", text) if text.strip() else [""]:
                try:
                    host, port = split_address(word, server_port)
                except QuorateError as error:
                    self.faults.append(f"retry_join: {error.text}")
                    continue
                if port == gossip_port != server_port:
                    port = server_port
                    self.warnings.append(
                        f"retry_join: {word} names Consul's gossip port, which Quorate does not "
                        f"have: port {port} is used, the server port"
                    )
                joined.append(join_address(host, port))
        return tuple(dict.fromkeys(joined))

    def _log_level(self) -> str:
        text: str = self._get("log_level", "debug" if self._is_dev else "info")
        level = text.lower()
        if level not in LEVELS and not self._is_lenient:
            names = ", ".join(name.upper() for name in LEVELS if name not in {"err", "warning"})
            self.sentences.append(f"Invalid log level: {text}. Valid log levels are: {names}")
        return level if level in LEVELS else "info"

    def _wal_sync(self) -> SyncMode:
        text = self._get("quorate.wal_sync", "none" if self._is_dev else "auto")
        if text in SYNCS:
            return SYNCS[SYNCS.index(text)]
        self.faults.append(f"quorate.wal_sync must be one of {', '.join(SYNCS)}, not {text}")
        return "auto"

    def _node(self) -> NodeSettings:
        datacenter: str = self._get("datacenter", "dc1").lower()
        if not _DATACENTER.fullmatch(datacenter):
            self.sentences.append(
                "datacenter can only contain lowercase alphanumeric, - or _ characters. "
                f'received: "{datacenter}"'
            )
        limits = msgspec.structs.replace(Limits(), **below("quorate.limits.", self._values))
        parts = (self._cluster(), self._timing(), limits, datacenter, self._node_meta())
        node = NodeSettings(*parts, auto_promote=self._get("quorate.auto_promote", False))
        self.faults += node.validate()
        return node

    def _cluster(self) -> ClusterConfig:
        default = ClusterConfig()
        value_bytes_max = self._get("limits.kv_max_value_size", default.value_bytes_max)
        batch_bytes_max = max(default.batch_bytes_max, 2 * value_bytes_max)
        cluster = ClusterConfig(value_bytes_max=value_bytes_max, batch_bytes_max=batch_bytes_max)
        return msgspec.structs.replace(cluster, **below("quorate.cluster.", self._values))

    def _timing(self) -> Timing:
        factor = self._get("performance.raft_multiplier", 1)
        if not 1 <= factor <= 10:
            self.sentences.append(
                f"performance.raft_multiplier cannot be {factor}. Must be between 1 and 10"
            )
        timing = Timing().scaled(factor)
        hold_s = self._get("performance.rpc_hold_timeout", timing.hold_s)
        timing = msgspec.structs.replace(timing, hold_s=hold_s)
        return msgspec.structs.replace(timing, **below("quorate.timing.", self._values))


def below(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values whose names have a prefix, by what follows it."""
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }
