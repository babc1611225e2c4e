"""Suggestions for unknown commands: a typo, or a command that has another name in Consul."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

ELSEWHERE: dict[str, str] = {
    word: place
    for place, words in {
        "cluster list": (
            "operator raft list-peers, operator autopilot state, operator autopilot, raft, peers, "
            "status, member list, endpoint"
        ),
        "cluster remove NODE": "operator raft remove-peer, force-leave, member remove",
        "cluster transfer [NODE]": "operator raft transfer-leader, move-leader",
        "cluster -h": "operator raft, operator, member",
        "agent -retry-join ADDRESS": "join",
        "snapshot save FILE": "backup",
        "snapshot restore FILE": "restore",
        "agent -h": "server, start, run",
        "cluster add NODE": "member add, member promote",
        "kv delete KEY": "del, rm",
        "kv put KEY VALUE": "set",
        "kv list [PREFIX]": "ls",
        "session create -ttl=15s": "lease grant",
        "session destroy ID": "lease revoke",
        "session renew ID": "lease keep-alive",
        "session -h": "lease",
        "lock PREFIX COMMAND": "elect",
    }.items()
    for word in words.split(", ")
}
"""Commands of Consul and etcd, and others that users try, which have another name here."""

_NEAR = 0.5
"""The least similarity of a suggestion, from 0 to 1: that of `kb` and `kv`."""

NOT_BUILT = frozenset(
    {
        "acl", "connect", "debug", "exec", "intention",
        "keyring", "login", "logout", "peering", "resource", "rtt", "tls",
        "troubleshoot",
    }
)  # fmt: skip
"""Commands of Consul's that this version does not have."""


def advice(
    words: Sequence[str], nouns: Collection[str], verbs: Mapping[str, Collection[str]]
) -> str:
    """A suggestion for a command line whose first word is no command; empty if there is none.

    `nouns` are the commands there are, `verbs` those below some of them.
    """
    plain = [word for word in words if not word.startswith("-")]
    for count in range(min(len(plain), 3), 0, -1):
        if place := ELSEWHERE.get(" ".join(plain[:count])):
            return f"Here that is: quorate {place}"
    if words[0] in NOT_BUILT:
        return f"Consul's command {words[0]!r} is not part of this version of Quorate."
    exact = [f"{noun} {words[0]}" for noun, inner in verbs.items() if words[0] in inner]
    meant = exact or get_close_matches(words[0], nouns, 2, _NEAR)
    return f"Did you mean: {', '.join(f'quorate {each}' for each in meant)}?" if meant else ""
