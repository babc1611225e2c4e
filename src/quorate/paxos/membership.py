"""Membership: which configuration governs which slot.

The configuration chosen in slot i governs from slot i + alpha on, so that up to alpha slots may be
in flight and their voters be known. One change at a time, and nothing but noops
between i and i + alpha ("stop sign").

CFG-1: slot j is proposed only when every slot up to j - alpha is known chosen; so its configuration
    is known.
CFG-2: a configuration counts only if its predecessor is still the newest one when its slot comes; a
    late old batch may carry one that is outdated. All nodes decide alike: it depends on the
    chosen log alone.
CFG-3: before a leader proposes under a configuration it holds promises of its ballot from a phase-1
    quorum of it (checked in `leadership`).

Not taken: joint consensus (two entries, double quorums everywhere).

Source: Lamport, Malkhi, Zhou, "Reconfiguring a State Machine" (2010); MSR-TR-2008-193.
"""

from collections.abc import Iterable

import msgspec

from quorate.base.batches import Configuration, Member, decode_batch, is_configuration
from quorate.base.chain import Chain
from quorate.base.errors import ConflictError, NotFoundError, RequestError, invariant
from quorate.base.ids import Slot

LEFT_MAX = 16
"""So many of the removed members are kept with their names and addresses."""


class Membership:
    """The configurations in force and to come.

    Args:
        chain: (slot in which it was chosen, configuration), oldest first; the first one at 0.
        alpha: Slots between being chosen and governing.

    Attributes:
        members: All of the configurations in force and to come, by id. To be read only, as these:
        newest: The last configuration chosen, in force or to come.
        newest_from: The slot from which it governs.
    """

    def __init__(self, chain: Iterable[tuple[Slot, Configuration]], alpha: int) -> None:
        self._take(Chain(chain, alpha))

    def governing(self, slot: Slot) -> Configuration:
        """The configuration that governs `slot`; the slot must obey CFG-1."""
        chain = self._governing
        if len(chain) == 1:  # nearly always
            return chain[0][1]
        for effective, configuration in reversed(chain):  # a change is under way
            if effective <= slot:
                return configuration
        return chain[0][1]

    def effective(self, slot: Slot) -> Slot:
        """From where on a configuration chosen in `slot` governs."""
        return self._chain.governs_from(slot)

    def in_force(self, watermark: Slot) -> int:
        """Which configuration is in force when all up to `watermark` is known, 0 if pruned."""
        known = [made.number for effective, made in self._governing if effective <= watermark + 1]
        return max(known, default=0)

    def restart(self, other: "Membership") -> None:
        """The tables were replaced by a snapshot: its configurations replace ours."""
        self._take(other._chain)  # noqa: SLF001 - of the same class

    def judge(self, slot: Slot, configuration: Configuration) -> Configuration | None:
        """Take the configuration chosen in `slot` into the chain, or None if it is void (CFG-2)."""
        newest = self.newest
        if configuration.predecessor != newest.number or configuration.number != newest.number + 1:
            return None
        self._take(self._chain.followed_by(slot, configuration))
        return configuration

    def take(self, slot: Slot, batch: bytes) -> Configuration | None:
        """What the batch chosen in `slot` brings into the chain, if anything (CFG-2)."""
        proposed = decode_batch(batch).configuration if is_configuration(batch) else None
        return None if proposed is None else self.judge(slot, proposed)

    def prune(self, watermark: Slot) -> bool:
        """Drop configurations that govern no slot above `watermark` any more; True if one went."""
        if len(self._governing) == 1:
            return False
        left = self._chain.above(watermark)
        has_pruned = left is not self._chain
        self._take(left)
        return has_pruned

    def derive(self, verb: str, member: Member) -> Configuration:
        """The configuration that a change would make of the newest one.

        Args:
            verb: "add" (as learner, or a new address of a known member), "promote", "remove".
            member: Whom; only its id counts for "promote" and "remove".

        Raises:
            ConflictError: definite: `already_exists`, nothing would change; `precondition`, the id
                was removed once.
            NotFoundError: definite: no such member.
            RequestError: definite: an unknown verb, or no voter would be left.
        """
        now = self.newest
        voters, learners = list(now.voters), list(now.learners)
        removed, left = now.removed, now.left
        known = now.member(member.id)
        if verb == "add":
            if member.id in removed:
                raise ConflictError(
                    "precondition", f"{member.name} was removed; it may return with an empty disk"
                )
            if known == member:
                raise ConflictError("already_exists", f"{member.name} is a member already")
            if known is None:
                learners.append(member)
            else:
                voters = [member if m.id == member.id else m for m in voters]
                learners = [member if m.id == member.id else m for m in learners]
        elif known is None:
            raise NotFoundError("not_found", f"no member has the id {member.id}")
        elif verb == "promote":
            if known in voters:
                raise ConflictError("already_exists", f"{known.name} votes already")
            learners.remove(known)
            voters.append(known)
        elif verb == "remove":
            voters = [m for m in voters if m.id != member.id]
            learners = [m for m in learners if m.id != member.id]
            removed = (*removed, member.id)
            left = (*left, known)[-LEFT_MAX:]
        else:
            raise RequestError("unsupported", f"unknown change of membership: {verb}")
        if not voters:
            raise RequestError("bad_request", "the last voter cannot be removed")
        return msgspec.structs.replace(
            now,
            number=now.number + 1,
            predecessor=now.number,
            voters=tuple(voters),
            learners=tuple(learners),
            removed=removed,
            left=left,
        )

    def _take(self, chain: Chain) -> None:
        invariant(bool(chain.chosen), "a replica has a configuration")
        self._chain = chain
        self._governing, self.members = chain.governing, chain.members
        self.newest_from, self.newest = chain.governing[-1]
