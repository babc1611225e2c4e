"""Which part takes which message."""

from typing import Any

from quorate.base.effects import Effect, Note
from quorate.base.ids import NodeId
from quorate.base.messages import Identity, Join, Overview
from quorate.node.dispatch import Dispatch, Handler
from quorate.node.identities import PeerIdentities
from tests.unit.node.lone import member

ME, TWO = member(1).id, member(2)


def reported(name: str) -> Handler:
    def handler(sender: NodeId, _: Any, now_s: float) -> list[Effect]:
        return [Note(name, {"sender": sender, "now_s": now_s})]

    return handler


def names(effects: list[Effect]) -> list[str]:
    return [effect.what for effect in effects if isinstance(effect, Note)]


def test_a_message_goes_to_the_part_that_lists_it_and_others_to_the_replica_if_there_is_one() -> (
    None
):
    dispatch = Dispatch(PeerIdentities(ME))
    dispatch.serve({Join: reported("join")})
    assert names(dispatch.take(ME, Join(TWO), 1.0)) == ["join"]
    assert dispatch.take(ME, Overview(()), 1.0) == []
    dispatch.serve_other(reported("replica"))
    assert dispatch.take(ME, Overview(()), 2.0) == [Note("replica", {"sender": ME, "now_s": 2.0})]


def test_what_may_not_be_received_is_dispatched_to_no_part() -> None:
    identities = PeerIdentities(ME)
    dispatch = Dispatch(identities)
    dispatch.serve({Join: reported("join"), Identity: reported("identity")})
    dispatch.serve_other(reported("replica"))
    assert dispatch.take(TWO.id, Join(TWO), 0.0) == [], "there is no link"
    identities.on_connected(TWO, "", None)
    assert dispatch.take(TWO.id, Join(TWO), 0.0) == [], "this node has no cluster to join"
    assert dispatch.take(TWO.id, Overview(()), 0.0) == []
    assert names(dispatch.take(TWO.id, Identity(""), 0.0)) == ["identity"]
