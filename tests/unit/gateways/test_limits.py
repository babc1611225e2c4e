"""Limits of bodies, by path."""

import pytest

from quorate.gateways.http import limits
from quorate.gateways.http.config import HttpConfig


@pytest.mark.parametrize(
    ("target", "same_as"),
    [
        (b"/v1/snapsho%74?x", b"/v1/snapshot"),
        (b"http://host/v1/snapshot", b"/v1/snapshot"),
        (b"/v1/%6bv/a", b"/v1/kv/a"),
        (b"/v1/kv/%2e%2e/snapshot", b"/v1/snapshot"),
        (b"/v1/kv%2Fa", b"/v1/kv/a"),
        (b"/v1/x%2F..%2Ftxn", b"/v1/txn"),
        (b"/v1/kv/%zz", b"/v1/kv/zz"),
    ],
)
def test_a_body_is_limited_by_the_path_that_the_router_sees(target: bytes, same_as: bytes) -> None:
    config = HttpConfig(value_bytes_max=1, txn_bytes_max=2, body_bytes_max=3, snapshot_bytes_max=4)

    def judged(target: bytes) -> tuple[int, bool, str]:
        return (
            limits.body_bytes_max(config, b"PUT", target),
            limits.is_spooled(b"PUT", target, 10**6),
            limits.refusal(config, target, 9).text,
        )

    assert judged(target) == judged(same_as)
