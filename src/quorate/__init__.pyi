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
from quorate.client import AsyncElection as AsyncElection
from quorate.client import AsyncKv as AsyncKv
from quorate.client import AsyncLock as AsyncLock
from quorate.client import AsyncPaxos as AsyncPaxos
from quorate.client import AsyncSemaphore as AsyncSemaphore
from quorate.client import AsyncSessions as AsyncSessions
from quorate.client import AsyncSnapshots as AsyncSnapshots
from quorate.client import AsyncStatus as AsyncStatus
from quorate.client import AsyncTxn as AsyncTxn
from quorate.client import AsyncWatch as AsyncWatch
from quorate.client import Client as Client
from quorate.client import Consul as Consul
from quorate.client import Election as Election
from quorate.client import Held as Held
from quorate.client import Kv as Kv
from quorate.client import KvEntry as KvEntry
from quorate.client import Leader as Leader
from quorate.client import Lock as Lock
from quorate.client import LockHeldError as LockHeldError
from quorate.client import LockLostError as LockLostError
from quorate.client import MemberInfo as MemberInfo
from quorate.client import Paxos as Paxos
from quorate.client import Reply as Reply
from quorate.client import Semaphore as Semaphore
from quorate.client import SemaphoreError as SemaphoreError
from quorate.client import Session as Session
from quorate.client import Sessions as Sessions
from quorate.client import Snapshots as Snapshots
from quorate.client import Status as Status
from quorate.client import Txn as Txn
from quorate.client import TxnDone as TxnDone
from quorate.client import TxnFault as TxnFault
from quorate.client import Watch as Watch
from quorate.client import Written as Written

__version__: str

__all__ = [
    "AsyncClient",
    "AsyncElection",
    "AsyncKv",
    "AsyncLock",
    "AsyncPaxos",
    "AsyncSemaphore",
    "AsyncSessions",
    "AsyncSnapshots",
    "AsyncStatus",
    "AsyncTxn",
    "AsyncWatch",
    "Client",
    "ConflictError",
    "Consul",
    "Election",
    "ForbiddenError",
    "Held",
    "Kv",
    "KvEntry",
    "Leader",
    "Lock",
    "LockHeldError",
    "LockLostError",
    "MemberInfo",
    "NotFoundError",
    "OutcomeUnknownError",
    "Paxos",
    "PeerError",
    "QuorateError",
    "Reply",
    "RequestError",
    "Semaphore",
    "SemaphoreError",
    "Session",
    "Sessions",
    "Snapshots",
    "Status",
    "StorageError",
    "Txn",
    "TxnDone",
    "TxnFault",
    "UnavailableError",
    "Watch",
    "Written",
    "__version__",
]
