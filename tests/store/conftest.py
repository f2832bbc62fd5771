"""Fixtures of the store's tests: a server for each module, a fresh ring for each test."""

from collections.abc import Iterator

import pytest

from distexec.store.endpoint import Endpoint

from .worlds import MemoryWorld, RedisWorld, Ring, World, private_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    """A server of this module's own."""
    with private_server() as endpoint:
        yield endpoint


@pytest.fixture
def redis(endpoint: Endpoint) -> Iterator[RedisWorld]:
    """The real server, emptied before."""
    world = RedisWorld(endpoint)
    world.empty()
    yield world
    world.close()


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    """Each implementation in turn."""
    return MemoryWorld() if request.param == "memory" else request.getfixturevalue("redis")


@pytest.fixture
def ring(world: World) -> Ring:
    """One executor, in each implementation in turn."""
    return Ring(world)
