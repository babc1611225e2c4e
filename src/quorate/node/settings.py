"""Settings on which the effect of a batch depends: they are fixed when a cluster is made.

SET-1: all batches of a log are applied under the same values of the settings in `FIXED`, on every
    node and in every run. They are not in the log, so replicas that applied one batch under
    different values would hold different tables.
SET-2: so a node whose directory belongs to a cluster does not start under other values than those
    of its last run. A directory that belongs to no cluster may be started under any.

SET-1 follows from SET-2 by induction: nodes link, and so bootstrap or join a cluster, only if all
their cluster settings are equal (`wire.hello`), and each keeps the fixed ones.
"""

from quorate.base.config import ClusterConfig
from quorate.base.errors import StorageError

FIXED = ("alpha_slots", "removals_max", "txn_result_bytes_max")
"""The fields of `ClusterConfig` that decide what applying a batch does (SET-1)."""


def check_fixed(before: ClusterConfig | None, now: ClusterConfig) -> None:
    """Refuse to apply a log under other settings than before (SET-2).

    Args:
        before: The settings of the last run on this directory, which belongs to a cluster; None:
            unknown, an older version did not store them.
        now: Those of this run.

    Raises:
        StorageError: `settings`: a fixed one differs; the text says which, and what to do.
    """
    if before is None:
        return
    others = [name for name in FIXED if getattr(before, name) != getattr(now, name)]
    if others:
        kept = ", ".join(f"quorate.cluster.{name} = {getattr(before, name)}" for name in others)
        asked = ", ".join(str(getattr(now, name)) for name in others)
        raise StorageError(
            "settings",
            f"this data directory belongs to a cluster with {kept}, and the configuration now says "
            f"{asked}: this cannot be changed, since nodes that apply the same log under different "
            f"values come to hold different data. Start the node with {kept}. For other values make"
            " a new cluster: quorate snapshot save, then quorate snapshot restore there",
        )
