"""What an agent says first: where it listens, where it keeps its data, and to what it belongs."""

from pathlib import Path

from quorate.agent.settings import UNIX, AgentSettings
from quorate.base.ports import Status
from quorate.runtime.addresses import join_address


def startup_block(
    settings: AgentSettings, status: Status, data_dir: Path, version: str, consul_version: str
) -> str:
    """The lines that an agent prints when it has started, for people."""
    port = settings.http_port
    served = ", ".join(
        host if host.startswith(UNIX) else join_address(host, port or 0)
        for host in settings.clients
        if port is not None or host.startswith(UNIX)
    )
    voters = status.configuration.voter_ids
    members = sorted(status.configuration.members, key=lambda member: member.name)
    names = (f"{each.name}{'' if each.id in voters else ' (learner)'}" for each in members)
    kept = "" if settings.data_dir is not None else " (temporary: it goes with this process)"
    rows = [
        ("Version", f"{version} (HTTP API of Consul {consul_version})"),
        ("Node", f"{settings.node_name} ({status.node.id})"),
        ("Datacenter", settings.node.datacenter),
        ("HTTP", served or "none"),
        ("Server port", settings.address),
        ("Data directory", f"{data_dir}{kept}"),
        ("Cluster", status.cluster_id or "none yet"),
        ("Members", ", ".join(names) or "none yet"),
    ]
    if settings.join:
        rows.append(("Joins", ", ".join(settings.join)))
    if status.reason:
        rows.append(("State", status.reason))
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:>{width}}: {value}" for name, value in rows]
    return "\n".join(["==> Quorate agent running", *lines, "==> Log:"])
