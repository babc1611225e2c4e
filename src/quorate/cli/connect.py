"""The flags that all client commands share, and the client that they configure."""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec

from quorate.base.errors import QuorateError, RequestError
from quorate.cli.commands import CliCommand
from quorate.cli.flags import About, flags_of
from quorate.cli.output import fail, fail_with, reason, waiting
from quorate.client import bodies, endpoints, environment
from quorate.client.sync.client import Client

CONNECT_S = 3.0  # a node that takes longer to accept a connection is unreachable
REASON_S = 2.0  # a node reports its status at once
DEADLINE_S = 15.0  # longer than a fail-over; a node holds requests that need a leader for 7 s


class ConnectionFlags(msgspec.Struct, dict=True):
    """The values of the shared flags; the environment supplies the others."""

    http_addr: Annotated[
        str, About("The node to ask, or unix:///PATH; else CONSUL_HTTP_ADDR.", "HOST:PORT")
    ] = ""
    token: Annotated[str, "Sent with every request; else CONSUL_HTTP_TOKEN."] = ""
    token_file: Annotated[str, "A file with the token; else CONSUL_HTTP_TOKEN_FILE."] = ""
    datacenter: Annotated[str, "Refuse a node of another data center."] = ""
    stale: Annotated[bool, "Read what this node has, even without a leader."] = False
    ca_file: Annotated[str, "A CA certificate. Refused: TLS is not built."] = ""
    ca_path: Annotated[str, "A folder of CA certificates. Refused: TLS is not built."] = ""
    client_cert: Annotated[str, "A client certificate. Refused: TLS is not built."] = ""
    client_key: Annotated[str, "Its private key. Refused: TLS is not built."] = ""
    tls_server_name: Annotated[str, "The node's name. Refused: TLS is not built."] = ""

    @cached_property
    def client(self) -> Client:
        """A client of the node; closed at the end of the command.

        Raises:
            QuorateError: The address cannot be read, nothing listens there, the node is of another
                data center; or see `check`.
        """
        self.check()
        _probe(endpoints.parse(self.node))
        client = Client(self.node, token=self.secret, deadline_s=DEADLINE_S)
        wanted = self.datacenter  # a cluster is one data center: no other is reachable through it
        if wanted and report_of(client).config.get("Datacenter") != wanted:
            error = RequestError("bad_request", f"no data center {wanted!r} here")
            error.response = "Unexpected response code: 500 (No path to datacenter)"
            raise error
        return client

    def check(self) -> None:
        """Refuse flags and variables that ask for protection that is not implemented.

        Raises:
            RequestError: `unsupported`: names the flag or variable.
        """
        environment.check(os.environ)
        for name in ("ca_file", "ca_path", "client_cert", "client_key", "tls_server_name"):
            if getattr(self, name):
                flag = f"-{name.replace('_', '-')}"
                raise environment.no_tls(flag, f"Leave {flag} out")

    def close(self) -> None:
        """Close the client, if there is one."""
        if "client" in self.__dict__:
            self.client.close()

    @property
    def named(self) -> str:
        """The address of the node, as the user gave it."""
        return self.http_addr or environment.addresses(os.environ)[0]

    @property
    def node(self) -> str:
        """The address of the node, normalised.

        Raises:
            RequestError: It cannot be read.
        """
        return endpoints.parse(self.named).name

    @property
    def secret(self) -> str:
        """The token of the flags, else of the environment, else ""; files win, as in Consul.

        Raises:
            RequestError: `bad_request`: the file cannot be read.
        """
        if self.token_file:
            return environment.token_in_file(self.token_file, "-token-file")
        return self.token or environment.token(os.environ)

    @property
    def headers(self) -> dict[str, str]:
        """The header lines that identify the sender of a request."""
        authorization = environment.authorization(os.environ)
        found = {"X-Consul-Token": self.secret, "Authorization": authorization}
        return {name: value for name, value in found.items() if value}

    def reason(self) -> str:
        """Why the node knows no leader; "" if it knows one, or does not answer."""
        from quorate.client.sync.operator import Operator

        try:
            with Client(self.node, token=self.secret, deadline_s=REASON_S) as client:
                return Operator(client).overview().reason
        except QuorateError:  # another server, or no answer: the command itself reports it
            return ""


class NodeReport(msgspec.Struct, rename="pascal"):
    """What a node reports about itself, as far as commands use it."""

    config: dict[str, object] = {}
    stats: dict[str, dict[str, object]] = {}


_REPORT = msgspec.json.Decoder(NodeReport)


def report_of(client: Client) -> NodeReport:
    """What a node reports about itself.

    Raises:
        QuorateError: It does not answer, or not as the API specifies.
    """
    return bodies.decoded(_REPORT, client.call("GET", "/v1/agent/self"))


def _probe(endpoint: endpoints.Endpoint) -> None:
    """Fail at once if nothing listens; the client itself would retry for a while."""
    try:
        if endpoint.path:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(CONNECT_S)
                probe.connect(endpoint.path)
        else:
            socket.create_connection((endpoint.host, endpoint.port), CONNECT_S).close()
    except OSError as error:
        fail(
            f"Error connecting to {endpoint.name}: {reason(error)}\n"
            "Is a node running there? Start one with `quorate agent -dev`, or name another with\n"
            "-http-addr or CONSUL_HTTP_ADDR."
        )


_FIELDS = ConnectionFlags.__struct_fields__
_FLAGS = tuple(
    flags_of(ConnectionFlags, dict(zip(_FIELDS, ConnectionFlags.__struct_defaults__, strict=True)))
)


def connected(
    path: str,
    takes: str = "",
    doing: str = "Error querying Consul agent",
    *,
    takes_time: bool = False,
    has_progress: bool = False,
    is_verbatim: bool = False,
) -> Callable[[Callable[..., None]], CliCommand]:
    """Make a command of a function whose first argument is the connection; see `CliCommand`.

    `doing` begins the message of an error from the cluster. A command that `takes_time` waits by
    its nature, and says for what; of one that `has_progress` only the lack of a leader is reported.
    """

    def wrapped(function: Callable[..., None]) -> CliCommand:
        def run(*words: str, **values: Any) -> None:
            connection = ConnectionFlags(**{name: values.pop(name) for name in _FIELDS})
            reporting = waiting(connection.named, connection.reason, has_progress=has_progress)
            try:
                with nullcontext() if takes_time else reporting:
                    function(connection, *words, **values)
            except QuorateError as error:
                fail_with(error, doing)
            finally:
                connection.close()

        return CliCommand(path, function, takes, flags=_FLAGS, call=run, is_verbatim=is_verbatim)

    return wrapped


def read_value(word: str) -> bytes:
    """Read a value: `@FILE`, `-` for stdin, or the word itself."""
    if word == "-":
        return sys.stdin.buffer.read()
    if not word.startswith("@"):
        return word.encode(errors="surrogateescape")
    try:
        return Path(word[1:]).read_bytes()
    except OSError as error:
        fail(f"Error! Failed to read file: open {word[1:]}: {reason(error)}")
