"""Commands of prepared queries. The gateway has checked the fields, and compiled the template.

Source: https://developer.hashicorp.com/consul/api-docs/query.
"""

from quorate.base.command import Command
from quorate.preparedqueries.fields import QueryFields


class PreparedQueryCreate(Command, frozen=True, array_like=True, tag=120):
    """Store a query under an id drawn at the gateway. Value: the id.

    Failures carry Consul's texts: the name or the session is refused.
    """

    id: str
    fields: QueryFields


class PreparedQueryUpdate(Command, frozen=True, array_like=True, tag=121):
    """Replace the definition of a query. Value True.

    Equal fields change nothing. Failures as those of `PreparedQueryCreate`; and: it is unknown.
    """

    id: str
    fields: QueryFields


class PreparedQueryDelete(Command, frozen=True, array_like=True, tag=122):
    """Delete a query. Value True; a Failure if it is unknown."""

    id: str
