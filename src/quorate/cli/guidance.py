"""What was meant by a command that does not exist: a typo, or one that Consul has elsewhere."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches

ELSEWHERE: dict[str, str] = {
    "operator raft list-peers": "cluster list",
    "operator raft remove-peer": "cluster remove NODE",
    "operator raft transfer-leader": "cluster transfer [NODE]",
    "operator raft": "cluster -h",
    "operator autopilot state": "cluster list",
    "operator autopilot": "cluster list",
    "operator": "cluster -h",
    "force-leave": "cluster remove NODE",
    "join": "agent -retry-join ADDRESS",
    "watch": "kv watch KEY",
    "catalog nodes": "members",
    "catalog datacenters": "info",
    "raft": "cluster list",
    "peers": "cluster list",
    "status": "cluster list",
    "backup": "snapshot save FILE",
    "restore": "snapshot restore FILE",
    "server": "agent -h",
    "start": "agent -h",
    "run": "agent -h",
    "member list": "cluster list",
    "member add": "cluster add NODE",
    "member promote": "cluster add NODE",
    "member remove": "cluster remove NODE",
    "member": "cluster -h",
    "endpoint": "cluster list",
    "move-leader": "cluster transfer [NODE]",
    "del": "kv delete KEY",
    "rm": "kv delete KEY",
    "set": "kv put KEY VALUE",
    "ls": "kv list [PREFIX]",
    "lease grant": "session create -ttl=15s",
    "lease revoke": "session destroy ID",
    "lease keep-alive": "session renew ID",
    "lease": "session -h",
    "elect": "lock PREFIX COMMAND",
}
"""Commands of Consul's and etcd's, and what people try, which have another name here."""

_NEAR = 0.5
"""So much alike are words that may be meant, from 0 to 1: `kb` is as near to `kv` as this."""

NOT_BUILT = frozenset(
    {
        "acl", "catalog", "config", "connect", "debug", "event", "exec", "intention", "keygen",
        "keyring", "login", "logout", "maint", "peering", "resource", "rtt", "services", "tls",
        "troubleshoot",
    }
)  # fmt: skip
"""Commands of Consul's that this version does not have."""


def advice(
    words: Sequence[str], nouns: Collection[str], verbs: Mapping[str, Collection[str]]
) -> str:
    """What may have been meant by a command line whose first word is no command.

    Args:
        words: All of it.
        nouns: The commands there are.
        verbs: Those below some of them.

    Returns:
        Lines to print; empty if nothing comes near.
    """
    plain = [word for word in words if not word.startswith("-")]
    for count in range(min(len(plain), 3), 0, -1):
        if place := ELSEWHERE.get(" ".join(plain[:count])):
            return f"Here that is: quorate {place}"
    if words[0] in NOT_BUILT:
        return f"Consul's command {words[0]!r} is not part of this version of Quorate."
    meant = list(_meant(words[0], nouns, verbs))
    return f"Did you mean: {', '.join(meant)}?" if meant else ""


def _meant(
    word: str, nouns: Collection[str], verbs: Mapping[str, Collection[str]]
) -> Iterator[str]:
    exact = [f"quorate {noun} {word}" for noun, inner in verbs.items() if word in inner]
    yield from exact or (f"quorate {noun}" for noun in get_close_matches(word, nouns, 2, _NEAR))
