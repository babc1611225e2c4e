"""Environment: the cluster to use, by Consul's variables, for programs and commands.

Each setting is taken from the caller if given, else from its variable, else from the default.

ENV-1: a variable that asks for protection which Quorate does not have (TLS) stops the client before
    it connects, whatever else is set. Nothing is sent without protection that was asked for.

Source: https://developer.hashicorp.com/consul/commands#environment-variables.
"""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from quorate.base.errors import RequestError

ADDRESS_DEFAULT = "127.0.0.1:8500"

ADDRESS = "CONSUL_HTTP_ADDR"
TOKEN = "CONSUL_HTTP_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE = "CONSUL_HTTP_TOKEN_FILE"  # noqa: S105 - likewise
AUTH = "CONSUL_HTTP_AUTH"

_TLS_SWITCHES = ("CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY")
_TLS_VALUES = (
    "CONSUL_CACERT",
    "CONSUL_CAPATH",
    "CONSUL_CLIENT_CERT",
    "CONSUL_CLIENT_KEY",
    "CONSUL_TLS_SERVER_NAME",
)
_SCOPES = {"CONSUL_NAMESPACE": "namespaces", "CONSUL_PARTITION": "partitions"}
_OFF = frozenset({"", "0", "f", "false"})  # Go's words for false, in lower case


def check(environ: Mapping[str, str]) -> None:
    """Refuse an environment that asks for a feature which Quorate does not have.

    Raises:
        RequestError: `unsupported`: TLS, a namespace or a partition is asked for. The text names
            the variable.
    """
    for name in _TLS_SWITCHES:
        if environ.get(name, "").strip().lower() not in _OFF:
            raise no_tls(f"{name}={environ[name]}", f"Unset {name}")
    for name in _TLS_VALUES:
        if environ.get(name, ""):
            raise no_tls(name, f"Unset {name}")
    for name, what in _SCOPES.items():
        if environ.get(name, "").lower() not in {"", "default"}:
            raise RequestError(
                "unsupported", f"{name}={environ[name]}: Quorate has no {what}; unset {name}"
            )


def addresses(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The addresses in `CONSUL_HTTP_ADDR`, separated by commas; the default if there is none."""
    found = tuple(word for word in environ.get(ADDRESS, "").replace(",", " ").split() if word)
    return found or (ADDRESS_DEFAULT,)


def token(environ: Mapping[str, str]) -> str:
    """The token: what `CONSUL_HTTP_TOKEN_FILE` names wins over `CONSUL_HTTP_TOKEN`, as in Consul.

    Raises:
        RequestError: `bad_request`: the file cannot be read.
    """
    path = environ.get(TOKEN_FILE, "")
    found = token_in_file(path, TOKEN_FILE) if path else ""
    return found or environ.get(TOKEN, "")


def token_in_file(path: str, origin: str) -> str:
    """The token that a file contains, without white space around it.

    Args:
        path: The file.
        origin: The variable or flag that named it, for the error.

    Raises:
        RequestError: `bad_request`: the file cannot be read.
    """
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise RequestError("bad_request", f"{origin}: {path!r}: {reason}") from None


def authorization(environ: Mapping[str, str]) -> str:
    """The value of the header `Authorization` for `CONSUL_HTTP_AUTH`; empty if it is not set."""
    value = environ.get(AUTH, "")
    if not value:
        return ""
    user, _, password = value.partition(":")
    return f"Basic {b64encode(f'{user}:{password}'.encode('utf-8', 'surrogateescape')).decode()}"


def no_tls(what: str, remedy: str) -> RequestError:
    """The error for something that asks for TLS."""
    return RequestError(
        "unsupported",
        f"{what} asks for TLS, which Quorate does not have yet; nothing was sent. "
        f"{remedy} to go on without protection",
    )
