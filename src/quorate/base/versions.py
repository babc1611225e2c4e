"""The two versions that a node shows: that of Quorate, and that of Consul whose API it has.

Clients of Consul branch on its version, so they get that one where they look for it; Quorate's own
is beside it everywhere. A node says both in its row of the catalog, so that each
member knows those of every other.
"""

from quorate import __version__

QUORATE_VERSION = __version__
CONSUL_VERSION = "1.22.0"

BUILD_DATE = "2026-11-30T00:00:00Z"
"""The day on which `QUORATE_VERSION` got its number."""

QUORATE_META = "quorate-version"
CONSUL_META = "consul-version"
NODE_ID_META = "quorate-node-id"
"""Keys of a node's metadata. The last is the id that the API shows instead of the node's own, where
`node_id` was configured: a configured id must not decide whose votes or rows are whose."""


def build(quorate: str, consul: str) -> str:
    """Both in one text, in the form of the tag `build` of a member."""
    return f"{consul}:quorate-{quorate}" if quorate else f"{consul}:"
