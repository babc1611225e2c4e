"""The flags every client command shares, and the client they lead to."""

import inspect
import socket
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import msgspec
import typer

from quorate.base.errors import QuorateError, RequestError
from quorate.cli.output import fail, fail_with
from quorate.client import endpoints
from quorate.client.sync.client import Client

ADDRESS_DEFAULT = "127.0.0.1:8500"
CONNECT_S = 3.0  # a node that takes longer to accept a connection is not there
DEADLINE_S = 15.0  # longer than a fail-over; a node holds what needs a leader for 7 s

HttpAddr = Annotated[
    str,
    typer.Option(
        "--http-addr", envvar="CONSUL_HTTP_ADDR", metavar="HOST:PORT", help="The node to ask."
    ),
]
Token = Annotated[
    str, typer.Option("--token", envvar="CONSUL_HTTP_TOKEN", help="Sent with every request.")
]
TokenFile = Annotated[
    str,
    typer.Option("--token-file", envvar="CONSUL_HTTP_TOKEN_FILE", help="A file with the token."),
]
Datacenter = Annotated[
    str, typer.Option("--datacenter", help="Refuse a node of another data center.")
]
Stale = Annotated[
    bool, typer.Option("--stale", help="Read what this node has, even without a leader.")
]


class _Self(msgspec.Struct, rename="pascal"):
    """What a node says of itself, as far as it is looked at."""

    config: dict[str, Any]


class Connection(NamedTuple):
    """What the shared flags and the environment say."""

    http_addr: str = ADDRESS_DEFAULT
    token: str = ""
    token_file: str = ""
    datacenter: str = ""
    stale: bool = False

    def client(self) -> Client:
        """A client to the node; close it, or use it in a `with`.

        Raises:
            QuorateError: The address is none, nobody listens there, or the node is of another
                data center.
        """
        endpoint = endpoints.parse(self.http_addr or ADDRESS_DEFAULT)
        _knock(endpoint.host, endpoint.port)
        client = Client(endpoint.name, token=self.secret(), deadline_s=DEADLINE_S)
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

    def node(self) -> str:
        """The node to ask, as `host:port`.

        Raises:
            RequestError: The address is none.
        """
        return endpoints.parse(self.http_addr or ADDRESS_DEFAULT).name

    def secret(self) -> str:
        """The token: from the flag, else from the file, else none.

        Raises:
            RequestError: `bad_request`: the file cannot be read.
        """
        if self.token or not self.token_file:
            return self.token
        try:
            return Path(self.token_file).read_text().strip()
        except OSError as error:
            raise RequestError("bad_request", f"token file: {error}") from error


def _knock(host: str, port: int) -> None:
    """Find out at once that nobody listens; the client itself would go on trying for a while."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        fail(
            f"Error connecting to {host}:{port}: {reason.lower()}\n"
            "Is a node running there? Start one with `quorate agent -dev`, or name another with\n"
            "-http-addr or CONSUL_HTTP_ADDR."
        )


_ANNOTATIONS: dict[str, Any] = {
    "http_addr": HttpAddr,
    "token": Token,
    "token_file": TokenFile,
    "datacenter": Datacenter,
    "stale": Stale,
}


def connected(
    doing: str = "Error querying Consul agent",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the shared flags, as its argument `connection`, and words for its errors.

    Args:
        doing: How the message begins when the cluster refuses or cannot be reached.
    """

    def wrapped(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)

        @wraps(function)
        def run(**values: Any) -> None:
            shared = {name: values.pop(name) for name in _ANNOTATIONS}
            try:
                function(connection=Connection(**shared), **values)
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
