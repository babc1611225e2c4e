"""Settings of a cluster are sent in the handshake: what cannot be sent is no setting."""

import msgspec
import pytest

from quorate.base.config import ClusterConfig


@pytest.mark.parametrize("name", ClusterConfig.__struct_fields__)
@pytest.mark.parametrize("value", [2**63, 2**70])
def test_a_setting_that_no_message_can_hold_is_a_fault(name: str, value: int) -> None:
    faults = msgspec.structs.replace(ClusterConfig(), **{name: value}).validate()
    assert f"cluster.{name} must be below 2^63" in faults


def test_the_largest_settings_can_be_sent() -> None:
    largest = ClusterConfig(*[2**63 - 1] * len(ClusterConfig.__struct_fields__))
    assert not any("2^63" in fault for fault in largest.validate())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(largest), type=ClusterConfig) == largest
