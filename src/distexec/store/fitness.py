"""Whether a server can do our work, by its own words."""

import logging

from distexec.errors import ClusterRefused
from distexec.store.answers import read_info
from distexec.store.link import Link, ServerError

logger = logging.getLogger(__name__)

#: The oldest Redis that has every command used here (``XTRIM MINID`` and ``XADD NOMKSTREAM``).
LEAST_VERSION = (6, 2)


def check_server(link: Link, where: str) -> None:
    """Ask the server at *where* what it is, refuse one that is unfit, and warn of one that forgets.

    Raises:
        ClusterRefused: It is too old, or a part of a Redis Cluster.
    """
    try:
        (answer,) = link.run(("INFO",))
    except ClusterRefused as error:
        if "permission" not in str(error).lower():
            raise
        return  # It does not have to tell.
    if isinstance(answer, ServerError):
        return
    told = read_info(answer)
    if reason := unfitness(told):
        raise ClusterRefused(f"the server at {where} is {reason}")
    if policy := eviction(told):
        logger.warning(
            "The server at %s removes keys when its memory is full (maxmemory-policy %s): calls "
            "that are lost so run again. `CONFIG SET maxmemory-policy noeviction` keeps them",
            where,
            policy,
        )


def unfitness(told: dict[str, str]) -> str | None:
    """What is wrong with a server that says *told* of itself; ``None`` if nothing is."""
    if told.get("redis_mode") == "cluster":
        return (
            "part of a Redis Cluster, which distexec does not use yet: give it a single server, or "
            "a primary behind Sentinel"
        )
    version = told.get("redis_version", "")
    try:
        numbers = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return None
    if numbers < LEAST_VERSION:
        return f"Redis {version}, and distexec needs Redis 6.2 or newer, or Valkey"
    return None


def eviction(told: dict[str, str]) -> str | None:
    """By which policy a server removes keys that nobody asked it to; ``None`` if it never does."""
    policy = told.get("maxmemory_policy", "noeviction")
    limited = told.get("maxmemory", "0") != "0"
    return policy if limited and policy != "noeviction" else None
