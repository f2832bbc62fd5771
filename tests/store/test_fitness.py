"""Servers say what they are: some are refused, and of some a person is warned."""

import logging

import pytest

from distexec.store.fitness import check_server, eviction, unfitness
from distexec.store.link import Link

from .worlds import SETTINGS, RedisWorld


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"redis_version": "6.0.16", "redis_mode": "standalone"}, "6.2"),
        ({"redis_version": "9.1.0", "redis_mode": "cluster"}, "Cluster"),
        ({"redis_version": "6.2.0", "redis_mode": "standalone"}, None),
        ({"redis_version": "unknown"}, None),
        ({}, None),
    ],
)
def test_unfit_servers_are_told_by_their_own_words(told: dict[str, str], word: str | None) -> None:
    """Better at the start than by a command that it does not know."""
    reason = unfitness(told)

    assert reason is None if word is None else word in str(reason)


@pytest.mark.parametrize(
    ("memory", "policy", "warned"),
    [
        ("0", "allkeys-lru", False),
        ("1000", "noeviction", False),
        ("1000", "allkeys-lru", True),
        ("1000", "volatile-ttl", True),
    ],
)
def test_eviction_takes_a_limit_and_a_policy(memory: str, policy: str, warned: bool) -> None:
    """A server without a limit never removes anything, whatever its policy says."""
    assert eviction({"maxmemory": memory, "maxmemory_policy": policy}) == (
        policy if warned else None
    )


def test_row_15_a_server_that_evicts_is_reported(
    redis: RedisWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault matrix' row 15: a cache's settings lose calls' keys, silently; so we say it."""
    link = Link(redis.endpoint, SETTINGS)
    redis.command("CONFIG", "SET", "maxmemory", str(10**9), "maxmemory-policy", "allkeys-lru")
    try:
        with caplog.at_level(logging.WARNING, "distexec"):
            check_server(link, "here")
    finally:
        redis.command("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
        link.close()

    (message,) = [record.getMessage() for record in caplog.records]
    assert "allkeys-lru" in message and "noeviction" in message
