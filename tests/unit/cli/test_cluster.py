"""What `quorate cluster list` points out."""

import pytest

from quorate.cli.cluster import duplicate_names
from quorate.client import ClusterMember


def listed(name: str, *, alive: bool) -> ClusterMember:
    return ClusterMember("id", name, "h:1", "follower", True, alive, 0, 0.1, "1")


@pytest.mark.parametrize(
    ("second", "is_alive", "found"),
    [("ANN", True, ["ann"]), ("ann", False, []), ("bob", True, [])],
)
def test_living_members_of_one_name_are_found(
    second: str, is_alive: bool, found: list[str]
) -> None:
    assert duplicate_names([listed("ann", alive=True), listed(second, alive=is_alive)]) == found
