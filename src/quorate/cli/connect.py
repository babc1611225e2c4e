"""The flags every client command shares, and the client they lead to."""

import inspect
import os
import socket
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Annotated, Any, NamedTuple, get_type_hints

import msgspec
import typer

from quorate.base.errors import QuorateError, RequestError
from quorate.cli.output import fail, fail_with, patience
from quorate.client import endpoints, environment
from quorate.client.sync.client import Client

CONNECT_S = 3.0  # a node that takes longer to accept a connection is not there
REASON_S = 2.0  # what a node knows of itself it says at once
DEADLINE_S = 15.0  # longer than a fail-over; a node holds what needs a leader for 7 s

HttpAddr = Annotated[
    str,
    typer.Option(
        "--http-addr",
        metavar="HOST:PORT",
        help="The node to ask, or unix:///PATH; else CONSUL_HTTP_ADDR.",
    ),
]
Token = Annotated[
    str, typer.Option("--token", help="Sent with every request; else CONSUL_HTTP_TOKEN.")
]
TokenFile = Annotated[
    str,
    typer.Option("--token-file", help="A file with the token; else CONSUL_HTTP_TOKEN_FILE."),
]


def _tls(flag: str, about: str) -> Any:
    return Annotated[str, typer.Option(flag, help=f"{about} Refused: TLS is not built.")]


Datacenter = Annotated[
    str, typer.Option("--datacenter", help="Refuse a node of another data center.")
]
Stale = Annotated[
    bool, typer.Option("--stale", help="Read what this node has, even without a leader.")
]


class _Self(msgspec.Struct, rename="pascal"):
    """What a node says of itself, as far as it is looked at."""

    config: dict[str, Any]


class _Cluster(msgspec.Struct, rename="pascal"):
    """What a node says of its cluster, as far as it is looked at."""

    reason: str = ""


class Connection(NamedTuple):
    """What the shared flags say; the environment says the rest."""

    http_addr: str = ""
    token: str = ""
    token_file: str = ""
    datacenter: str = ""
    stale: bool = False
    ca_file: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    tls_server_name: str = ""

    def client(self) -> Client:
        """A client to the node; close it, or use it in a `with`.

        Raises:
            QuorateError: The address is none, nobody listens there, or the node is of another
                data center.
        """
        self.check()
        node = self.node()
        _knock(endpoints.parse(node))
        client = Client(node, token=self.secret(), deadline_s=DEADLINE_S)
        if self.datacenter:
            self._check_datacenter(client)
        return client

    def _check_datacenter(self, client: Client) -> None:
        """One cluster is one data center: another one cannot be reached through it."""
        about = msgspec.json.decode(client.call("GET", "/v1/agent/self").body, type=_Self)
        if about.config.get("Datacenter") != self.datacenter:
            error = RequestError("bad_request", f"no data center {self.datacenter!r} here")
            error.response = "Unexpected response code: 500 (No path to datacenter)"
            raise error

    def check(self) -> None:
        """Refuse flags and variables that ask for protection which cannot be had.

        Raises:
            RequestError: `unsupported`: names the flag or variable.
        """
        environment.check(os.environ)
        for name in _TLS_FLAGS:
            if getattr(self, name):
                flag = f"-{name.replace('_', '-')}"
                raise RequestError(
                    "unsupported",
                    f"{flag} asks for TLS, which Quorate does not have yet; nothing was sent. "
                    f"Leave {flag} out to go on without protection",
                )

    def node(self) -> str:
        """The node to ask, as the client takes it.

        Raises:
            RequestError: The address is none.
        """
        given = self.http_addr or environment.addresses(os.environ)[0]
        return endpoints.parse(given).name

    def reason(self) -> str:
        """Why the asked node knows no leader, by its own words; "" if it does, or says nothing."""
        try:
            with Client(self.node(), token=self.secret(), deadline_s=REASON_S) as client:
                body = client.call("GET", "/v1/operator/cluster").body
            return msgspec.json.decode(body, type=_Cluster).reason
        except (QuorateError, msgspec.MsgspecError):  # another server, or nobody: told elsewhere
            return ""

    @property
    def named(self) -> str:
        """The node to ask, for people."""
        return self.http_addr or environment.addresses(os.environ)[0]

    def secret(self) -> str:
        """The token: from the flags, else from the environment, else none; files win, as in Consul.

        Raises:
            RequestError: `bad_request`: the file cannot be read.
        """
        if self.token_file:
            return environment.token_in_file(self.token_file, "-token-file")
        return self.token or environment.token(os.environ)

    def headers(self) -> dict[str, str]:
        """The header lines by which a request says who sends it.

        Raises:
            RequestError: `bad_request`: the token's file cannot be read.
        """
        found = {
            "X-Consul-Token": self.secret(),
            "Authorization": environment.authorization(os.environ),
        }
        return {name: value for name, value in found.items() if value}


_TLS_FLAGS = ("ca_file", "ca_path", "client_cert", "client_key", "tls_server_name")


def _knock(endpoint: endpoints.Endpoint) -> None:
    """Find out at once that nobody listens; the client itself would go on trying for a while."""
    try:
        if endpoint.path:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(CONNECT_S)
                probe.connect(endpoint.path)
        else:
            socket.create_connection((endpoint.host, endpoint.port), CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        fail(
            f"Error connecting to {endpoint.name}: {reason.lower()}\n"
            "Is a node running there? Start one with `quorate agent -dev`, or name another with\n"
            "-http-addr or CONSUL_HTTP_ADDR."
        )


_ANNOTATIONS: dict[str, Any] = {
    "http_addr": HttpAddr,
    "token": Token,
    "token_file": TokenFile,
    "datacenter": Datacenter,
    "stale": Stale,
    "ca_file": _tls("--ca-file", "Whom to trust."),
    "ca_path": _tls("--ca-path", "A folder of whom to trust."),
    "client_cert": _tls("--client-cert", "Who we are."),
    "client_key": _tls("--client-key", "The key of who we are."),
    "tls_server_name": _tls("--tls-server-name", "Who the node must be."),
}


def connected(
    doing: str = "Error querying Consul agent", *, takes_time: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the shared flags, as its argument `connection`, and words for its errors.

    Args:
        doing: How the message begins when the cluster refuses or cannot be reached.
        takes_time: It waits by its nature, or tells by itself how far it is.
    """

    def wrapped(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)

        @wraps(function)
        def run(**values: Any) -> None:
            shared = {name: values.pop(name) for name in _ANNOTATIONS}
            connection = Connection(**shared)
            try:
                waiting = patience(connection.named, connection.reason)
                with nullcontext() if takes_time else waiting:
                    function(connection=connection, **values)
            except QuorateError as error:
                fail_with(error, doing)

        parameters = [each for name, each in own.parameters.items() if name != "connection"]
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=Connection._field_defaults[name],
                annotation=annotation,
            )
            for name, annotation in _ANNOTATIONS.items()
        ]
        del hints["connection"]
        run.__annotations__ = hints | _ANNOTATIONS
        run.__dict__.pop("__wrapped__")
        run.__dict__["__signature__"] = inspect.Signature(parameters)
        return run

    return wrapped


def one_argument(words: list[str] | None, what: str, *, default: str | None = None) -> str:
    """Take the only argument of a command.

    Args:
        words: What was given.
        what: Its name, as in `Missing KEY argument`.
        default: Used if none was given; None if one is needed.
    """
    given = words or []
    if len(given) > 1:
        fail(f"Too many arguments (expected 1, got {len(given)})")
    if given:
        return given[0]
    if default is None:
        fail(f"Error! Missing {what} argument")
    return default


def key_argument(words: list[str] | None, what: str, *, default: str | None = None) -> str:
    """Take a key or prefix as the only argument; a slash before it is dropped.

    No key begins with a slash by accident: who types one means the root. Kept, it would name
    nothing, and a delete or an export of nothing would look like a success.
    """
    return one_argument(words, what, default=default).removeprefix("/")
