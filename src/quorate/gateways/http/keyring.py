"""`/v1/operator/keyring`: there is no gossip, so there are no keys of it; Consul's errors say so.

Source: https://developer.hashicorp.com/consul/api-docs/operator/keyring.
"""

from quorate.gateways.http.bodies import fields_of, json_of, text_in
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import Params, boolean, quoted
from quorate.gateways.http.route import Route
from quorate.httpserver.request import Request

RELAY_FACTOR_MAX = 5

_DISABLED = "encryption not enabled"


def get(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The keys: none."""
    _check(request, params, is_list=True)
    raise _error(context, f"Keyring is empty ({_DISABLED})")


def change(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Install, use or remove a key: refused."""
    _check(request, params, is_list=False)
    try:
        text_in(fields_of(json_of(request.body), ("key",), "a key"), "Key")
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    raise _error(context, f"No keyring to modify ({_DISABLED})")


def _check(request: Request, params: Params, *, is_list: bool) -> None:
    check_enterprise(request, params)
    text = params.text("relay-factor")
    if text:
        try:
            factor = int(text) if text.lstrip("+-").isdigit() and text.isascii() else None
        except ValueError:
            factor = None
        if factor is None:
            why = f"strconv.Atoi: parsing {quoted(text)}: invalid syntax"
            raise HttpError(400, f"Error parsing relay factor: {why}")
        if not 0 <= factor <= RELAY_FACTOR_MAX:
            limits = f"[0, {RELAY_FACTOR_MAX}]"
            why = f"Relay factor must be in range: {limits}"
            raise HttpError(400, f"Invalid relay-factor: {why}")
    text = params.text("local-only")
    if not text:
        return
    is_local = boolean(text)
    if is_local is None:
        why = f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax"
        raise HttpError(400, f"Error parsing local-only: {why}")
    if is_local and not is_list:
        why = "local-only can only be set for list requests"
        raise HttpError(400, f"Invalid use of local-only: {why}")


def _error(context: Context, why: str) -> HttpError:
    node, dc = context.local.status().node.name, context.config.datacenter
    lines = (
        "WAN error: 1/1 nodes reported failure", f"{node}.{dc}: {why}",
        f"{dc} (LAN) error: 1/1 nodes reported failure", f"{node}: {why}",
    )  # fmt: skip
    text = "".join(f"\t* {line}\n" for line in lines)
    return HttpError(500, f"{len(lines)} errors occurred:\n{text}\n", code="unsupported")


ROUTES = (
    Route("/v1/operator/keyring", {"GET": get, "POST": change, "PUT": change, "DELETE": change}),
)
