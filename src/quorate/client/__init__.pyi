from quorate.client.aio.client import AsyncClient as AsyncClient
from quorate.client.errors import LockHeldError as LockHeldError
from quorate.client.errors import LockLostError as LockLostError
from quorate.client.handles import AsyncPaxos as AsyncPaxos
from quorate.client.handles import Paxos as Paxos
from quorate.client.holding import Held as Held
from quorate.client.structs import KvEntry as KvEntry
from quorate.client.structs import Leader as Leader
from quorate.client.structs import MemberInfo as MemberInfo
from quorate.client.structs import SessionInfo as SessionInfo
from quorate.client.structs import TxnDone as TxnDone
from quorate.client.structs import TxnFault as TxnFault
from quorate.client.structs import Written as Written
from quorate.client.sync.client import Client as Client

__all__ = [
    "AsyncClient",
    "AsyncPaxos",
    "Client",
    "Held",
    "KvEntry",
    "Leader",
    "LockHeldError",
    "LockLostError",
    "MemberInfo",
    "Paxos",
    "SessionInfo",
    "TxnDone",
    "TxnFault",
    "Written",
]
