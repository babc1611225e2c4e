"""`quorate keygen`: a key for the option `encrypt`."""

import base64
import secrets

from quorate.cli.commands import command
from quorate.cli.output import say

KEY_BYTES = 32


@command("keygen")
def keygen() -> None:
    """Print a new random key of 32 bytes, in base64, in the form of `encrypt` in Consul's files.

    Nothing is encrypted by it yet: a node refuses to start with `encrypt`.

    Examples:
        quorate keygen
    """
    say(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())
