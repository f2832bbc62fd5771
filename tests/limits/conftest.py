"""Fixtures of the limits: clusters that a module's tests share."""

from collections.abc import Iterator

import pytest

import distexec
from properties.conftest import Gate, gate, ledger
from ring.conftest import one_slot, two_slots

__all__ = ["Gate", "gate", "ledger", "one_slot", "two_slots"]


@pytest.fixture(params=["processes", "threads"])
def executor(
    request: pytest.FixtureRequest, two_slots: distexec.LocalCluster
) -> Iterator[distexec.DistributedExecutor]:
    """Two calls at a time, in processes or on the twin: the rules are the same."""
    cluster = two_slots if request.param == "processes" else "threads"
    with distexec.DistributedExecutor(2, cluster=cluster) as executor:
        yield executor
