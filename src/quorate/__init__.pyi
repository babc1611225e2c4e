from quorate.base.errors import ConflictError as ConflictError
from quorate.base.errors import ForbiddenError as ForbiddenError
from quorate.base.errors import NotFoundError as NotFoundError
from quorate.base.errors import OutcomeUnknownError as OutcomeUnknownError
from quorate.base.errors import PeerError as PeerError
from quorate.base.errors import QuorateError as QuorateError
from quorate.base.errors import RequestError as RequestError
from quorate.base.errors import StorageError as StorageError
from quorate.base.errors import UnavailableError as UnavailableError
from quorate.client import AsyncClient as AsyncClient
from quorate.client import AsyncPaxos as AsyncPaxos
from quorate.client import Client as Client
from quorate.client import LockHeldError as LockHeldError
from quorate.client import LockLostError as LockLostError
from quorate.client import Paxos as Paxos

__version__: str

__all__ = [
    "AsyncClient",
    "AsyncPaxos",
    "Client",
    "ConflictError",
    "ForbiddenError",
    "LockHeldError",
    "LockLostError",
    "NotFoundError",
    "OutcomeUnknownError",
    "Paxos",
    "PeerError",
    "QuorateError",
    "RequestError",
    "StorageError",
    "UnavailableError",
    "__version__",
]
