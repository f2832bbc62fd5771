"""Opens the sides of a cluster's store. The connections themselves are made when first used."""

from distexec.settings import Settings
from distexec.store.caller_port import CallerStore
from distexec.store.endpoint import Endpoint
from distexec.store.lease_port import LeaseStore
from distexec.store.port import NodeStore
from distexec.store.redis_caller import RedisCallerStore
from distexec.store.redis_lease import RedisLeaseStore
from distexec.store.redis_node import RedisNodeStore


def open_caller_store(endpoint: Endpoint, session: str, settings: Settings) -> CallerStore:
    """The caller's side of one session."""
    return RedisCallerStore(endpoint, session, settings)


def open_lease_store(endpoint: Endpoint, node: str, settings: Settings) -> LeaseStore:
    """One slot's side, in the process that it belongs to."""
    return RedisLeaseStore(endpoint, node, settings)


def open_node_store(endpoint: Endpoint, settings: Settings) -> NodeStore:
    """The side of a node's main process."""
    return RedisNodeStore(endpoint, settings)
