"""Fixtures of the ring: clusters of a few sizes, each shared by the tests of a module."""

from collections.abc import Iterator

import pytest

import distexec
from properties.conftest import Gate, fork_server, gate, ledger

__all__ = ["Gate", "fork_server", "gate", "ledger"]


@pytest.fixture(scope="module")
def one_slot() -> Iterator[distexec.LocalCluster]:
    """A cluster with a single slot."""
    with distexec.LocalCluster(1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def two_slots() -> Iterator[distexec.LocalCluster]:
    """A cluster with two slots."""
    with distexec.LocalCluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def four_slots() -> Iterator[distexec.LocalCluster]:
    """A cluster with four slots."""
    with distexec.LocalCluster(4) as cluster:
        yield cluster
