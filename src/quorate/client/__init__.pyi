from quorate.balancing.targets import LoadReport as LoadReport
from quorate.client.aio.choosing import AsyncChooser as AsyncChooser
from quorate.client.aio.client import AsyncClient as AsyncClient
from quorate.client.aio.consul import AsyncConsul as AsyncConsul
from quorate.client.aio.consul import AsyncMonitor as AsyncMonitor
from quorate.client.aio.consul import AsyncRegistration as AsyncRegistration
from quorate.client.aio.elections import AsyncElection as AsyncElection
from quorate.client.aio.kv import AsyncKv as AsyncKv
from quorate.client.aio.locks import AsyncLock as AsyncLock
from quorate.client.aio.operator import AsyncOperator as AsyncOperator
from quorate.client.aio.semaphores import AsyncSemaphore as AsyncSemaphore
from quorate.client.aio.session import AsyncSessions as AsyncSessions
from quorate.client.aio.snapshot import AsyncSnapshots as AsyncSnapshots
from quorate.client.aio.status import AsyncStatus as AsyncStatus
from quorate.client.aio.txn import AsyncTxn as AsyncTxn
from quorate.client.aio.watching import AsyncWatch as AsyncWatch
from quorate.client.changes import InstanceState as InstanceState
from quorate.client.changes import ServiceChange as ServiceChange
from quorate.client.choices import ServiceInstance as ServiceInstance
from quorate.client.errors import LockHeldError as LockHeldError
from quorate.client.errors import LockLostError as LockLostError
from quorate.client.errors import SemaphoreError as SemaphoreError
from quorate.client.handles import AsyncPaxos as AsyncPaxos
from quorate.client.handles import Paxos as Paxos
from quorate.client.holding import Held as Held
from quorate.client.membership import ClusterMember as ClusterMember
from quorate.client.membership import ClusterOverview as ClusterOverview
from quorate.client.membership import ConfiguredServer as ConfiguredServer
from quorate.client.picks import Pick as Pick
from quorate.client.replies import Reply as Reply
from quorate.client.structs import KvEntry as KvEntry
from quorate.client.structs import Leader as Leader
from quorate.client.structs import MemberInfo as MemberInfo
from quorate.client.structs import Session as Session
from quorate.client.structs import TxnDone as TxnDone
from quorate.client.structs import TxnFault as TxnFault
from quorate.client.structs import Written as Written
from quorate.client.sync.choosing import Chooser as Chooser
from quorate.client.sync.client import Client as Client
from quorate.client.sync.consul import Consul as Consul
from quorate.client.sync.consul import Monitor as Monitor
from quorate.client.sync.consul import Registration as Registration
from quorate.client.sync.elections import Election as Election
from quorate.client.sync.kv import Kv as Kv
from quorate.client.sync.locks import Lock as Lock
from quorate.client.sync.operator import Operator as Operator
from quorate.client.sync.semaphores import Semaphore as Semaphore
from quorate.client.sync.session import Sessions as Sessions
from quorate.client.sync.snapshot import Snapshots as Snapshots
from quorate.client.sync.status import Status as Status
from quorate.client.sync.txn import Txn as Txn
from quorate.client.sync.watching import Watch as Watch

__all__ = [
    "AsyncClient",
    "AsyncConsul",
    "AsyncElection",
    "AsyncKv",
    "AsyncLock",
    "AsyncMonitor",
    "AsyncOperator",
    "AsyncPaxos",
    "AsyncRegistration",
    "AsyncSemaphore",
    "AsyncSessions",
    "AsyncSnapshots",
    "AsyncStatus",
    "AsyncTxn",
    "AsyncWatch",
    "Client",
    "ClusterMember",
    "ClusterOverview",
    "ConfiguredServer",
    "Consul",
    "Election",
    "Held",
    "InstanceState",
    "Kv",
    "KvEntry",
    "Leader",
    "LoadReport",
    "Lock",
    "LockHeldError",
    "LockLostError",
    "MemberInfo",
    "Monitor",
    "Operator",
    "Paxos",
    "Registration",
    "Reply",
    "Semaphore",
    "SemaphoreError",
    "ServiceChange",
    "Session",
    "Sessions",
    "Snapshots",
    "Status",
    "Txn",
    "TxnDone",
    "TxnFault",
    "Watch",
    "Written",
]
