import msgspec
import pytest

from quorate.base.batches import Member
from quorate.base.config import ClusterConfig
from quorate.base.errors import PeerError
from quorate.base.ids import NodeId
from quorate.wire.hello import (
    HELLO_BYTES_MAX,
    MAGIC,
    Hello,
    HelloReader,
    config_hash,
    encode_hello,
    judge_hello,
    settings_shown,
)

ANN = Member(NodeId("id-ann"), "ann", "10.0.0.1:8300")
BOB = Member(NodeId("id-bob"), "bob", "10.0.0.2:8300")
HASH = config_hash(ClusterConfig())
MINE = Hello(1, 1, "c1", ANN, 3, 111, HASH)
THEIRS = Hello(1, 1, "c1", BOB, 5, 222, HASH)


def altered(hello: Hello, **changes: object) -> Hello:
    return msgspec.structs.replace(hello, **changes)


def refused(theirs: Hello, standing: Hello | None = None) -> str:
    with pytest.raises(PeerError) as caught:
        judge_hello(MINE, theirs, standing)
    assert caught.value.code == "remote"
    return caught.value.text


def test_a_hello_arrives_and_what_follows_it_is_handed_on() -> None:
    assert HelloReader().feed(encode_hello(THEIRS) + b"frames") == (THEIRS, b"frames")


def test_a_hello_may_come_byte_by_byte() -> None:
    reader = HelloReader()
    *front, last = encode_hello(THEIRS)
    assert [reader.feed(bytes([byte])) for byte in front] == [None] * len(front)
    assert reader.feed(bytes([last])) == (THEIRS, b"")


def test_another_protocol_is_refused_at_its_first_wrong_byte() -> None:
    with pytest.raises(PeerError, match="HTTP port"):
        HelloReader().feed(b"G")
    with pytest.raises(PeerError, match="HTTP port"):
        HelloReader().feed(b"QUORUM")


def test_a_huge_hello_is_refused_unread() -> None:
    with pytest.raises(PeerError, match="5000 bytes"):
        HelloReader().feed(MAGIC + (5000).to_bytes(4, "little") + bytes(4))


def test_a_damaged_hello_is_refused() -> None:
    data = bytearray(encode_hello(THEIRS))
    data[-1] ^= 1
    with pytest.raises(PeerError, match="damaged"):
        HelloReader().feed(bytes(data))


def test_a_hello_of_another_shape_is_refused() -> None:
    data = encode_hello(THEIRS)
    assert data.startswith(MAGIC)
    strange = encode_hello(altered(THEIRS, member=7))
    with pytest.raises(PeerError, match="no valid handshake"):
        HelloReader().feed(strange)


def test_a_hello_with_fields_of_a_newer_version_is_understood() -> None:
    class NewerHello(Hello, frozen=True, array_like=True):
        more: str = "of the future"

    fields = {name: getattr(THEIRS, name) for name in Hello.__struct_fields__}
    assert HelloReader().feed(encode_hello(NewerHello(**fields))) == (THEIRS, b"")


def test_names_too_long_for_a_handshake_do_not_leave() -> None:
    with pytest.raises(PeerError) as caught:
        encode_hello(altered(MINE, cluster_id="x" * HELLO_BYTES_MAX))
    assert caught.value.code == "local"


def test_the_longest_hello_leaves_and_arrives_and_one_byte_more_does_neither() -> None:
    left = HELLO_BYTES_MAX - (len(encode_hello(altered(MINE, cluster_id="x" * 2000))) - 16 - 2000)
    longest = altered(MINE, cluster_id="x" * left)
    assert HelloReader().feed(encode_hello(longest)) == (longest, b"")
    with pytest.raises(PeerError, match="too long"):
        encode_hello(altered(MINE, cluster_id="x" * (left + 1)))
    with pytest.raises(PeerError, match=f"announced a handshake of {HELLO_BYTES_MAX + 1} bytes"):
        HelloReader().feed(MAGIC + (HELLO_BYTES_MAX + 1).to_bytes(4, "little") + bytes(4))


@pytest.mark.parametrize(
    "theirs",
    [
        altered(THEIRS, cluster_id="c2"),
        altered(THEIRS, config_hash="another"),
        altered(THEIRS, incarnation=4),
        altered(THEIRS, nonce=223),
    ],
    ids=["cluster", "settings", "incarnation", "process"],
)
def test_a_refusal_names_the_peer_by_name_id_and_address(theirs: Hello) -> None:
    assert "node 'bob' (id-bob) at 10.0.0.2:8300 " in refused(theirs, THEIRS)


def test_a_peer_of_the_same_cluster_is_welcome() -> None:
    assert judge_hello(MINE, THEIRS) == 1
    assert judge_hello(MINE, THEIRS, THEIRS) == 1  # a second connection
    assert judge_hello(MINE, altered(THEIRS, incarnation=6, nonce=9), THEIRS) == 1


def test_an_uninitialised_node_may_talk_to_any_other() -> None:
    assert judge_hello(altered(MINE, cluster_id=""), THEIRS) == 1
    assert judge_hello(MINE, altered(THEIRS, cluster_id="")) == 1


def test_the_highest_common_version_is_spoken() -> None:
    assert judge_hello(altered(MINE, version_max=4), altered(THEIRS, version_max=3)) == 3


def test_another_cluster_is_refused() -> None:
    assert "belongs to cluster c2, this node to c1" in refused(altered(THEIRS, cluster_id="c2"))


def test_without_a_common_version_the_older_one_is_to_be_upgraded() -> None:
    assert "upgrade this node" in refused(altered(THEIRS, version_min=2, version_max=3))
    with pytest.raises(PeerError, match="upgrade the other node"):
        judge_hello(altered(MINE, version_min=2, version_max=2), THEIRS)


def test_an_older_incarnation_is_an_old_copy() -> None:
    text = refused(THEIRS, altered(THEIRS, incarnation=6, nonce=333))
    assert "incarnation 5" in text
    assert "incarnation 6" in text
    assert "empty directory" in text


def test_the_same_incarnation_in_another_process_is_refused() -> None:
    assert "runs twice" in refused(THEIRS, altered(THEIRS, nonce=223))


def test_the_own_address_is_distinguished_from_a_copy_of_the_own_directory() -> None:
    assert "this node itself" in refused(altered(MINE, member=ANN))
    assert "copy" in refused(altered(MINE, nonce=112))


def test_other_cluster_settings_are_refused() -> None:
    other = config_hash(ClusterConfig(window_slots=5))
    assert other != HASH
    assert f"hash {other}, here {HASH}" in refused(altered(THEIRS, config_hash=other))


def test_a_refusal_of_other_cluster_settings_names_those_that_differ() -> None:
    hash_here, here = settings_shown(ClusterConfig())
    hash_there, there = settings_shown(ClusterConfig(removals_max=3, alpha_slots=16))
    mine = altered(MINE, config_hash=hash_here, cluster=here)
    theirs = altered(THEIRS, config_hash=hash_there, cluster=there | {"later": 7})
    with pytest.raises(PeerError) as caught:
        judge_hello(mine, theirs)
    assert "(alpha_slots is 16 there, 8 here, removals_max is 3 there, 512 here)" in str(
        caught.value
    )


def test_the_hash_of_the_settings_is_a_stable_name() -> None:
    assert len(HASH) == 16
    assert config_hash(ClusterConfig()) == HASH
