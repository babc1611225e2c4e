"""Both systems are asked the same things."""

import base64
import json

import pytest

from benchmarks.pools import (
    KEYS,
    MARK,
    VALUE_BYTES,
    Workload,
    consul_requests,
    etcd_requests,
    fresh,
)


def body(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def test_a_workload_is_called_after_what_it_does() -> None:
    assert Workload("put", 64, "leader").name == "put-64-leader"


def test_puts_carry_the_same_keys_and_values_to_both() -> None:
    for ours, theirs in zip(consul_requests("put")[:50], etcd_requests("put")[:50], strict=True):
        fields = json.loads(body(theirs))
        key = base64.b64decode(fields["key"]).decode()
        assert ours.startswith(f"PUT /v1/kv/{key} HTTP/1.1\r\n".encode())
        assert len(body(ours)) == VALUE_BYTES
        value = base64.b64decode(json.loads(body(fresh(theirs, 7)))["value"])
        assert len(value) == VALUE_BYTES
        assert value[8:] == body(fresh(ours, 7))[8:]


@pytest.mark.parametrize("verb", ["put", "get", "stale"])
def test_there_is_one_request_per_key_of_the_length_it_says(verb: str) -> None:
    for pool in (consul_requests(verb), etcd_requests(verb)):
        assert len(set(pool)) == KEYS
        for request in pool[:10]:
            head = request.partition(b"\r\n\r\n")[0].decode().splitlines()
            lengths = [int(line.split()[1]) for line in head if line.startswith("Content-Length")]
            assert (lengths or [0]) == [len(body(request))]


def test_a_stale_read_says_so() -> None:
    assert b"?stale " in consul_requests("stale")[0]
    assert b"?stale" not in consul_requests("get")[0]
    assert json.loads(body(etcd_requests("stale")[0]))["serializable"] is True
    assert "serializable" not in json.loads(body(etcd_requests("get")[0]))


def test_no_two_puts_of_a_key_are_the_same() -> None:
    for pool in (consul_requests("put"), etcd_requests("put")):
        assert fresh(pool[0], 1) != fresh(pool[0], 2)
        assert MARK not in fresh(pool[0], 1)
        assert len(fresh(pool[0], 10**12)) == len(pool[0])


def test_reads_are_sent_as_they_are() -> None:
    assert fresh(consul_requests("get")[0], 1) == consul_requests("get")[0]
