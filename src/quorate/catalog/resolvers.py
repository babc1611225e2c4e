"""How questions of other domains are resolved."""

from quorate.base.facts import CheckStatus, IsNodeKnown
from quorate.base.ports import TableRows
from quorate.catalog.tables import check_of, node_of


def is_known(rows: TableRows, question: IsNodeKnown) -> bool:
    """Resolve `IsNodeKnown`."""
    return node_of(rows, question.name) is not None


def check_status(rows: TableRows, question: CheckStatus) -> str | None:
    """Resolve `CheckStatus`."""
    row = check_of(rows, question.node, question.check)
    return None if row is None else row.status
